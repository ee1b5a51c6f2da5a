#![no_main]

use cloudach_model_fuzz::reading::{self, Family};

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::check(Family::Elements, data));

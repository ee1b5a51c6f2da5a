#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudach_model_fuzz::schema::check(data));

//! What must hold for any input at all. The fuzz targets look for inputs for which it does not, and the ordinary tests
//! check it with the committed seeds and with random ones (`edge/model/tests/fuzzed.rs` includes these files).

pub mod calls;
mod input;
pub mod reading;
pub mod schema;
mod schemas;
pub mod template;
mod told;

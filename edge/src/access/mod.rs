//! Who asks, and whether there is room for the request.

pub mod account;
pub mod admission;
pub mod caller;
pub mod keys;
pub mod limits;

//! Who asks, and whether there is room for the request.

pub mod account;
pub mod admission;
pub mod caller;
pub mod directory;
pub mod jwt;
pub mod keys;
pub mod known;
pub mod limiter;
pub mod limits;
pub mod pepper;
pub mod principal;
pub mod priority;
mod remembered;
pub mod secret;
mod tenants;

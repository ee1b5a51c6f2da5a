//! Callers who come with a token (JWT) of an identity provider instead of a key. The parts without I/O: the token itself,
//! the provider's keys, what claims say, and when keys are fetched; the rest fetches the keys and remembers what was checked.

mod algorithm;
mod claims;
pub mod config;
mod fetch;
pub mod issuers;
mod key_set;
mod keys;
mod pace;
mod refusal;
mod token;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::CALLERS;
pub use refusal::Refusal;
pub use token::{PREFIX, looks_like_a_token};

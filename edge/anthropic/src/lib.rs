//! What Anthropic's clients speak: Messages in, messages out. Their requests become the conversations that the gateway
//! knows, and what is generated becomes their answers, streamed or whole.
//!
//! A pure crate: bytes and values in, bytes and values out. The conversation itself is `cloudach-openai`'s.

mod blocks;
mod error;
mod history;
mod reader;
mod reply;
mod request;
mod stream;
mod tools;
mod whole;

pub use error::{STATUS_OVERLOADED, error_body, error_event};
pub use reply::{Reply, too_long};
pub use request::{MessagesRequest, parse, parse_by, parse_for_counting, parse_for_counting_by};

/// The body of an answer that counts a conversation's tokens.
pub fn token_count(input_tokens: u64) -> Vec<u8> {
    format!("{{\"input_tokens\":{input_tokens}}}").into_bytes()
}

/// The id of a message: `msg_01` and 22 letters and digits, of random bytes.
pub fn message_id(random: [u8; 22]) -> String {
    const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letters = random.iter().map(|byte| char::from(ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()]));
    "msg_01".chars().chain(letters).collect()
}

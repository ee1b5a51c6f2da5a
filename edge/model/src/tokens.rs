//! The token counting step: what a text is worth in the tokens that OpenAI's tools count.
//!
//! These are the counts shown to clients, so that they agree with what a client computes from the same
//! text. What fits into a model's context is judged by the engine's own tokens, not by these.

mod chat;
#[expect(dead_code, reason = "the build writes with it, too")]
mod class;
mod encoding;
mod merge;
#[expect(dead_code, reason = "the build writes with it, too")]
mod slot;
mod split;
mod tools;
mod vocabulary;

pub use chat::{chat_prompt, chat_prompt_by};
pub use encoding::{Encoding, UnknownEncoding, UnknownToken, count, decode};

pub(crate) use tools::declaration;

//! What OpenAI clients speak: their requests read and checked, their answers
//! written, streamed or whole.
//!
//! A pure crate: bytes and values in, bytes and values out. It knows no HTTP
//! status, no socket, no clock and no engine; ids, times and randomness come in
//! from outside.

pub mod apart;
pub mod batches;
pub mod chat;
pub mod completions;
pub mod conversations;
pub mod embeddings;
pub mod files;
pub mod ids;
pub mod models;
pub mod responses;
pub mod scores;
pub mod tokenization;

mod constraint;
mod error;
mod finish;
mod head;
mod invalid;
mod json;
mod logprobs;
mod obfuscation;
mod piece;
mod prompt;
mod reader;
mod request;
mod sampling;
mod stream;
mod strict;
mod unsupported;
mod usage;

pub use constraint::{Constraint, JsonSchema};
pub use error::Told;
pub use finish::FinishReason;
pub use head::Head;
pub use invalid::Invalid;
pub use logprobs::{TokenLogprob, TopLogprob};
pub use piece::{CallPiece, Piece};
pub use prompt::PromptInput;
pub use sampling::Sampling;
pub use stream::StreamOptions;
pub use usage::Usage;

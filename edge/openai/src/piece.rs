//! A piece of an answer, as it comes from reading the engine's tokens.

use crate::logprobs::TokenLogprob;

/// Newly generated text of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Piece<'a> {
    /// Whole characters; may be empty while a reader holds text back.
    pub text: &'a str,
    /// One per token, in order; empty unless asked for.
    pub logprobs: &'a [TokenLogprob],
}

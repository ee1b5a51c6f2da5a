//! The pieces of an answer, as they come from reading the engine's tokens.

use crate::logprobs::TokenLogprob;

/// Newly generated text of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Piece<'a> {
    /// Whole characters; may be empty while a reader holds text back.
    pub text: &'a str,
    /// One per token, in order; empty unless asked for.
    pub logprobs: &'a [TokenLogprob],
}

/// A piece of a call of a tool. Calls come one after the other: each begins, then its arguments follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPiece<'a> {
    /// The next call begins.
    Begin {
        /// See [`crate::ids::tool_call`].
        id: &'a str,
        /// The function's name, whole.
        name: &'a str,
    },
    /// More of the JSON text of the last call's arguments.
    Arguments(&'a str),
}

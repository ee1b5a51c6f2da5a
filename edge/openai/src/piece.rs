//! What an answer is made of: how it is headed, its pieces, and how it ends.

use crate::logprobs::TokenLogprob;

/// What is the same in every chunk of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// See [`crate::ids`].
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The name the client used.
    pub model: String,
    /// Random; what the padding of obfuscated streams is drawn from.
    pub seed: u64,
}

/// Newly generated text of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Piece<'a> {
    /// Whole characters; may be empty while a reader holds text back.
    pub text: &'a str,
    /// One per token, in order; empty unless asked for.
    pub logprobs: &'a [TokenLogprob],
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string or token.
    Stop,
    /// The client's budget or the context ran out.
    Length,
    /// The model wants its tools run.
    ToolCalls,
    /// Something was left out.
    ContentFilter,
}

impl FinishReason {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }

    /// As JSON; `None` is a choice that goes on.
    pub(crate) fn write(reason: Option<Self>, out: &mut Vec<u8>) {
        crate::json::write(out, &reason.map(Self::as_str));
    }
}

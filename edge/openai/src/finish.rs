//! How a choice ends.

use crate::json;

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string or token.
    Stop,
    /// The client's budget or the context ran out.
    Length,
    /// The model wants its tools run.
    ToolCalls,
    /// The same, for clients that speak of functions.
    FunctionCall,
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
            Self::FunctionCall => "function_call",
            Self::ContentFilter => "content_filter",
        }
    }

    /// As JSON; `None` is a choice that goes on.
    pub(crate) fn write(reason: Option<Self>, out: &mut Vec<u8>) {
        json::write(out, &reason.map(Self::as_str));
    }
}

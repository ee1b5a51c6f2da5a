//! The failures that every dialect has in common.

use cloudach_proto::v1::{ErrorCode, Failed};

use super::http::HttpError;

/// The engine or the way to it died: elsewhere the request may succeed.
pub(super) fn lost(reason: impl std::fmt::Display) -> Failed {
    Failed::retryable(ErrorCode::ReplicaLost, format!("the engine was lost: {reason}"))
}

/// This engine cannot do what `param` asks for.
pub(super) fn unsupported(param: &str, message: impl Into<String>) -> Failed {
    Failed::new(ErrorCode::Unsupported, message).with_param(param)
}

/// The caller's mistake.
pub(super) fn invalid(param: &str, message: impl Into<String>) -> Failed {
    Failed::new(ErrorCode::InvalidRequest, message).with_param(param)
}

/// The prompt leaves no room for an answer. 0: not known.
pub(super) fn too_long(message: impl Into<String>, context_length: u32, prompt_tokens: u32) -> Failed {
    Failed { context_length, prompt_tokens, ..Failed::new(ErrorCode::ContextLengthExceeded, message) }
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        lost(error)
    }
}

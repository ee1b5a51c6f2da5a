//! The failures that every dialect has in common: what a status means where the engine's own words say nothing finer,
//! and which words tell that an engine ran out of memory or died.

use cloudach_proto::v1::{Constraint, ErrorCode, Failed, constraint::Kind};
use http::StatusCode;

use super::{call::brief, http::HttpError, sse::EventTooLarge};

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

/// What an answer with this status means, where nothing in it says more. `refused` reads what the engine finds wrong
/// with the request.
pub(super) fn by_status(status: StatusCode, message: String, refused: impl FnOnce(String) -> Failed) -> Failed {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Failed::retryable(ErrorCode::Overloaded, message)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
            Failed::retryable(ErrorCode::DeadlineExceeded, message)
        }
        // The engine wants a key of the sidecar: no caller can do anything about it.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failed::new(ErrorCode::EngineFailed, message),
        status if status.is_client_error() => refused(message),
        _ => broken(&message),
    }
}

/// The engine failed while it worked on the request.
pub(super) fn broken(message: &str) -> Failed {
    // vLLM's engine core runs in a process of its own; its HTTP server outlives it for a moment.
    const DEAD: [&str; 2] = ["EngineCore", "EngineDead"];
    const MEMORY: [&str; 4] = ["out of memory", "OutOfMemory", "failed to allocate", "cudaMalloc failed"];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&MEMORY) {
        Failed::retryable(ErrorCode::EngineOutOfMemory, brief(message))
    } else if says(&DEAD) {
        lost(brief(message))
    } else {
        Failed::retryable(ErrorCode::EngineFailed, brief(message))
    }
}

/// What an error answer says: the message found in it, or else the whole of it.
pub(super) fn said(status: StatusCode, message: &str, body: &[u8]) -> String {
    match message {
        "" => format!("the engine answered {status}: {}", brief(&String::from_utf8_lossy(body))),
        message => brief(message),
    }
}

/// The parameter that a client gives such a constraint in. None set: where constraints are given most.
pub(super) fn constraint_param(constraint: Option<&Constraint>) -> &'static str {
    match constraint.and_then(|constraint| constraint.kind.as_ref()) {
        Some(Kind::JsonSchema(_) | Kind::JsonObject(_)) | None => "response_format",
        Some(Kind::Regex(_) | Kind::Choice(_) | Kind::Grammar(_)) => "structured_outputs",
    }
}

/// The engine's tokenizer did not answer. One that is slow has much to read: its engine has come to no harm.
pub(super) fn not_tokenized(error: HttpError) -> Failed {
    match error {
        HttpError::Silent(limit) => {
            Failed::retryable(ErrorCode::Overloaded, format!("the engine's tokenizer was silent for {limit:?}"))
        }
        error => error.into(),
    }
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        lost(error)
    }
}

impl From<EventTooLarge> for Failed {
    /// The same request makes an event of the same size elsewhere.
    fn from(error: EventTooLarge) -> Self {
        Self::new(ErrorCode::EngineFailed, format!("{error}: raise `limits.max_event`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_the_same_in_every_dialect() {
        let cases = [
            (400, ErrorCode::InvalidRequest, false),
            (401, ErrorCode::EngineFailed, false),
            (408, ErrorCode::DeadlineExceeded, true),
            (429, ErrorCode::Overloaded, true),
            (500, ErrorCode::EngineFailed, true),
            (502, ErrorCode::EngineFailed, true),
            (503, ErrorCode::Overloaded, true),
            (504, ErrorCode::DeadlineExceeded, true),
        ];
        for (status, code, retryable) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let failed = by_status(status, "oops".to_owned(), |message| invalid("", message));
            assert_eq!((failed.code(), failed.retryable), (code, retryable), "{status}");
        }
    }

    #[test]
    fn dead_engines_and_full_memories_are_told_from_failed_requests() {
        let cases = [
            ("EngineCore encountered an issue. See stack trace (above) for the root cause.", ErrorCode::ReplicaLost),
            ("CUDA out of memory. Tried to allocate 2.00 GiB.", ErrorCode::EngineOutOfMemory),
            ("EngineCore died: torch.OutOfMemoryError", ErrorCode::EngineOutOfMemory),
            ("failed to allocate compute buffers", ErrorCode::EngineOutOfMemory),
            ("Internal server error", ErrorCode::EngineFailed),
        ];
        for (message, code) in cases {
            assert_eq!((broken(message).code(), broken(message).retryable), (code, true), "{message}");
        }
    }
}

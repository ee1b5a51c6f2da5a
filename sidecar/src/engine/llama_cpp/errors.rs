//! llama.cpp's error answers, read into the gateway's failures. No I/O.

use std::borrow::Cow;

use cloudach_proto::v1::{ErrorCode, Failed};
use http::StatusCode;
use serde::Deserialize;

use super::super::{
    call::brief,
    failure::{invalid, lost, too_long, unsupported},
};

/// The inside of `{"error": ..}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    n_prompt_tokens: u32,
    #[serde(default)]
    n_ctx: u32,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<Body<'a>>,
}

/// An answer with a status other than 200.
pub(super) fn failed(status: StatusCode, body: &[u8]) -> Failed {
    let error = serde_json::from_slice::<Answer<'_>>(body).ok().and_then(|answer| answer.error).unwrap_or_default();
    let message = if error.message.is_empty() {
        format!("the engine answered {status}: {}", brief(&String::from_utf8_lossy(body)))
    } else {
        brief(&error.message)
    };
    match (status, &*error.kind) {
        (_, "exceed_context_size_error") => too_long(message, error.n_ctx, error.n_prompt_tokens),
        // An embedding's input must fit into one step; the server calls that its own error.
        (_, "server_error") if error.message.contains("too large to process") => {
            let (prompt_tokens, step) = two_numbers(&error.message);
            too_long(message, step, prompt_tokens)
        }
        (StatusCode::NOT_IMPLEMENTED, _) => unsupported("model", message),
        (StatusCode::NOT_FOUND, _) => unsupported("", message),
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _) => {
            Failed::retryable(ErrorCode::Overloaded, message)
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Failed::new(ErrorCode::EngineFailed, message),
        (status, _) if status.is_client_error() => invalid(param(&error.message), message),
        _ => Failed::retryable(ErrorCode::EngineFailed, message),
    }
}

/// An error in the middle of a stream: this engine does not go on with the request, and another can.
pub(super) fn in_stream(error: &Body<'_>) -> Failed {
    lost(brief(&error.message))
}

/// The first two numbers of a message that has no fields for them; 0 for one that is not there.
fn two_numbers(message: &str) -> (u32, u32) {
    let mut numbers = message.split(|character: char| !character.is_ascii_digit()).filter_map(|text| text.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The parameter to blame, by OpenAI's name.
fn param(message: &str) -> &'static str {
    if message.contains("grammar") || message.contains("schema") { "response_format" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let too_long = r#"{"error":{"code":400,"message":"request (3001 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":3001,"n_ctx":2048}}"#;
        let batch = r#"{"error":{"code":500,"message":"input (3001 tokens) is too large to process. increase the physical batch size (current batch size: 2048)","type":"server_error"}}"#;
        let grammar = r#"{"error":{"code":400,"message":"Failed to initialize samplers: failed to parse grammar","type":"invalid_request_error"}}"#;
        let none = r#"{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`","type":"not_supported_error"}}"#;
        let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
        let cases = [
            (400, too_long, ErrorCode::ContextLengthExceeded, false, ""),
            (500, batch, ErrorCode::ContextLengthExceeded, false, ""),
            (400, grammar, ErrorCode::InvalidRequest, false, "response_format"),
            (501, none, ErrorCode::Unsupported, false, "model"),
            (503, loading, ErrorCode::Overloaded, true, ""),
            (500, "oops", ErrorCode::EngineFailed, true, ""),
            (400, "", ErrorCode::InvalidRequest, false, ""),
        ];
        for (status, body, code, retryable, param) in cases {
            let failed = failed(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!((failed.code(), failed.retryable, failed.param.as_str()), (code, retryable, param), "{body}");
            assert!(!failed.message.is_empty());
        }
        let failed = failed(StatusCode::BAD_REQUEST, too_long.as_bytes());
        assert_eq!((failed.context_length, failed.prompt_tokens), (2048, 3001));
    }
}

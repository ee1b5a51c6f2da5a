//! llama.cpp's error answers, read into the gateway's failures. No I/O.

use std::borrow::Cow;

use cloudach_proto::v1::Failed;
use http::StatusCode;
use serde::Deserialize;

use super::super::{
    call::brief,
    failure::{by_status, invalid, said, too_long, unsupported},
};

/// The inside of `{"error": ..}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body<'a> {
    #[serde(default)]
    code: u16,
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

/// An answer with a status other than 200. `constraint`: the parameter that the request's constraint came in.
pub(super) fn failed(status: StatusCode, body: &[u8], constraint: &str) -> Failed {
    let error = serde_json::from_slice::<Answer<'_>>(body).ok().and_then(|answer| answer.error).unwrap_or_default();
    read(status, &error, said(status, &error.message, body), constraint)
}

/// An error in the middle of a stream. It bears the status that an answer would have had.
pub(super) fn in_stream(error: &Body<'_>, constraint: &str) -> Failed {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    read(status, error, brief(&error.message), constraint)
}

fn read(status: StatusCode, error: &Body<'_>, message: String, constraint: &str) -> Failed {
    match (status, &*error.kind) {
        (_, "exceed_context_size_error") => too_long(message, error.n_ctx, error.n_prompt_tokens),
        // An embedding's input must fit into one step; the server calls that its own error.
        (_, "server_error") if error.message.contains("too large to process") => {
            let (prompt_tokens, step) = two_numbers(&error.message);
            too_long(message, step, prompt_tokens)
        }
        // The answer filled the context.
        (_, "server_error") if error.message.contains("Context size has been exceeded") => too_long(message, 0, 0),
        // `/detokenize` looks ids up without looking whether they are there.
        (_, "server_error") if error.message.contains("_M_range_check") => {
            invalid("prompt", "the prompt contains tokens that the model does not have")
        }
        (StatusCode::NOT_IMPLEMENTED, _) => unsupported("model", message),
        (StatusCode::NOT_FOUND, _) => unsupported("", message),
        (status, _) => by_status(status, message, |message| invalid(param(&error.message, constraint), message)),
    }
}

/// The first two numbers of a message that has no fields for them; 0 for one that is not there.
fn two_numbers(message: &str) -> (u32, u32) {
    let mut numbers = message.split(|character: char| !character.is_ascii_digit()).filter_map(|text| text.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The parameter to blame, by OpenAI's name.
fn param<'a>(message: &str, constraint: &'a str) -> &'a str {
    if message.contains("grammar") || message.contains("schema") {
        constraint
    } else if message.contains("invalid tokens") {
        "prompt"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::ErrorCode;

    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let too_long = r#"{"error":{"code":400,"message":"request (3001 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":3001,"n_ctx":2048}}"#;
        let batch = r#"{"error":{"code":500,"message":"input (3001 tokens) is too large to process. increase the physical batch size (current batch size: 2048)","type":"server_error"}}"#;
        let grammar = r#"{"error":{"code":400,"message":"Failed to initialize samplers: failed to parse grammar","type":"invalid_request_error"}}"#;
        let none = r#"{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`","type":"not_supported_error"}}"#;
        let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
        let exceeded = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
        let unknown = r#"{"error":{"code":500,"message":"vector::_M_range_check: __n (which is 99) >= this->size() (which is 49)","type":"server_error"}}"#;
        let tokens =
            r#"{"error":{"code":400,"message":"Prompt contains invalid tokens","type":"invalid_request_error"}}"#;
        let memory = r#"{"error":{"code":500,"message":"failed to allocate compute buffers","type":"server_error"}}"#;
        let cases = [
            (400, too_long, ErrorCode::ContextLengthExceeded, false, ""),
            (500, batch, ErrorCode::ContextLengthExceeded, false, ""),
            (400, grammar, ErrorCode::InvalidRequest, false, "response_format"),
            (501, none, ErrorCode::Unsupported, false, "model"),
            (503, loading, ErrorCode::Overloaded, true, ""),
            (500, "oops", ErrorCode::EngineFailed, true, ""),
            (500, exceeded, ErrorCode::ContextLengthExceeded, false, ""),
            (500, unknown, ErrorCode::InvalidRequest, false, "prompt"),
            (400, tokens, ErrorCode::InvalidRequest, false, "prompt"),
            (500, memory, ErrorCode::EngineOutOfMemory, true, ""),
            (400, "", ErrorCode::InvalidRequest, false, ""),
        ];
        for (status, body, code, retryable, param) in cases {
            let failed = failed(StatusCode::from_u16(status).unwrap(), body.as_bytes(), "response_format");
            assert_eq!((failed.code(), failed.retryable, failed.param.as_str()), (code, retryable, param), "{body}");
            assert!(!failed.message.is_empty());
        }
        let failed = failed(StatusCode::BAD_REQUEST, too_long.as_bytes(), "");
        assert_eq!((failed.context_length, failed.prompt_tokens), (2048, 3001));
    }
}

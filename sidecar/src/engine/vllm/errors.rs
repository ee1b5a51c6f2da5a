//! vLLM's error answers, read into the gateway's failures. No I/O.
//!
//! The two front ends word the same mistake differently, and only the wording tells some mistakes apart; that is why
//! texts are matched here and nowhere else.

use std::borrow::Cow;

use cloudach_proto::v1::{ErrorCode, Failed};
use http::StatusCode;
use serde::Deserialize;

use super::super::{
    call::brief,
    failure::{invalid, lost, too_long},
};

/// The inside of `{"error": ..}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    param: Option<Cow<'a, str>>,
    #[serde(default)]
    code: Option<Code>,
}

/// The Python front end's codes are numbers, the Rust one's are names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Code {
    Number(u16),
    #[expect(dead_code, reason = "only told apart from numbers")]
    Name(String),
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
    match status {
        StatusCode::NOT_FOUND if error.message.is_empty() => {
            Failed::new(ErrorCode::Unsupported, "this engine's model does not offer this kind of request")
        }
        StatusCode::NOT_FOUND => Failed::retryable(ErrorCode::ModelUnavailable, message),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Failed::retryable(ErrorCode::Overloaded, message)
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failed::new(ErrorCode::EngineFailed, message),
        status if status.is_client_error() => refused(&error, message),
        _ => broken(&message),
    }
}

/// An error in the middle of a stream.
pub(super) fn in_stream(error: &Body<'_>) -> Failed {
    match error.code {
        Some(Code::Number(400..=499)) => refused(error, brief(&error.message)),
        _ => match broken(&error.message) {
            memory if memory.code() == ErrorCode::EngineOutOfMemory => memory,
            // Whatever it was, this engine does not go on with the request, and another can.
            _ => lost(brief(&error.message)),
        },
    }
}

fn refused(error: &Body<'_>, message: String) -> Failed {
    if is_too_long(error) {
        let context_length = number_after(&error.message, "maximum context length is ")
            .or_else(|| number_after(&error.message, "maximum model length of "));
        let prompt_tokens = number_before(&error.message, " input tokens");
        return too_long(message, context_length.unwrap_or(0), prompt_tokens.unwrap_or(0));
    }
    invalid(&param(error), message)
}

fn is_too_long(error: &Body<'_>) -> bool {
    const WORDINGS: [&str; 3] = [
        "maximum context length is",
        "longer than the maximum model length",
        // The prompt fills the context exactly. A request for 0 tokens is refused before it gets here.
        "max_tokens must be at least 1, got",
    ];
    error.param.as_deref() == Some("input_tokens") || WORDINGS.iter().any(|wording| error.message.contains(wording))
}

fn broken(message: &str) -> Failed {
    if message.contains("EngineCore") || message.contains("EngineDead") {
        lost(brief(message))
    } else if message.contains("out of memory") {
        Failed::retryable(ErrorCode::EngineOutOfMemory, brief(message))
    } else {
        Failed::retryable(ErrorCode::EngineFailed, brief(message))
    }
}

/// The parameter to blame, by OpenAI's name.
fn param(error: &Body<'_>) -> String {
    const STRUCTURED: [&str; 5] = ["Grammar error", "grammar", "structured_outputs", "structured outputs", "JSON schema"];
    if let Some(param) = error.param.as_deref().map(|param| param.strip_prefix("body.").unwrap_or(param)) {
        // `body.1` is a place in malformed JSON.
        return if param.parse::<u32>().is_ok() { String::new() } else { brief(param) };
    }
    if let Some((_, after)) = error.message.rsplit_once("(parameter=")
        && let Some((param, _)) = after.split_once([',', ')'])
    {
        return param.to_owned();
    }
    if STRUCTURED.iter().any(|word| error.message.contains(word)) {
        return "response_format".to_owned();
    }
    match error.message.split_once(": Validation error") {
        Some((param, _)) if !param.contains(' ') => param.to_owned(),
        _ => String::new(),
    }
}

fn number_after(text: &str, before: &str) -> Option<u32> {
    let (_, rest) = text.split_once(before)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

fn number_before(text: &str, after: &str) -> Option<u32> {
    let (head, _) = text.split_once(after)?;
    head.rsplit(' ').next()?.parse().ok()
}

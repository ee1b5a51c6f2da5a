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
    failure::{by_status, invalid, said, too_long},
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
    Name(String),
}

impl Code {
    /// The status that it stands for.
    fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Number(number) => StatusCode::from_u16(*number).ok(),
            Self::Name(name) if REFUSALS.contains(&name.as_str()) => Some(StatusCode::BAD_REQUEST),
            Self::Name(_) => None,
        }
    }
}

/// The Rust front end's codes for what is wrong with a request.
const REFUSALS: [&str; 3] = ["invalid_request_error", "json_parse_error", "model_not_found"];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<Body<'a>>,
}

/// An answer with a status other than 200. `constraint`: the parameter that the request's constraint came in.
pub(super) fn failed(status: StatusCode, body: &[u8], constraint: &str) -> Failed {
    let error = serde_json::from_slice::<Answer<'_>>(body).ok().and_then(|answer| answer.error).unwrap_or_default();
    let message = said(status, &error.message, body);
    match status {
        StatusCode::NOT_FOUND if error.message.is_empty() => {
            Failed::new(ErrorCode::Unsupported, "this engine's model does not offer this kind of request")
        }
        StatusCode::NOT_FOUND => Failed::retryable(ErrorCode::ModelUnavailable, message),
        status => by_status(status, message, |message| refused(&error, message, constraint)),
    }
}

/// An error in the middle of a stream. It bears the status that an answer would have had.
pub(super) fn in_stream(error: &Body<'_>, constraint: &str) -> Failed {
    let status = error.code.as_ref().and_then(Code::status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    by_status(status, brief(&error.message), |message| refused(error, message, constraint))
}

fn refused(error: &Body<'_>, message: String, constraint: &str) -> Failed {
    if is_too_long(error) {
        let context_length = number_after(&error.message, "maximum context length is ")
            .or_else(|| number_after(&error.message, "maximum model length of "));
        let prompt_tokens = number_before(&error.message, " input tokens");
        return too_long(message, context_length.unwrap_or(0), prompt_tokens.unwrap_or(0));
    }
    invalid(&param(error, constraint), message)
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

/// The parameter to blame, by OpenAI's name.
fn param(error: &Body<'_>, constraint: &str) -> String {
    const CONSTRAINT: [&str; 7] = [
        "Grammar error",
        "grammar",
        "structured_outputs",
        "structured outputs",
        "JSON schema",
        "cannot be an empty list",
        "regex parse error",
    ];
    if CONSTRAINT.iter().any(|word| error.message.contains(word)) {
        return constraint.to_owned();
    }
    if let Some(param) = error.param.as_deref().map(|param| param.strip_prefix("body.").unwrap_or(param)) {
        // `body.1` is a place in malformed JSON.
        return if param.parse::<u32>().is_ok() { String::new() } else { brief(param) };
    }
    if let Some((_, after)) = error.message.rsplit_once("(parameter=")
        && let Some((param, _)) = after.split_once([',', ')'])
    {
        return brief(param);
    }
    // Whatever can be wrong with ids is wrong with the prompt's: those of other parameters are named.
    if error.message.contains("out of vocabulary") {
        return "prompt".to_owned();
    }
    first_word(&error.message)
}

/// Many messages begin with the parameter: `min_p must be in [0, 1], got 2.0.`, `temperature: Validation error: ..`.
fn first_word(message: &str) -> String {
    const NAMES: [&str; 14] = [
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "priority",
        "repetition_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    ];
    let word = message.split([' ', ':', '=']).next().unwrap_or_default();
    NAMES.into_iter().find(|name| *name == word).unwrap_or_default().to_owned()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(message: &str, param: Option<&str>, code: u16) -> String {
        json!({"error": {"message": message, "type": "BadRequestError", "param": param, "code": code}}).to_string()
    }

    #[test]
    fn both_front_ends_prompts_over_the_context_are_recognised() {
        let python = "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 \
                      input tokens, which exceeds this limit. (parameter=input_tokens, value=2049)";
        let rust = "this model's maximum context length is 2048 tokens, but the prompt contains 3001 input tokens";
        let characters = "This model's maximum context length is 256 tokens. However, your prompt contains 5000 \
                          characters (more than 4608 characters, which is the upper bound for 256 input tokens).";
        let full = "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)";
        let cases = [
            (answer(python, Some("input_tokens"), 400), 2048, 2049),
            (json!({"error": {"message": rust, "code": "invalid_request_error"}}).to_string(), 2048, 3001),
            (answer(characters, Some("input_tokens"), 400), 256, 256),
            (answer(full, Some("max_tokens"), 400), 0, 0),
        ];
        for (body, context_length, prompt_tokens) in cases {
            let failed = failed(StatusCode::BAD_REQUEST, body.as_bytes(), "");
            assert_eq!(failed.code(), ErrorCode::ContextLengthExceeded, "{body}");
            assert_eq!((failed.context_length, failed.prompt_tokens), (context_length, prompt_tokens), "{body}");
        }
    }

    #[test]
    fn parameters_are_blamed() {
        let cases = [
            (
                answer("temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)", None, 400),
                "temperature",
            ),
            (answer("Token id 99999999 is out of vocabulary", None, 400), "prompt"),
            (
                answer(
                    "token_id(s) [9] in logit_bias contain out-of-vocab token ids. (parameter=logit_bias)",
                    None,
                    400,
                ),
                "logit_bias",
            ),
            (answer("min_tokens must be less than or equal to max_tokens=2, got 5.", None, 400), "min_tokens"),
            (answer("stop cannot contain an empty string.", None, 400), "stop"),
            (answer("Nothing known is wrong", None, 400), ""),
            (answer("Grammar error: Invalid type: foo", None, 400), "response_format"),
            (answer("Grammar error: Unimplemented keys: [\"not\"]", None, 400), "response_format"),
            (answer("Grammar error: regex parse error:\n    (?=a)b", None, 400), "response_format"),
            (answer("Invalid grammar specification: Expected ::= at line 1", None, 400), "response_format"),
            (answer("Choice '[]' cannot be an empty list", None, 400), "response_format"),
            (
                answer("2 validation errors: body.structured_outputs.json", Some("body.structured_outputs.json"), 400),
                "response_format",
            ),
            (
                answer(
                    "The JSON schema is nested too deeply: objects and arrays may nest at most 64 levels",
                    None,
                    400,
                ),
                "response_format",
            ),
            (answer("1 validation error", Some("body.max_tokens"), 400), "max_tokens"),
            (answer("Expecting value", Some("body.1"), 400), ""),
            (
                json!({"error": {"message": "temperature: Validation error: range", "code": "x"}}).to_string(),
                "temperature",
            ),
            ("not json".to_owned(), ""),
        ];
        for (body, param) in cases {
            let failed = failed(StatusCode::BAD_REQUEST, body.as_bytes(), "response_format");
            assert_eq!((failed.code(), failed.param.as_str()), (ErrorCode::InvalidRequest, param), "{body}");
            assert!(!failed.retryable && !failed.message.is_empty());
        }
    }

    #[test]
    fn statuses_are_told_apart() {
        let busy = answer("The engine is currently busy and cannot accept new requests.", None, 503);
        let core = answer("EngineCore encountered an issue. See stack trace (above) for the root cause.", None, 500);
        let cases = [
            (404, r#"{"detail":"Not Found"}"#, ErrorCode::Unsupported, false),
            (404, "", ErrorCode::Unsupported, false),
            (404, &answer("The model `nope` does not exist.", Some("model"), 404), ErrorCode::ModelUnavailable, true),
            (503, &busy, ErrorCode::Overloaded, true),
            (500, &core, ErrorCode::ReplicaLost, true),
            (500, &answer("CUDA out of memory. Tried", None, 500), ErrorCode::EngineOutOfMemory, true),
            (504, "upstream timed out", ErrorCode::DeadlineExceeded, true),
            (500, &answer("Internal server error", None, 500), ErrorCode::EngineFailed, true),
            (401, &answer("Unauthorized", None, 401), ErrorCode::EngineFailed, false),
            (405, r#"{"detail":"Method Not Allowed"}"#, ErrorCode::InvalidRequest, false),
        ];
        for (status, body, code, retryable) in cases {
            let failed = failed(StatusCode::from_u16(status).unwrap(), body.as_bytes(), "");
            assert_eq!((failed.code(), failed.retryable), (code, retryable), "{status} {body}");
        }
    }

    fn named(message: &str, code: &str) -> String {
        json!({"error": {"message": message, "type": code, "param": null, "code": code}}).to_string()
    }

    #[test]
    fn in_a_stream_the_same_is_understood() {
        let too_long =
            "This model's maximum context length is 2048 tokens. However, your prompt contains 3000 input tokens";
        let dead = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
        let cases = [
            (answer(too_long, Some("input_tokens"), 400), ErrorCode::ContextLengthExceeded, false, ""),
            (
                answer("Grammar error: Invalid type: foo", None, 400),
                ErrorCode::InvalidRequest,
                false,
                "structured_outputs",
            ),
            (
                answer("CUDA out of memory. Tried to allocate 2.00 GiB", None, 500),
                ErrorCode::EngineOutOfMemory,
                true,
                "",
            ),
            (answer(dead, None, 500), ErrorCode::ReplicaLost, true, ""),
            (answer("Internal server error", None, 500), ErrorCode::EngineFailed, true, ""),
            (
                answer("The engine is currently busy and cannot accept new requests.", None, 503),
                ErrorCode::Overloaded,
                true,
                "",
            ),
            // The Rust front end's codes are names.
            (named("failed", "server_error"), ErrorCode::EngineFailed, true, ""),
            (named("top_p must be in (0, 1]", "invalid_request_error"), ErrorCode::InvalidRequest, false, "top_p"),
        ];
        for (event, code, retryable, param) in cases {
            let parsed: Answer<'_> = serde_json::from_str(&event).unwrap();
            let failed = in_stream(&parsed.error.unwrap(), "structured_outputs");
            assert_eq!((failed.code(), failed.retryable, failed.param.as_str()), (code, retryable, param), "{event}");
        }
    }

    #[test]
    fn hostile_bodies_are_survived() {
        let long = format!(r#"{{"error":{{"message":"{}","param":"{}"}}}}"#, "é".repeat(100_000), "p".repeat(100_000));
        let nested = "[".repeat(100_000);
        for body in [long.as_bytes(), nested.as_bytes(), b"\xff\xfe", b"{\"error\":7}", b"{\"error\":{\"param\":7}}"] {
            let failed = failed(StatusCode::BAD_REQUEST, body, "");
            assert!(failed.message.chars().count() < 1000 && failed.param.len() < 1000);
        }
    }
}

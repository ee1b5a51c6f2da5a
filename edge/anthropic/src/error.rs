//! Anthropic's error envelope, and its words for what an error is.

use cloudach_openai::Told;
use serde::Serialize;

/// Anthropic's status for what OpenAI answers with 503.
pub const STATUS_OVERLOADED: u16 = 529;

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// The body of an answer that is an error.
pub fn error_body(told: &Told, request_id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write(told, Some(request_id), &mut out);
    out
}

/// Appends the event that ends a stream which failed after it began.
pub fn error_event(told: &Told, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: ");
    write(told, None, out);
    out.extend_from_slice(b"\n\n");
}

fn write(told: &Told, request_id: Option<&str>, out: &mut Vec<u8>) {
    let error = Body { r#type: kind(told.status), message: message(told) };
    let envelope = Envelope { r#type: "error", error, request_id };
    serde_json::to_writer(out, &envelope).expect("texts always have a JSON form, and memory takes all of it");
}

/// By the statuses of OpenAI's errors.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 | 405 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | STATUS_OVERLOADED => "overloaded_error",
        408 | 504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// What is said of keys names OpenAI's header; everything else reads the same.
fn message(told: &Told) -> &str {
    match (told.status, told.code) {
        (401, None) => "x-api-key header is required",
        (401, Some("invalid_api_key")) => "invalid x-api-key",
        _ => &told.message,
    }
}

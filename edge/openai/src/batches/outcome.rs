//! A line of a batch's output: what became of a request.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::batches::batch::Used;
use crate::json;

/// Which of a batch's two files a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The output: it was answered.
    Completed,
    /// The errors.
    Failed,
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    custom_id: &'a str,
    response: Option<Response<'a>>,
    error: Option<Error<'a>>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
}

/// The line of a request that has got an answer, good or bad. Whatever is not JSON, or broken over lines, is written as JSON in one
/// line.
pub fn answered(id: &str, custom_id: &str, status_code: u16, request_id: &str, body: &[u8]) -> Vec<u8> {
    let raw = std::str::from_utf8(body).ok().filter(|text| !text.contains(['\n', '\r']));
    let raw = raw.and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok());
    let raw = raw.or_else(|| {
        let value = serde_json::from_slice::<serde_json::Value>(body);
        let value = value.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
        serde_json::value::to_raw_value(&value).ok()
    });
    let response = raw.as_deref().map(|body| Response { status_code, request_id, body });
    written(&Written { id, custom_id, response, error: None })
}

/// The line of a request that was not answered.
pub fn unanswered(id: &str, custom_id: &str, code: &str, message: &str) -> Vec<u8> {
    written(&Written { id, custom_id, response: None, error: Some(Error { code, message }) })
}

fn written(line: &Written<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    json::write(&mut out, line);
    out.push(b'\n');
    out
}

/// The usage of an answer, whatever its endpoint calls it.
pub fn used_by(body: &[u8]) -> Used {
    #[derive(Deserialize, Default)]
    struct Body {
        usage: Option<Usage>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Usage {
        #[serde(alias = "prompt_tokens")]
        input_tokens: u64,
        #[serde(alias = "completion_tokens")]
        output_tokens: u64,
        #[serde(alias = "prompt_tokens_details")]
        input_tokens_details: Option<Input>,
        #[serde(alias = "completion_tokens_details")]
        output_tokens_details: Option<Output>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Input {
        cached_tokens: Option<u64>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Output {
        reasoning_tokens: Option<u64>,
    }
    let usage = serde_json::from_slice::<Body>(body).unwrap_or_default().usage.unwrap_or_default();
    Used {
        input: usage.input_tokens,
        cached: usage.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or_default(),
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: Vec<u8>) -> String {
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn an_answer_is_one_line_and_its_body_as_it_was() {
        assert_eq!(
            text(answered("batch_req_1", "a\n", 200, "req_1", br#"{"x":1.0, "y":"\n"}"#)),
            concat!(
                r#"{"id":"batch_req_1","custom_id":"a\n","response":{"status_code":200,"request_id":"req_1","#,
                r#""body":{"x":1.0, "y":"\n"}},"error":null}"#,
                "\n"
            )
        );
        for (body, expected) in [("{\n \"x\": 1\n}", r#""body":{"x":1}"#), ("no\njson", r#""body":"no\njson""#)] {
            let line = text(answered("i", "a", 500, "r", body.as_bytes()));
            assert!(line.contains(expected) && line.matches('\n').count() == 1, "{line}");
        }
        assert!(text(answered("i", "a", 500, "r", b"\xff")).contains("\u{fffd}"));
    }

    #[test]
    fn what_was_not_answered_says_why() {
        assert_eq!(
            text(unanswered("batch_req_1", "a", "batch_expired", "Too late.")),
            concat!(
                r#"{"id":"batch_req_1","custom_id":"a","response":null,"#,
                r#""error":{"code":"batch_expired","message":"Too late."}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn usage_has_one_name() {
        let used = |input, cached, output, reasoning| Used { input, cached, output, reasoning };
        for (body, expected) in [
            (
                r#"{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
                used(7, 2, 3, 1),
            ),
            (
                r#"{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":10}}"#,
                used(7, 2, 3, 1),
            ),
            (r#"{"usage":{"prompt_tokens":7,"total_tokens":7,"prompt_tokens_details":null}}"#, used(7, 0, 0, 0)),
            (r#"{"usage":null}"#, used(0, 0, 0, 0)),
            ("no", used(0, 0, 0, 0)),
        ] {
            assert_eq!(used_by(body.as_bytes()), expected, "{body}");
        }
    }
}

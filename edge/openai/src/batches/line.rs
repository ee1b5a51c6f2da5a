//! One line of a batch's input: a request.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::batches::batch::BatchError;
use crate::batches::create::Endpoint;
use crate::invalid::shorten;
use crate::reader::kind;

/// Characters of a `custom_id`.
const MOST_CUSTOM_ID: usize = 512;

/// A request that is to be answered.
#[derive(Debug)]
pub struct Line<'a> {
    pub custom_id: String,
    pub model: String,
    /// As it was written.
    pub body: &'a str,
}

#[derive(Deserialize)]
struct Written<'a> {
    custom_id: Option<Value>,
    method: Option<Value>,
    url: Option<Value>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// What is looked at in a body before it is asked.
#[derive(Deserialize)]
struct Body {
    model: Option<Value>,
}

impl<'a> Line<'a> {
    /// Reads a line of a batch for `endpoint`.
    ///
    /// # Errors
    /// What is wrong with it, without its number.
    pub fn read(text: &'a [u8], endpoint: Endpoint) -> Result<Self, BatchError> {
        let not_json = || BatchError::new("invalid_json_line", "This line is not parseable as valid JSON.", None);
        let text = std::str::from_utf8(text).map_err(|_| not_json())?;
        // Whatever is not an object of these fields is told apart from what is no JSON at all.
        let written: Written<'a> =
            serde_json::from_str(text).map_err(|_| match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(_)) | Err(_) => not_json(),
                Ok(other) => BatchError::new(
                    "invalid_request",
                    format!("Each line must be a JSON object, but this one is {}.", kind(&other)),
                    None,
                ),
            })?;
        let custom_id = string("custom_id", written.custom_id)?;
        if custom_id.is_empty() || custom_id.chars().count() > MOST_CUSTOM_ID {
            let message = format!("Invalid 'custom_id': expected a string of 1 to {MOST_CUSTOM_ID} characters.");
            return Err(BatchError::new("invalid_custom_id", message, Some("custom_id")));
        }
        if string("method", written.method)? != "POST" {
            return Err(BatchError::new(
                "invalid_method",
                "Invalid HTTP method: only 'POST' is supported.",
                Some("method"),
            ));
        }
        let url = string("url", written.url)?;
        if url != endpoint.path() {
            let message = format!(
                "The URL provided for this request ('{}') does not match the batch endpoint ('{}').",
                shorten(&url),
                endpoint.path()
            );
            return Err(BatchError::new("invalid_url", message, Some("url")));
        }
        let body = written.body.ok_or_else(|| missing("body"))?.get();
        let Ok(Body { model }) = serde_json::from_str(body) else {
            let message = "Invalid type for 'body': expected an object.";
            return Err(BatchError::new("invalid_type", message, Some("body")));
        };
        let model = string("body.model", model)?;
        Ok(Self { custom_id, model, body })
    }
}

fn string(name: &str, value: Option<Value>) -> Result<String, BatchError> {
    match value {
        None | Some(Value::Null) => Err(missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            let message = format!("Invalid type for '{name}': expected a string, but got {} instead.", kind(&other));
            Err(BatchError::new("invalid_type", message, Some(name)))
        }
    }
}

fn missing(name: &str) -> BatchError {
    BatchError::new("missing_required_parameter", format!("Missing required parameter: '{name}'."), Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String, String), (String, Option<String>)> {
        match Line::read(text.as_bytes(), Endpoint::ChatCompletions) {
            Ok(line) => Ok((line.custom_id, line.model, line.body.to_owned())),
            Err(error) => Err((error.code, error.param)),
        }
    }

    #[test]
    fn a_line_is_a_request() {
        let line = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m", "n":1.0}}"#;
        let expected = ("a".to_owned(), "m".to_owned(), r#"{"model":"m", "n":1.0}"#.to_owned());
        assert_eq!(read(line), Ok(expected), "its body is not touched");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let url = r#""url":"/v1/chat/completions""#;
        for (line, code, param) in [
            ("", "invalid_json_line", None),
            ("{", "invalid_json_line", None),
            ("[1]", "invalid_request", None),
            ("7", "invalid_request", None),
            ("{}", "missing_required_parameter", Some("custom_id")),
            (r#"{"custom_id":null}"#, "missing_required_parameter", Some("custom_id")),
            (r#"{"custom_id":7}"#, "invalid_type", Some("custom_id")),
            (r#"{"custom_id":""}"#, "invalid_custom_id", Some("custom_id")),
            (r#"{"custom_id":"a"}"#, "missing_required_parameter", Some("method")),
            (r#"{"custom_id":"a","method":"GET"}"#, "invalid_method", Some("method")),
            (r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings"}"#, "invalid_url", Some("url")),
            (&format!(r#"{{"custom_id":"a","method":"POST",{url}}}"#), "missing_required_parameter", Some("body")),
            (&format!(r#"{{"custom_id":"a","method":"POST",{url},"body":"x"}}"#), "invalid_type", Some("body")),
            (
                &format!(r#"{{"custom_id":"a","method":"POST",{url},"body":{{}}}}"#),
                "missing_required_parameter",
                Some("body.model"),
            ),
            (
                &format!(r#"{{"custom_id":"a","method":"POST",{url},"body":{{"model":[]}}}}"#),
                "invalid_type",
                Some("body.model"),
            ),
        ] {
            assert_eq!(read(line), Err((code.to_owned(), param.map(str::to_owned))), "{line}");
        }
        assert!(Line::read(b"\xff", Endpoint::Embeddings).is_err());
    }
}

//! What a client asks for with a batch.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files;
use crate::invalid::Invalid;
use crate::reader::{Fields, Path, integer, one_of, string};
use crate::request;

/// Where the requests of a batch go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    #[serde(rename = "/v1/chat/completions")]
    ChatCompletions,
    #[serde(rename = "/v1/completions")]
    Completions,
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
    #[serde(rename = "/v1/responses")]
    Responses,
}

/// Those that there are, by their paths.
const ENDPOINTS: [(&str, Endpoint); 4] = [
    ("/v1/responses", Endpoint::Responses),
    ("/v1/chat/completions", Endpoint::ChatCompletions),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/completions", Endpoint::Completions),
];

impl Endpoint {
    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
        }
    }
}

/// A batch that was asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    pub input_file_id: String,
    pub endpoint: Endpoint,
    pub metadata: Option<Map<String, Value>>,
    /// Seconds for which its files are kept.
    pub output_seconds: Option<u64>,
}

impl Invalid {
    /// A tenant has as many batches that are not over as it may have.
    pub fn too_many_batches(most: usize) -> Self {
        Self::new(format!(
            "Your organization has {most} batches that are not over, which is all that it may have. Please try again when one of \
             them is."
        ))
        .code("batch_limit_exceeded")
    }

    /// The input of a batch was not uploaded for one.
    pub fn not_for_batches(id: &str) -> Self {
        Self::new(format!("Invalid 'input_file_id': the purpose of the file '{id}' is not 'batch'."))
            .param("input_file_id")
            .code("invalid_purpose")
    }

    /// A line of a batch wants what only a client can have that waits.
    pub fn not_in_a_batch(name: &str) -> Self {
        Self::new(format!("Unsupported parameter: '{name}' is not supported in batches."))
            .param(name)
            .code("unsupported_parameter")
    }
}

/// Reads the body of a request.
///
/// # Errors
/// What is wrong with it.
pub fn parse(body: &[u8]) -> Result<Create, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let create = Create {
        input_file_id: fields.require("input_file_id", string)?,
        endpoint: fields.require("endpoint", one_of(&ENDPOINTS))?,
        metadata: fields.read("metadata", request::metadata_pairs)?,
        output_seconds: fields.read("output_expires_after", expires_after)?,
    };
    fields.require("completion_window", one_of(&[("24h", ())]))?;
    fields.no_unrecognized()?;
    Ok(create)
}

fn expires_after(path: &Path<'_>, value: Value) -> Result<u64, Invalid> {
    let mut fields = Fields::of(path, value)?;
    fields.require("anchor", one_of(&[("created_at", ())]))?;
    let seconds = fields.require("seconds", integer(i64::MIN, i64::MAX))?;
    fields.no_unknown()?;
    files::within(path.field("seconds"), seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(over: &Value) -> Result<Create, (Option<&'static str>, Option<String>)> {
        let mut body =
            json!({ "input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h" });
        for (name, value) in over.as_object().unwrap() {
            match value {
                Value::Null => body.as_object_mut().unwrap().remove(name),
                value => body.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        parse(body.to_string().as_bytes()).map_err(|invalid| (invalid.code, invalid.param))
    }

    #[test]
    fn a_batch_names_its_file_and_where_its_lines_go() {
        let create = read(&json!({})).unwrap();
        assert_eq!((create.input_file_id.as_str(), create.endpoint), ("file-1", Endpoint::ChatCompletions));
        assert_eq!((create.metadata, create.output_seconds), (None, None));
        let create = read(&json!({
            "metadata": { "a": "b" }, "output_expires_after": { "anchor": "created_at", "seconds": 3600 }
        }));
        assert_eq!(create.unwrap().output_seconds, Some(3600));
        for (path, endpoint) in ENDPOINTS {
            assert_eq!(read(&json!({ "endpoint": path })).unwrap().endpoint, endpoint);
            assert_eq!((endpoint.path(), serde_json::to_value(endpoint).unwrap()), (path, json!(path)));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (over, code, param) in [
            (json!({ "input_file_id": null }), "missing_required_parameter", "input_file_id"),
            (json!({ "input_file_id": 7 }), "invalid_type", "input_file_id"),
            (json!({ "endpoint": "/v1/models" }), "invalid_value", "endpoint"),
            (json!({ "completion_window": "1h" }), "invalid_value", "completion_window"),
            (json!({ "completion_window": null }), "missing_required_parameter", "completion_window"),
            (json!({ "metadata": { "a": 1 } }), "invalid_type", "metadata.a"),
            (
                json!({ "output_expires_after": { "anchor": "created_at", "seconds": 60 } }),
                "integer_below_min_value",
                "output_expires_after.seconds",
            ),
            (
                json!({ "output_expires_after": { "anchor": "created_at" } }),
                "missing_required_parameter",
                "output_expires_after.seconds",
            ),
        ] {
            assert_eq!(read(&over), Err((Some(code), Some(param.to_owned()))), "{over}");
        }
        assert!(read(&json!({ "priority": 1 })).is_err());
    }
}

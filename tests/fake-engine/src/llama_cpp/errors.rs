//! Everything llama.cpp's server refuses, in its words.

use http::StatusCode;
use serde_json::{Value, json};

use crate::fault::Trouble;
use crate::fields::WrongType;
use crate::reply::Whole;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFound,
    Loading,
    BadJson(String),
    WrongType(WrongType),
    Missing(&'static str),
    EmptyPrompt,
    EmptyInput,
    InvalidTokens,
    TooLong { tokens: usize, context: u32 },
    InputTooLarge { tokens: usize, batch: u32 },
    Grammar,
    NoEmbeddings,
    NoReranking,
    NoDocuments,
    OutOfMemory,
    Failed,
    Ordered(StatusCode),
}

impl Refusal {
    /// What it says in this trouble; `context` is its context length.
    pub(crate) fn in_trouble(trouble: Trouble, context: u32) -> Self {
        match trouble {
            Trouble::Context => Self::TooLong { tokens: context as usize + 1, context },
            Trouble::Schema => Self::Grammar,
            Trouble::Overloaded => Self::Ordered(StatusCode::SERVICE_UNAVAILABLE),
            Trouble::OutOfMemory => Self::OutOfMemory,
            Trouble::Internal | Trouble::EngineDead => Self::Failed,
        }
    }

    pub(crate) fn answer(&self) -> Whole {
        let (status, kind, message) = self.words();
        let mut error = json!({"code": status.as_u16(), "message": message, "type": kind});
        if let Self::TooLong { tokens, context } = self {
            error["n_prompt_tokens"] = json!(tokens);
            error["n_ctx"] = json!(context);
        }
        Whole::json(status, &json!({"error": error}))
    }

    fn words(&self) -> (StatusCode, &'static str, String) {
        let bad = |message: String| (StatusCode::BAD_REQUEST, "invalid_request_error", message);
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found_error", "File Not Found".to_owned()),
            Self::Loading => (StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", "Loading model".to_owned()),
            Self::BadJson(reason) => {
                bad(format!("[json.exception.parse_error.101] parse error at line 1, column 1: {reason}"))
            }
            Self::WrongType(WrongType { field, expected, found }) => {
                let wanted = expected.json_type();
                let found = json_type(found);
                bad(format!("Field '{field}': [json.exception.type_error.302] type must be {wanted}, but is {found}"))
            }
            Self::Missing(field) => bad(format!("[json.exception.out_of_range.403] key '{field}' not found")),
            Self::EmptyPrompt => bad("\"prompt\" must not be empty".to_owned()),
            Self::EmptyInput => bad("Input content cannot be empty".to_owned()),
            Self::InvalidTokens => bad("Prompt contains invalid tokens".to_owned()),
            Self::TooLong { tokens, context } => (
                StatusCode::BAD_REQUEST,
                "exceed_context_size_error",
                format!(
                    "request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing \
                     it"
                ),
            ),
            Self::InputTooLarge { tokens, batch } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                format!(
                    "input ({tokens} tokens) is too large to process. increase the physical batch size (current batch \
                     size: {batch})"
                ),
            ),
            Self::Grammar => bad("Failed to initialize samplers: failed to parse grammar".to_owned()),
            Self::NoEmbeddings => (
                StatusCode::NOT_IMPLEMENTED,
                "not_supported_error",
                "This server does not support embeddings. Start it with `--embeddings`".to_owned(),
            ),
            Self::NoReranking => (
                StatusCode::NOT_IMPLEMENTED,
                "not_supported_error",
                "This server does not support reranking. Start it with `--reranking`".to_owned(),
            ),
            Self::NoDocuments => bad("\"documents\" must be a non-empty string array".to_owned()),
            Self::OutOfMemory => {
                let message = "failed to allocate compute buffers".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Compute error.".to_owned()),
            Self::Ordered(status) => {
                let kind = match *status {
                    StatusCode::SERVICE_UNAVAILABLE => "unavailable_error",
                    status if status.is_server_error() => "server_error",
                    _ => "invalid_request_error",
                };
                (*status, kind, format!("ordered failure with status {status}"))
            }
        }
    }
}

impl From<WrongType> for Refusal {
    fn from(wrong: WrongType) -> Self {
        Self::WrongType(wrong)
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

//! Everything vLLM refuses, in the words of each of its front ends.

use http::StatusCode;
use serde_json::{Value, json};

use crate::fault::Trouble;
use crate::fields::WrongType;
use crate::reply::Whole;
use crate::schema::SchemaError;
use crate::script::FrontEnd;
use crate::vocabulary;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFound,
    MethodNotAllowed,
    BadJson(String),
    WrongType(WrongType),
    UnknownModel {
        asked: String,
        served: String,
    },
    NoPrompt,
    PromptTooLong {
        tokens: usize,
        max: u32,
    },
    /// The prompt alone fills the context.
    NoRoom {
        tokens: usize,
        max: u32,
    },
    MaxTokensTooSmall(i64),
    MaxTokensTooLarge {
        asked: i64,
        max: u32,
    },
    OutOfVocabulary(u64),
    Temperature(f64),
    TopP(f64),
    Logprobs(i64),
    Schema(SchemaError),
    /// The fake cannot make an answer that fits this kind of constraint.
    Constraint(&'static str),
    TwoConstraints,
    /// The Rust front end answers one choice of one prompt.
    OnlyOne,
    Dimensions(String),
    /// As many queries as documents, or one.
    Lengths,
    LoraOff,
    AdapterMissing(String),
    AdapterLoaded(String),
    AdapterUnknown(String),
    Busy,
    /// The engine core has died.
    Internal,
    /// A request has failed.
    Failed,
    OutOfMemory,
    /// An ordered failure that has no words of its own.
    Other(StatusCode),
}

/// What the parts of an error body say.
struct Words {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Value,
}

impl Refusal {
    /// An ordered failure with this status.
    pub(crate) fn ordered(status: StatusCode) -> Self {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::Busy,
            StatusCode::INTERNAL_SERVER_ERROR => Self::Internal,
            other => Self::Other(other),
        }
    }

    /// What it says in this trouble; `context` is its context length.
    pub(crate) fn in_trouble(trouble: Trouble, context: u32) -> Self {
        match trouble {
            Trouble::Context => Self::PromptTooLong { tokens: context as usize + 1, max: context },
            Trouble::Schema => Self::Schema(SchemaError::Type("foo".to_owned())),
            Trouble::Overloaded => Self::Busy,
            Trouble::OutOfMemory => Self::OutOfMemory,
            Trouble::Internal => Self::Failed,
            Trouble::EngineDead => Self::Internal,
        }
    }

    pub(crate) fn answer(&self, front_end: FrontEnd) -> Whole {
        match (self, front_end) {
            (Self::NotFound, FrontEnd::Python) => Whole::json(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
            (Self::MethodNotAllowed, FrontEnd::Python) => {
                Whole::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": "Method Not Allowed"}))
            }
            (Self::NotFound, FrontEnd::Rust) => Whole::empty(StatusCode::NOT_FOUND),
            (Self::MethodNotAllowed, FrontEnd::Rust) => Whole::empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => {
                let words = match front_end {
                    FrontEnd::Python => self.python(),
                    FrontEnd::Rust => self.rust(),
                };
                Whole::json(words.status, &words.body())
            }
        }
    }

    /// The body alone, for an error event in a stream.
    pub(crate) fn event(&self, front_end: FrontEnd) -> Value {
        match front_end {
            FrontEnd::Python => self.python().body(),
            FrontEnd::Rust => self.rust().body(),
        }
    }

    fn python(&self) -> Words {
        let bad = |message: String, param: Option<&str>| Words::python(StatusCode::BAD_REQUEST, message, param);
        match self {
            Self::NotFound => Words::python(StatusCode::NOT_FOUND, "Not Found".to_owned(), None),
            Self::MethodNotAllowed => {
                Words::python(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned(), None)
            }
            Self::BadJson(reason) => {
                Words { kind: "Bad Request", ..bad(format!("JSON decode error: {reason}"), Some("body.1")) }
            }
            Self::WrongType(wrong) => {
                let (field, expected, found) = (&wrong.field, wrong.expected.in_words(), &wrong.found);
                let message = format!(
                    "1 validation error:\n  {{'type': 'parsing', 'loc': 'body.{field}', 'msg': 'Input should be \
                     {expected}', 'input': {found}}}"
                );
                Words { kind: "Bad Request", ..bad(message, Some(&format!("body.{}", wrong.field))) }
            }
            Self::UnknownModel { asked, served } => Words::python(
                StatusCode::NOT_FOUND,
                format!("The model `{asked}` does not exist. Valid aliases: {served}."),
                Some("model"),
            ),
            Self::NoPrompt => bad("Either prompt or prompt_embeds must be provided and non-empty.".to_owned(), None),
            Self::PromptTooLong { max, .. } => {
                let least = u64::from(*max) + 1;
                bad(
                    format!(
                        "This model's maximum context length is {max} tokens. However, your prompt contains at least \
                         {least} input tokens, which exceeds this limit even without any output tokens. Please reduce \
                         the length of the input prompt. (parameter=input_tokens, value={least})"
                    ),
                    Some("input_tokens"),
                )
            }
            Self::NoRoom { .. } => Self::MaxTokensTooSmall(0).python(),
            Self::MaxTokensTooSmall(asked) => bad(
                format!("max_tokens must be at least 1, got {asked}. (parameter=max_tokens, value={asked})"),
                Some("max_tokens"),
            ),
            Self::MaxTokensTooLarge { asked, max } => bad(
                format!(
                    "max_tokens={asked} cannot be greater than max_model_len={max}. Please request fewer output \
                     tokens. (parameter=max_tokens, value={asked})"
                ),
                Some("max_tokens"),
            ),
            Self::OutOfVocabulary(id) => bad(format!("Token id {id} is out of vocabulary"), None),
            Self::Temperature(asked) => bad(
                format!("temperature must be non-negative, got {asked:?}. (parameter=temperature, value={asked:?})"),
                Some("temperature"),
            ),
            Self::TopP(asked) => bad(
                format!("top_p must be in (0, 1], got {asked:?}. (parameter=top_p, value={asked:?})"),
                Some("top_p"),
            ),
            Self::Logprobs(asked) => bad(
                format!(
                    "Requested sample logprobs of {asked}, which is greater than max allowed: 20 \
                     (parameter=logprobs, value={asked})"
                ),
                Some("logprobs"),
            ),
            Self::Schema(error) => bad(format!("Grammar error: {error}"), None),
            Self::Constraint(kind) => bad(format!("Grammar error: the fake engine cannot follow `{kind}`"), None),
            Self::TwoConstraints => bad(
                "You can only use one kind of constraints for structured outputs \
                 ('json', 'regex', 'choice', 'grammar', 'json_object' or 'structural_tag')."
                    .to_owned(),
                None,
            ),
            Self::OnlyOne => bad("Only n=1 is supported.".to_owned(), None),
            Self::Dimensions(model) => bad(
                format!(
                    "Model \"{model}\" does not support Matryoshka embeddings; dimensions must be unset \
                     (parameter=dimensions)"
                ),
                Some("dimensions"),
            ),
            Self::Lengths => bad("Input lengths must be either 1:1, 1:N or N:N".to_owned(), None),
            Self::LoraOff => Words::python(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Call to add_lora method failed: Worker failed with error 'LoRA is not enabled. Use --enable-lora to \
                 enable LoRA.'"
                    .to_owned(),
                None,
            ),
            Self::AdapterMissing(name) => {
                let message = format!("Loading lora {name} failed: No adapter found for the given path");
                Words::python(StatusCode::NOT_FOUND, message, None)
            }
            Self::AdapterLoaded(name) => Words {
                kind: "InvalidUserInput",
                ..bad(format!("The lora adapter '{name}' has already been loaded."), None)
            },
            Self::AdapterUnknown(name) => {
                let message = format!("The lora adapter '{name}' cannot be found.");
                Words::python(StatusCode::NOT_FOUND, message, None)
            }
            Self::Busy => Words {
                kind: "Service Unavailable",
                ..Words::python(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The engine is currently busy and cannot accept new requests. Please try again later or on a \
                     different instance."
                        .to_owned(),
                    None,
                )
            },
            Self::Internal => Words::python(
                StatusCode::INTERNAL_SERVER_ERROR,
                "EngineCore encountered an issue. See stack trace (above) for the root cause.".to_owned(),
                None,
            ),
            Self::Failed => Words::python(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error".to_owned(), None),
            Self::OutOfMemory => Words::python(
                StatusCode::INTERNAL_SERVER_ERROR,
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which \
                 1.18 GiB is free."
                    .to_owned(),
                None,
            ),
            Self::Other(status) => Words::python(*status, format!("ordered failure with status {status}"), None),
        }
    }

    fn rust(&self) -> Words {
        let bad = |message: String| Words::rust(StatusCode::BAD_REQUEST, message, "invalid_request_error");
        match self {
            Self::BadJson(reason) => Words { code: json!("json_parse_error"), ..bad(reason.clone()) },
            Self::WrongType(wrong) => Words {
                code: json!("json_parse_error"),
                ..bad(format!("{}: expected {}, found {}", wrong.field, wrong.expected.in_words(), wrong.found))
            },
            Self::UnknownModel { asked, .. } => Words {
                status: StatusCode::NOT_FOUND,
                param: Some("model".to_owned()),
                code: json!("model_not_found"),
                ..bad(format!("The model `{asked}` does not exist."))
            },
            Self::PromptTooLong { tokens, max } | Self::NoRoom { tokens, max } => bad(format!(
                "this model's maximum context length is {max} tokens, but the prompt contains {tokens} input tokens"
            )),
            Self::OutOfVocabulary(id) => bad(format!(
                "token_id(s) [{id}] in prompt are out of vocabulary. Vocabulary size: {}",
                vocabulary::SIZE
            )),
            Self::Temperature(asked) => bad(format!(
                "temperature: Validation error: range [{{\"max\": Number(2.0), \"value\": Number({asked:?}), \"min\": \
                 Number(0.0)}}]"
            )),
            Self::Logprobs(asked) => {
                bad(format!("requested logprobs of {asked}, which is greater than max allowed: 20"))
            }
            Self::TwoConstraints => {
                bad("invalid structured_outputs: multiple structured output constraints specified".to_owned())
            }
            Self::Internal => {
                let message = "Internal server error".to_owned();
                Words::rust(StatusCode::INTERNAL_SERVER_ERROR, message, "server_error")
            }
            Self::Failed | Self::OutOfMemory => {
                let words = self.python();
                Words::rust(words.status, words.message, "server_error")
            }
            other => {
                let words = other.python();
                Words::rust(words.status, words.message, "invalid_request_error")
            }
        }
    }
}

impl Words {
    fn python(status: StatusCode, message: String, param: Option<&str>) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => "NotFoundError",
            status if status.is_server_error() => "InternalServerError",
            _ => "BadRequestError",
        };
        Self { status, message, kind, param: param.map(str::to_owned), code: json!(status.as_u16()) }
    }

    fn rust(status: StatusCode, message: String, kind: &'static str) -> Self {
        Self { status, message, kind, param: None, code: json!(kind) }
    }

    fn body(&self) -> Value {
        let Self { message, kind, param, code, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl From<WrongType> for Refusal {
    fn from(wrong: WrongType) -> Self {
        Self::WrongType(wrong)
    }
}

impl From<SchemaError> for Refusal {
    fn from(error: SchemaError) -> Self {
        Self::Schema(error)
    }
}

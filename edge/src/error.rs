//! Every error a client can see: its status, its body and its headers. Nothing else in the gateway decides these.
//!
//! Texts and codes are OpenAI's, because clients match on them.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cloudach_model::template::RenderError;
use cloudach_openai::{Invalid, error_body, error_event};
use cloudach_proto::v1::{ErrorCode, Failed};
use tracing::warn;

/// What clients are told to wait for when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No key came with the request.
    #[error("no API key")]
    NoKey,
    /// The key, masked, is not known.
    #[error("unknown API key {0}")]
    WrongKey(String),
    /// The body is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The body is larger than this many bytes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The connection broke while the body was read.
    #[error("the body could not be read")]
    BodyBroken,
    /// No such model for generating or embedding.
    #[error("unknown model {0}")]
    UnknownModel(String),
    /// No such model to show.
    #[error("unknown model {0}")]
    NoSuchModel(String),
    /// The model does not write text.
    #[error("the model does not generate")]
    CannotGenerate,
    /// The model does not chat: it has no chat template.
    #[error("the model has no chat template")]
    CannotChat,
    /// The model does not embed.
    #[error("the model does not embed")]
    CannotEmbed,
    /// The model's own chat template is broken: the operator's problem.
    #[error("the model's chat template cannot be used: {0}")]
    BrokenTemplate(String),
    /// No such path.
    #[error("unknown URL")]
    UnknownUrl { method: String, path: String },
    /// The path takes other methods.
    #[error("wrong method")]
    WrongMethod { method: String, path: String },
    /// As many requests are in progress as this edge carries.
    #[error("too many requests are in progress")]
    Full,
    /// The catalogue has not arrived yet, or no router is connected.
    #[error("no router is connected")]
    NoRouter,
    /// The way to the engine, or the engine, failed the request.
    #[error("{}", .0.message)]
    Upstream(Failed),
    /// A fault of this process.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<Failed> for ApiError {
    fn from(failed: Failed) -> Self {
        Self::Upstream(failed)
    }
}

impl From<RenderError> for ApiError {
    fn from(error: RenderError) -> Self {
        let param = match &error {
            RenderError::Message { index, .. } => format!("messages[{index}]"),
            RenderError::Tool { index, .. } => format!("tools[{index}]"),
            _ => "messages".to_owned(),
        };
        Self::Invalid(Invalid { message: error.to_string(), param: Some(param), code: None })
    }
}

impl ApiError {
    /// The event that ends an open stream.
    pub fn event(&self) -> Vec<u8> {
        let shown = self.shown();
        error_event(&shown.message, shown.kind, shown.param.as_deref(), shown.code)
    }

    fn shown(&self) -> Shown {
        use StatusCode as S;
        match self {
            Self::NoKey => Shown::invalid(
                S::UNAUTHORIZED,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                 Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            ),
            Self::WrongKey(masked) => Shown {
                code: Some("invalid_api_key"),
                ..Shown::invalid(S::UNAUTHORIZED, format!("Incorrect API key provided: {masked}."))
            },
            Self::Invalid(invalid) => Shown {
                param: invalid.param.clone(),
                code: invalid.code,
                ..Shown::invalid(S::BAD_REQUEST, invalid.message.clone())
            },
            Self::BodyTooLarge(limit) => Shown::invalid(
                S::PAYLOAD_TOO_LARGE,
                format!("The request body is larger than the {limit} bytes this server accepts."),
            ),
            Self::BodyTooSlow => {
                Shown::invalid(S::REQUEST_TIMEOUT, "The request body did not arrive in time. Please send it again.")
            }
            Self::BodyBroken => Shown::invalid(S::BAD_REQUEST, "The request body could not be read."),
            Self::UnknownModel(model) => Shown {
                code: Some("model_not_found"),
                ..Shown::invalid(
                    S::NOT_FOUND,
                    format!("The model `{model}` does not exist or you do not have access to it."),
                )
            },
            Self::NoSuchModel(model) => Shown {
                param: Some("model".to_owned()),
                code: Some("model_not_found"),
                ..Shown::invalid(S::NOT_FOUND, format!("The model '{model}' does not exist"))
            },
            Self::CannotGenerate => Shown::invalid(S::FORBIDDEN, "You are not allowed to sample from this model"),
            Self::CannotChat => Shown {
                param: Some("model".to_owned()),
                ..Shown::invalid(
                    S::NOT_FOUND,
                    "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you \
                     mean to use v1/completions?",
                )
            },
            Self::CannotEmbed => {
                Shown::invalid(S::FORBIDDEN, "You are not allowed to generate embeddings from this model")
            }
            Self::BrokenTemplate(error) => Shown::server(
                S::INTERNAL_SERVER_ERROR,
                format!("The chat template of this model cannot be used: {error}"),
            ),
            Self::UnknownUrl { method, path } if path.starts_with("/v1/") => {
                Shown::invalid(S::NOT_FOUND, format!("Invalid URL ({method} {path})"))
            }
            Self::UnknownUrl { method, path } => Shown {
                code: Some("unknown_url"),
                ..Shown::invalid(
                    S::NOT_FOUND,
                    format!("Unknown request URL: {method} {path}. Please check the URL for typos."),
                )
            },
            Self::WrongMethod { method, path } => Shown::invalid(
                S::METHOD_NOT_ALLOWED,
                format!("Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"),
            ),
            Self::Full => Shown::overloaded("This server is overloaded with other requests. Please try again later."),
            Self::NoRouter => Shown::overloaded("The service is starting or a part of it is away. Please try again."),
            Self::Upstream(failed) => Shown::upstream(failed),
            Self::Internal(_) => Shown::server(
                S::INTERNAL_SERVER_ERROR,
                "The server had an error while processing your request. Sorry about that!",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let shown = self.shown();
        if shown.status.is_server_error() {
            warn!(status = shown.status.as_u16(), error = %self, "request failed");
        }
        let body = error_body(&shown.message, shown.kind, shown.param.as_deref(), shown.code);
        let mut response = (shown.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Some(wait) = shown.retry_after {
            let headers = response.headers_mut();
            // Whole seconds for everyone, milliseconds for the SDKs that read them first.
            headers.insert(header::RETRY_AFTER, number(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
            headers.insert(
                HeaderName::from_static("retry-after-ms"),
                number(wait.as_millis().try_into().unwrap_or(u64::MAX)),
            );
        }
        response
    }
}

/// What the client sees.
struct Shown {
    status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Shown {
    fn invalid(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: "invalid_request_error",
            param: None,
            code: None,
            retry_after: None,
        }
    }

    fn server(status: StatusCode, message: impl Into<String>) -> Self {
        Self { kind: "server_error", ..Self::invalid(status, message) }
    }

    fn overloaded(message: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::server(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    fn upstream(failed: &Failed) -> Self {
        use StatusCode as S;
        let advice = (failed.retry_after_ms > 0).then(|| Duration::from_millis(failed.retry_after_ms));
        let param = (!failed.param.is_empty()).then(|| failed.param.clone());
        match failed.code() {
            ErrorCode::InvalidRequest => Self { param, ..Self::invalid(S::BAD_REQUEST, &*failed.message) },
            ErrorCode::Unsupported => {
                Self { param, code: Some("unsupported_parameter"), ..Self::invalid(S::BAD_REQUEST, &*failed.message) }
            }
            ErrorCode::ContextLengthExceeded => {
                Self { param, code: Some("context_length_exceeded"), ..Self::invalid(S::BAD_REQUEST, &*failed.message) }
            }
            ErrorCode::ModelNotFound => {
                Self { code: Some("model_not_found"), ..Self::invalid(S::NOT_FOUND, &*failed.message) }
            }
            ErrorCode::ModelUnavailable => Self {
                retry_after: advice.or(Some(RETRY_AFTER)),
                ..Self::server(
                    S::SERVICE_UNAVAILABLE,
                    "This model is not available right now: none of its replicas is ready. You can retry your request.",
                )
            },
            ErrorCode::Overloaded => Self {
                retry_after: advice.or(Some(RETRY_AFTER)),
                ..Self::server(
                    S::SERVICE_UNAVAILABLE,
                    "That model is currently overloaded with other requests. You can retry your request.",
                )
            },
            ErrorCode::ReplicaLost | ErrorCode::ShuttingDown | ErrorCode::EngineOutOfMemory => Self {
                retry_after: advice.or(Some(RETRY_AFTER)),
                ..Self::server(
                    S::SERVICE_UNAVAILABLE,
                    "The server that ran your request was lost. You can retry your request.",
                )
            },
            ErrorCode::DeadlineExceeded => {
                Self::server(S::GATEWAY_TIMEOUT, "The request took longer than this server allows.")
            }
            ErrorCode::EngineFailed | ErrorCode::SlowReader | ErrorCode::Internal | ErrorCode::Unspecified => {
                Self::server(
                    S::INTERNAL_SERVER_ERROR,
                    "The server had an error while processing your request. Sorry about that! You can retry your \
                     request.",
                )
            }
        }
    }
}

fn number(value: u64) -> HeaderValue {
    HeaderValue::from(value)
}

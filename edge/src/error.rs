//! Every error a client can see: its status, its body and its headers. Nothing else in the gateway decides these; the
//! table of all of them is in [`table`].

mod dialect;
mod retry;
mod table;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cloudach_model::template::RenderError;
use cloudach_openai::{Invalid, Told};
use cloudach_proto::v1::Failed;
pub use dialect::Dialect;
use table::Row;
use tracing::warn;

use crate::{access::limits::Exceeded, config::Links, http::headers::Reach, store::Away};

/// Where a request is let in: at OpenAI, responses have a gate of their own (compat-spec a.0, a.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Usual,
    OfResponses,
}

impl Door {
    /// Of the requests to this path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/responses") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::OfResponses,
            _ => Self::Usual,
        }
    }

    /// How far its refusals have come.
    fn reach(self) -> Reach {
        match self {
            Self::Usual => Reach::Gate,
            Self::OfResponses => Reach::Models,
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No key came with the request.
    #[error("no API key")]
    NoKey(Door),
    /// The key, masked, is not known.
    #[error("unknown API key {0}")]
    WrongKey(String, Door),
    /// The operator has stopped the key.
    #[error("the key is suspended")]
    Suspended,
    /// The key's limit is reached.
    #[error("the limit of the key is reached: {exceeded:?}")]
    RateLimited { exceeded: Exceeded, model: String, organization: String },
    /// The key is none of those that are remembered, and the store that knows it is away.
    #[error("the key cannot be looked up: {0}")]
    Keys(Away),
    /// The keys of the token's issuer are not there.
    #[error("the token cannot be checked: its issuer's keys are not there")]
    NoIssuerKeys,
    /// The key may not be used from the client's address.
    #[error("the key may not be used from this address")]
    WrongAddress,
    /// The key may not use the model.
    #[error("the key may not use {model}")]
    ModelNotAllowed { project: String, model: String },
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
    /// There are several idempotency keys, or one that is empty, too long or not printable.
    #[error("the idempotency key is not valid")]
    InvalidIdempotencyKey,
    /// A request with the same idempotency key is in progress.
    #[error("the idempotency key is in use")]
    IdempotencyKeyInUse,
    /// Another request had the same idempotency key.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// No such model for generating or embedding.
    #[error("unknown model {0}")]
    UnknownModel(String),
    /// No such model to show.
    #[error("unknown model {0}")]
    NoSuchModel(String),
    /// No such response of this tenant.
    #[error("unknown response {0}")]
    NoSuchResponse(String),
    /// A response cannot be found or kept, because the store is away.
    #[error("responses cannot be looked up: {0}")]
    Responses(Away),
    /// No such file of this tenant.
    #[error("unknown file {0}")]
    NoSuchFile(String),
    /// No such batch of this tenant.
    #[error("unknown batch {0}")]
    NoSuchBatch(String),
    /// The batch is over, or nearly.
    #[error("a batch that is {0} is not cancelled")]
    NotToCancel(&'static str),
    /// A file or a batch cannot be found or kept, because the store is away.
    #[error("files cannot be looked up: {0}")]
    Files(Away),
    /// No such conversation of this tenant.
    #[error("unknown conversation {0}")]
    NoSuchConversation(String),
    /// A conversation has no such item.
    #[error("unknown item {0}")]
    NoSuchItem(String),
    /// A conversation cannot be found or kept, because the store is away.
    #[error("conversations cannot be looked up: {0}")]
    Conversations(Away),
    /// The model does not write text.
    #[error("the model does not generate")]
    CannotGenerate,
    /// The model does not chat: it has no chat template.
    #[error("the model has no chat template")]
    CannotChat,
    /// The model does not embed.
    #[error("the model does not embed")]
    CannotEmbed,
    /// The model does not score.
    #[error("the model does not score")]
    CannotScore,
    /// The model's engine tells no tokens.
    #[error("the model's engine tells no tokens")]
    CannotTokenize,
    /// The model is not ready, because its chat template is broken: the operator's problem.
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

/// What the texts of errors are filled in with.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub links: &'a Links,
    pub request_id: &'a str,
    /// For logs. None: there is no trace.
    pub trace_id: Option<&'a str>,
}

impl ApiError {
    /// What a client gets to see of it, whose stream is open.
    pub fn told(&self, words: &Words<'_>) -> Told {
        let row = Row::of(self, words);
        row.told()
    }
}

/// A refusal on its way out, without its words: they name the request, which only the outside knows.
#[derive(Debug, Clone)]
struct Unworded(Arc<ApiError>);

impl IntoResponse for ApiError {
    /// The response is completed by [`put_into_words`].
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Unworded(Arc::new(self)));
        response
    }
}

impl ApiError {
    /// The status that it has where an answer has not begun.
    pub fn status(&self, words: &Words<'_>) -> StatusCode {
        Row::of(self, words).status
    }
}

/// Why a request is refused, for operators: nothing of what texts for clients quote of it.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// Of the error's envelope.
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub param: Option<String>,
    /// What failed here. None: it is the client's doing.
    pub failure: Option<String>,
}

/// Why the request of this response is refused. None: it is not.
pub fn refusal(response: &Response, words: &Words<'_>) -> Option<Refusal> {
    let Unworded(error) = response.extensions().get()?;
    let Row { status, kind, code, param, .. } = Row::of(error, words);
    let failure = status.is_server_error().then(|| error.to_string());
    Some(Refusal { status, kind: kind.as_str(), code, param, failure })
}

/// Gives a refusal its status, body and headers. Any other response stays as it is.
pub fn put_into_words(mut response: Response, words: &Words<'_>, dialect: Dialect) -> Response {
    let Some(Unworded(error)) = response.extensions_mut().remove() else { return response };
    let row = Row::of(&error, words);
    if row.status.is_server_error() {
        let (request_id, trace_id, status) = (words.request_id, words.trace_id, row.status.as_u16());
        warn!(request_id, trace_id, status, %error, "request failed");
    }
    let (mut parts, _) = response.into_parts();
    parts.extensions.insert(row.reach);
    // Of the body that it had instead.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, content_type(row.reach));
    row.retry.write(&mut parts.headers);
    if row.status == StatusCode::UNAUTHORIZED && row.reach != Reach::Gate {
        parts.headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    let body;
    (parts.status, body) = dialect.word(row.told(), words.request_id);
    Response::from_parts(parts, body.into())
}

/// How a key is given.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"OpenAI API\"");

/// OpenAI's gate names the encoding, what is behind it does not.
fn content_type(reach: Reach) -> HeaderValue {
    HeaderValue::from_static(match reach {
        Reach::Gate => "application/json; charset=utf-8",
        Reach::Models | Reach::Account | Reach::Engine => "application/json",
    })
}

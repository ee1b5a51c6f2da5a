//! The table of errors: for each way a request can be wrong and each way the engine can fail, what a client gets to see,
//! whether before an answer or inside a stream. Texts, types and codes are OpenAI's where it has such an error, because
//! clients match on them.

use axum::http::StatusCode as Status;
use cloudach_openai::Told;
use cloudach_proto::v1::{ErrorCode, Failed};

use super::{
    ApiError, Words,
    retry::{Retry, SOON},
    texts,
};
use crate::{access::limits::Measure, http::headers::Reach};

/// What a client gets to see.
#[derive(Debug)]
pub struct Row {
    pub status: Status,
    pub kind: Kind,
    pub code: Option<&'static str>,
    pub param: Option<String>,
    pub message: String,
    pub retry: Retry,
    pub reach: Reach,
}

/// The error's `type`: all that OpenAI has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    InvalidRequest,
    Requests,
    Tokens,
    Quota,
    Server,
}

impl Kind {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Quota => "insufficient_quota",
            Self::Server => "server_error",
        }
    }
}

impl Row {
    /// The row of `error`, its text with what `words` fills in.
    pub fn of(error: &ApiError, words: &Words<'_>) -> Self {
        use Reach::{Account, Gate};
        match error {
            // Who asks.
            ApiError::NoKey(door) => {
                let text = match door {
                    super::Door::Usual => texts::no_key(words),
                    super::Door::OfResponses => texts::NO_BEARER.to_owned(),
                };
                wrong(Status::UNAUTHORIZED, text).at(door.reach())
            }
            ApiError::WrongKey(masked, door) => {
                wrong(Status::UNAUTHORIZED, texts::wrong_key(masked, words)).code("invalid_api_key").at(door.reach())
            }
            ApiError::Suspended => Self {
                kind: Kind::Quota,
                retry: Retry::Never,
                ..wrong(Status::TOO_MANY_REQUESTS, texts::quota(words)).code("insufficient_quota").at(Gate)
            },
            ApiError::RateLimited { exceeded, model, organization } => Self {
                kind: match exceeded.measure {
                    Measure::RequestsPerMinute | Measure::RequestsPerDay | Measure::Concurrent => Kind::Requests,
                    Measure::TokensPerMinute | Measure::TokensPerDay => Kind::Tokens,
                    Measure::Budget => Kind::Quota,
                },
                retry: exceeded.wait().map_or(Retry::Never, Retry::once_refilled),
                ..wrong(Status::TOO_MANY_REQUESTS, texts::rate_limit(exceeded, model, organization, words))
                    .code("rate_limit_exceeded")
            },

            ApiError::Keys(_) => unavailable(texts::KEYS_AWAY, Retry::After(SOON)).at(Gate),
            ApiError::NoIssuerKeys => unavailable(texts::ISSUER_AWAY, Retry::After(SOON)).at(Gate),
            ApiError::WrongAddress => {
                wrong(Status::UNAUTHORIZED, texts::WRONG_ADDRESS).code("ip_not_authorized").at(Gate)
            }
            ApiError::ModelNotAllowed { project, model } => {
                wrong(Status::FORBIDDEN, texts::model_not_allowed(project, model)).code("model_not_found").at(Gate)
            }

            // What is asked for.
            ApiError::UnknownUrl { method, path } if path.starts_with("/v1/") => {
                wrong(Status::NOT_FOUND, format!("Invalid URL ({method} {path})")).at(Gate)
            }
            ApiError::UnknownUrl { method, path } => {
                wrong(Status::NOT_FOUND, texts::unknown_url(method, path, words)).code("unknown_url").at(Gate)
            }
            ApiError::WrongMethod { method, path } => {
                wrong(Status::METHOD_NOT_ALLOWED, texts::wrong_method(method, path)).at(Gate)
            }
            ApiError::UnknownModel(model) => {
                wrong(Status::NOT_FOUND, texts::unknown_model(model)).code("model_not_found").at(Gate)
            }
            ApiError::NoSuchModel(model) => {
                let row = wrong(Status::NOT_FOUND, format!("The model '{model}' does not exist"));
                row.param("model").code("model_not_found").at(Account)
            }
            ApiError::NoSuchResponse(id) => {
                wrong(Status::NOT_FOUND, format!("Response with id '{id}' not found.")).at(Account)
            }
            ApiError::NoSuchConversation(id) => {
                wrong(Status::NOT_FOUND, format!("Conversation with id '{id}' not found.")).at(Account)
            }
            ApiError::NoSuchItem(id) => wrong(Status::NOT_FOUND, format!("Item with id '{id}' not found.")).at(Account),
            ApiError::Conversations(_) => unavailable(texts::CONVERSATIONS_AWAY, Retry::After(SOON)),
            ApiError::Responses(_) => unavailable(texts::RESPONSES_AWAY, Retry::After(SOON)),
            ApiError::NoSuchFile(id) => {
                wrong(Status::NOT_FOUND, format!("No such File object: {id}")).param("id").at(Account)
            }
            ApiError::NoSuchBatch(id) => {
                wrong(Status::NOT_FOUND, format!("No batch found with id '{id}'.")).at(Account)
            }
            ApiError::NotToCancel(status) => {
                wrong(Status::CONFLICT, format!("Cannot cancel a batch with status '{status}'.")).retry(Retry::Never)
            }
            ApiError::Files(_) => unavailable(texts::FILES_AWAY, Retry::After(SOON)),
            ApiError::CannotGenerate => {
                wrong(Status::FORBIDDEN, "You are not allowed to sample from this model").at(Gate)
            }
            ApiError::CannotEmbed => {
                wrong(Status::FORBIDDEN, "You are not allowed to generate embeddings from this model").at(Gate)
            }
            ApiError::CannotScore => {
                wrong(Status::FORBIDDEN, "You are not allowed to rerank or score with this model").at(Gate)
            }
            ApiError::CannotTokenize => {
                wrong(Status::FORBIDDEN, "You are not allowed to read the tokens of this model").at(Gate)
            }
            ApiError::CannotChat => wrong(Status::NOT_FOUND, texts::NOT_A_CHAT_MODEL).param("model"),

            // The body.
            ApiError::Invalid(invalid) => Self {
                param: invalid.param.clone(),
                code: invalid.code,
                ..wrong(Status::BAD_REQUEST, invalid.message.clone())
            },
            ApiError::BodyTooLarge(limit) => wrong(Status::PAYLOAD_TOO_LARGE, texts::body_too_large(*limit)).at(Gate),
            ApiError::BodyTooSlow => {
                wrong(Status::REQUEST_TIMEOUT, texts::BODY_TOO_SLOW).retry(Retry::After(SOON)).at(Gate)
            }
            ApiError::BodyBroken => wrong(Status::BAD_REQUEST, "The request body could not be read."),
            ApiError::InvalidIdempotencyKey => {
                wrong(Status::BAD_REQUEST, texts::INVALID_IDEMPOTENCY_KEY).code("invalid_idempotency_key")
            }
            ApiError::IdempotencyKeyInUse => wrong(Status::CONFLICT, texts::IDEMPOTENCY_KEY_IN_USE)
                .code("idempotency_key_in_use")
                .retry(Retry::After(SOON)),
            ApiError::IdempotencyKeyReused => {
                wrong(Status::UNPROCESSABLE_ENTITY, texts::IDEMPOTENCY_KEY_REUSED).code("idempotency_key_reused")
            }

            // This edge.
            ApiError::Full => unavailable(texts::FULL, Retry::After(SOON)),
            ApiError::NoRouter => unavailable(texts::NO_ROUTER, Retry::After(SOON)),
            ApiError::BrokenTemplate(error) => unavailable(texts::broken_template(error), Retry::Never),
            ApiError::Internal(_) => failed(texts::failed(words), Retry::After(SOON)),

            // The way to the engine, and the engine.
            ApiError::Upstream(upstream) => Self::upstream(upstream, words),
        }
    }

    fn upstream(upstream: &Failed, words: &Words<'_>) -> Self {
        let param = (!upstream.param.is_empty()).then(|| upstream.param.clone());
        let message = || upstream.message.clone();
        let retry = Retry::advised(upstream.retryable, upstream.retry_after_ms);
        // These pass, whatever the request was.
        let later = Retry::advised(true, upstream.retry_after_ms);
        match upstream.code() {
            ErrorCode::InvalidRequest => Self { param, ..wrong(Status::BAD_REQUEST, message()) },
            ErrorCode::Unsupported => {
                Self { param, ..wrong(Status::BAD_REQUEST, message()).code("unsupported_parameter") }
            }
            ErrorCode::ContextLengthExceeded => {
                Self { param, ..wrong(Status::BAD_REQUEST, message()).code("context_length_exceeded") }
            }
            ErrorCode::ModelNotFound => wrong(Status::NOT_FOUND, message()).code("model_not_found").at(Reach::Gate),
            ErrorCode::ModelUnavailable => unavailable(texts::MODEL_UNAVAILABLE, later),
            ErrorCode::Overloaded => unavailable(texts::overloaded(words), later),
            ErrorCode::ReplicaLost | ErrorCode::ShuttingDown | ErrorCode::EngineOutOfMemory => {
                unavailable(texts::failed(words), later)
            }
            ErrorCode::DeadlineExceeded => {
                Self { status: Status::GATEWAY_TIMEOUT, ..failed(texts::TOOK_TOO_LONG, Retry::Never) }
            }
            ErrorCode::EngineFailed | ErrorCode::SlowReader | ErrorCode::Internal | ErrorCode::Unspecified => {
                failed(texts::failed(words), retry)
            }
        }
    }

    /// What of it goes into a body.
    pub fn told(self) -> Told {
        let status = self.status.as_u16();
        Told { status, kind: self.kind.as_str(), code: self.code, param: self.param, message: self.message }
    }

    fn param(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    fn at(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }
}

/// The client's mistake.
fn wrong(status: Status, message: impl Into<String>) -> Row {
    Row {
        status,
        kind: Kind::InvalidRequest,
        code: None,
        param: None,
        message: message.into(),
        retry: Retry::Unsaid,
        reach: Reach::Engine,
    }
}

/// The server's.
fn failed(message: impl Into<String>, retry: Retry) -> Row {
    Row { kind: Kind::Server, retry, ..wrong(Status::INTERNAL_SERVER_ERROR, message) }
}

/// It passes.
fn unavailable(message: impl Into<String>, retry: Retry) -> Row {
    Row { status: Status::SERVICE_UNAVAILABLE, ..failed(message, retry) }
}

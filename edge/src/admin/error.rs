//! Every error of the admin API, in the form of the client API's.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tracing::error;

use super::fields::Wrong;
use crate::store::Away;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("the admin token is missing or wrong")]
    WrongToken,
    #[error("this path does not take this method")]
    WrongMethod,
    #[error("there is no {0} with this id")]
    NotFound(&'static str),
    #[error("{0}")]
    Body(JsonRejection),
    #[error("{0}")]
    Query(QueryRejection),
    #[error("{0}")]
    Path(PathRejection),
    #[error(transparent)]
    Wrong(#[from] Wrong),
    #[error("{0}")]
    Conflict(&'static str),
    #[error("somebody else changes it at the same time; try again")]
    Changed,
    #[error("{0}; try again")]
    Away(#[from] Away),
    #[error("the store holds what cannot be read")]
    Broken(#[from] serde_json::Error),
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

impl From<JsonRejection> for AdminError {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection)
    }
}

impl From<QueryRejection> for AdminError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Query(rejection)
    }
}

impl From<PathRejection> for AdminError {
    fn from(rejection: PathRejection) -> Self {
        Self::Path(rejection)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        use StatusCode as S;
        let (status, code) = match &self {
            Self::WrongToken => (S::UNAUTHORIZED, "wrong_token"),
            Self::WrongMethod => (S::METHOD_NOT_ALLOWED, "wrong_method"),
            Self::NotFound(_) | Self::Path(_) => (S::NOT_FOUND, "not_found"),
            Self::Body(JsonRejection::MissingJsonContentType(_)) => (S::UNSUPPORTED_MEDIA_TYPE, "no_json"),
            Self::Body(rejection) if rejection.status() == S::PAYLOAD_TOO_LARGE => (S::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Body(_) | Self::Query(_) | Self::Wrong(_) => (S::BAD_REQUEST, "invalid"),
            Self::Conflict(_) => (S::CONFLICT, "conflict"),
            Self::Changed => (S::CONFLICT, "changed"),
            Self::Away(_) => (S::SERVICE_UNAVAILABLE, "store_away"),
            Self::Broken(_) | Self::Random(_) => (S::INTERNAL_SERVER_ERROR, "failed"),
        };
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        if let Self::Broken(problem) = &self {
            error!(%problem, "the store holds a document that cannot be read");
        }
        let param = match &self {
            Self::Wrong(wrong) => Some(wrong.field),
            _ => None,
        };
        let body = json!({ "error": { "message": self.to_string(), "type": kind, "param": param, "code": code } });
        let mut response = (status, Json(body)).into_response();
        if status == S::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == S::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

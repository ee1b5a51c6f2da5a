//! In whose words a refusal is told: the rows of the table are the same for all.

use axum::http::StatusCode;
use cloudach_anthropic as anthropic;
use cloudach_openai::Told;

/// Whose clients ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    /// Of the requests to this path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/messages") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }

    /// The status and the body.
    pub fn word(self, told: Told, request_id: &str) -> (StatusCode, Vec<u8>) {
        let status = match (self, told.status) {
            (Self::Anthropic, 503) => anthropic::STATUS_OVERLOADED,
            (_, status) => status,
        };
        let body = match self {
            Self::OpenAi => told.body(),
            Self::Anthropic => anthropic::error_body(&told, request_id),
        };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    }
}

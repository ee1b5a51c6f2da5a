//! The response that carries an answer, streamed or whole.

use std::time::Duration;

use axum::response::Response;

use super::headers;
use crate::{Edge, answer::Answer, error::ApiError, reply::Reply, sse};

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Events of this content type.
    Stream(&'static str),
    Whole,
}

impl Form {
    /// How long the text of an answer may wait for more: whole answers show theirs at the end in any case.
    pub fn merge(self, edge: &Edge) -> Duration {
        match self {
            Self::Stream(_) => edge.config.stream.merge,
            Self::Whole => Duration::ZERO,
        }
    }
}

/// Waits for a whole answer, and for nothing where it is streamed.
///
/// # Errors
/// Why there is no whole answer.
pub async fn respond(edge: &Edge, answer: Answer<impl Reply>, form: Form) -> Result<Response, ApiError> {
    let picked = answer.picked().map(str::to_owned);
    let response = match form {
        Form::Stream(content_type) => sse::respond(answer, content_type, edge.config.stream.keep_alive),
        Form::Whole => headers::json(answer.whole().await?),
    };
    Ok(headers::name_picked(response, picked.as_deref()))
}

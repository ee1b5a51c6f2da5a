//! What a request's URL names and asks, as axum reads it. What cannot be read is refused as anything else is: axum's own refusals
//! are plain text.

use axum::{
    extract::{self, FromRequestParts},
    http::request::Parts,
};
use cloudach_openai::Invalid;
use serde::de::DeserializeOwned;

use crate::{Edge, error::ApiError};

/// The names in the path. Those that are not UTF-8 are empty, as they name nothing.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Default + Send> FromRequestParts<Edge> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let read = extract::Path::from_request_parts(parts, edge).await;
        Ok(Self(read.map(|extract::Path(names)| names).unwrap_or_default()))
    }
}

/// The parameters behind the path.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Edge> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        match extract::Query::from_request_parts(parts, edge).await {
            Ok(extract::Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Invalid::query_string(cause(&rejection)).into()),
        }
    }
}

/// What is behind what axum says of it.
fn cause(error: &dyn std::error::Error) -> &dyn std::error::Error {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

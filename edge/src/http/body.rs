//! A request's body, read whole within its bounds of size and time.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;

use crate::{Edge, error::ApiError};

/// The whole body.
pub struct Whole(pub Bytes);

impl FromRequest<Edge> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, ApiError> {
        let limits = &edge.config.limits;
        let body = request.into_body();
        // What is announced too large is refused before it is sent.
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(ApiError::BodyTooLarge(limits.body_bytes));
        }
        let reading = Limited::new(body, limits.body_bytes).collect();
        match timeout(limits.body_time, reading).await {
            Ok(Ok(whole)) => Ok(Self(whole.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge(limits.body_bytes)),
            Ok(Err(_)) => Err(ApiError::BodyBroken),
            Err(_) => Err(ApiError::BodyTooSlow),
        }
    }
}

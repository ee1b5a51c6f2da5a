//! Whether there is room for one more request.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Edge, error::ApiError};

/// The room for requests in progress.
#[derive(Debug, Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
}

impl Admission {
    /// Room for `requests` at once.
    pub fn new(requests: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(requests)) }
    }
}

/// A request's place, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _place: OwnedSemaphorePermit,
}

impl FromRequestParts<Edge> for Permit {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let place = edge.admission.room.clone().try_acquire_owned().map_err(|_| ApiError::Full)?;
        Ok(Self { _place: place })
    }
}

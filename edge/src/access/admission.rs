//! Whether there is room for one more request: in this edge, and within its key's limits.

use std::{sync::Arc, time::Instant};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    account::Account,
    caller::Caller,
    limits::{Cost, Exceeded, Reservation, Standing},
};
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

/// A request's place and what is kept for it of its key's limits. Both are given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _place: OwnedSemaphorePermit,
    caller: Arc<Caller>,
    account: Account,
    /// As the client is told: each limit as it stood when something was taken from it.
    standing: Standing,
    /// The key has asked too often. Its client is told once the model that it asks for is known, as the text names it.
    too_often: Option<Exceeded>,
    tokens: Option<Reservation>,
}

impl Permit {
    /// Whether the key may ask so often. To be asked as soon as the model is known, before any work is done for it.
    ///
    /// # Errors
    /// The key's limit of requests is reached.
    pub fn check(&self, model: &str) -> Result<(), ApiError> {
        self.too_often.map_or(Ok(()), |exceeded| Err(self.limited(exceeded, model)))
    }

    /// Reserves what the request is taken to need.
    ///
    /// # Errors
    /// The key's limit of tokens is reached.
    pub fn charge(&mut self, model: &str, cost: &Cost) -> Result<(), ApiError> {
        let (now, limiter) = (Instant::now(), &self.caller.limiter);
        let reserved = limiter.reserve(now, cost.tokens());
        self.standing.tokens = limiter.standing(now).tokens;
        self.account.note_standing(self.standing);
        self.tokens = Some(reserved.map_err(|exceeded| self.limited(exceeded, model))?);
        Ok(())
    }

    fn limited(&self, exceeded: Exceeded, model: &str) -> ApiError {
        let organization = self.caller.organization_name().to_owned();
        ApiError::RateLimited { exceeded, model: model.to_owned(), organization }
    }

    /// The reservation, to be settled when the request's usage is known.
    pub fn take_reservation(&mut self) -> Option<Reservation> {
        self.tokens.take()
    }
}

impl FromRequestParts<Edge> for Permit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
        let caller = account.caller().ok_or(ApiError::Internal("nobody was asked for a key"))?;
        if caller.suspended {
            return Err(ApiError::Suspended);
        }
        let place = edge.admission.room.clone().try_acquire_owned().map_err(|_| ApiError::Full)?;
        let now = Instant::now();
        let too_often = caller.limiter.take_request(now).err();
        let standing = caller.limiter.standing(now);
        account.note_standing(standing);
        Ok(Self { _place: place, caller, account, standing, too_often, tokens: None })
    }
}

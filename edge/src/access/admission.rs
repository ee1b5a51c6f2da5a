//! Whether there is room for one more request: in this edge, and within the limits that it belongs to.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    account::Account,
    caller::Caller,
    limiter::Reservation,
    limits::{Amounts, Ask, Cost, Measure},
};
use crate::{
    Edge,
    catalog::{Model, Routed},
    error::ApiError,
};

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

    fn place(&self) -> Result<Place, ApiError> {
        let place = self.room.clone().try_acquire_owned().map_err(|_| ApiError::Full)?;
        Ok(Place { _place: Arc::new(place) })
    }
}

/// A place in it, given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Place {
    _place: Arc<OwnedSemaphorePermit>,
}

/// A request's place and what is kept for it of its limits. Both are given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    place: Place,
    caller: Arc<Caller>,
    account: Account,
    reservation: Option<Reservation>,
}

impl Permit {
    /// Whether what was asked for may be.
    ///
    /// # Errors
    /// It is none of the key's models.
    pub fn check_routed(&self, routed: &Routed) -> Result<(), ApiError> {
        if routed.allows(|name| self.caller.may_use(name)) { Ok(()) } else { Err(self.not_allowed(routed.name())) }
    }

    /// Whether this model may be asked for.
    ///
    /// # Errors
    /// It is none of the key's models.
    pub fn check(&self, model: &str) -> Result<(), ApiError> {
        if self.caller.may_use(model) { Ok(()) } else { Err(self.not_allowed(model)) }
    }

    fn not_allowed(&self, model: &str) -> ApiError {
        ApiError::ModelNotAllowed { project: self.caller.project_name().to_owned(), model: model.to_owned() }
    }

    /// Counts the request and reserves what it is taken to need, in every limit that it belongs to: one round trip.
    ///
    /// # Errors
    /// A limit is reached.
    pub async fn charge(&mut self, edge: &Edge, request_id: &str, model: &Model, cost: &Cost) -> Result<(), ApiError> {
        let amounts = Amounts { tokens: cost.tokens(), cost: model.prices.estimate(cost) };
        let ask = Ask { tenant: self.caller.tenant.clone(), scopes: self.caller.scopes(Some(&model.id)), amounts };
        self.account.note_counted();
        let (standing, reserved) = edge.limiter.reserve(request_id.to_owned(), ask).await;
        self.account.note_standing(standing);
        match reserved {
            Ok(reservation) => {
                self.reservation = Some(reservation);
                Ok(())
            }
            Err(exceeded) if exceeded.measure == Measure::Budget => Err(ApiError::Suspended),
            Err(exceeded) => {
                let organization = self.caller.organization_name().to_owned();
                Err(ApiError::RateLimited { exceeded, model: model.id.clone(), organization })
            }
        }
    }

    /// The place that it has.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// The reservation, to be settled when the request's usage is known.
    pub fn take_reservation(&mut self) -> Option<Reservation> {
        self.reservation.take()
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
        // What surrounds the handler may have taken it.
        let place = parts.extensions.get::<Place>().cloned().map_or_else(|| edge.admission.place(), Ok)?;
        account.note_admitted();
        Ok(Self { place, caller, account, reservation: None })
    }
}

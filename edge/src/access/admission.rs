//! Whether there is room for one more request: in this edge, and within the limits that it belongs to.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use cloudach_service::trace::Trace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    account::Account,
    caller::Caller,
    limiter::Reservation,
    limits::{Amounts, Ask, Cost, Measure, Scope},
};
use crate::{
    Edge,
    catalog::{Model, Routed},
    error::ApiError,
    trace,
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

    /// A place.
    ///
    /// # Errors
    /// All are taken.
    pub fn place(&self) -> Result<Place, ApiError> {
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
    reserved: Reserved,
}

/// What is held for a request. Dropped, all of it is given back.
#[derive(Debug, Default)]
pub struct Reserved {
    /// In all limits that it belongs to; or, where it may go on to another model, in those of its caller.
    whole: Option<Reservation>,
    /// In those that the caller has for the model alone, where it may.
    of_model: Option<Box<Reservation>>,
}

impl Reserved {
    /// The request is over and has used so much.
    pub fn settle(self, used: Amounts) {
        let of_model = self.of_model.map(|reservation| *reservation);
        self.whole.into_iter().chain(of_model).for_each(|reservation| reservation.settle(used));
    }
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
    pub async fn charge(
        &mut self,
        edge: &Edge,
        request_id: &Arc<str>,
        model: &Model,
        cost: &Cost,
    ) -> Result<(), ApiError> {
        self.reserved.whole =
            Some(self.reserve(edge, request_id.clone(), self.caller.scopes(Some(&model.id)), model, cost).await?);
        Ok(())
    }

    /// The same for a request that may go on to another model. What the caller's limits for this model alone hold is held
    /// apart, in a second round trip if there are any, so that it can be given back then.
    ///
    /// # Errors
    /// A limit is reached.
    pub async fn charge_routed(
        &mut self,
        edge: &Edge,
        request_id: &Arc<str>,
        routed: &Routed,
        cost: &Cost,
    ) -> Result<(), ApiError> {
        let model = &routed.model;
        if !routed.falls_back() || self.caller.scopes_of_model(&model.id).is_empty() {
            return self.charge(edge, request_id, model, cost).await;
        }
        self.reserved.whole =
            Some(self.reserve(edge, request_id.clone(), self.caller.scopes(None), model, cost).await?);
        self.move_to(edge, request_id, model, cost).await
    }

    /// The request is asked of this model: what was held in limits of the model before is given back, and as much is
    /// held in those of this one. It is the same request: its caller's limits have counted it.
    ///
    /// # Errors
    /// A limit for the model is reached.
    pub async fn move_to(
        &mut self,
        edge: &Edge,
        request_id: &Arc<str>,
        model: &Model,
        cost: &Cost,
    ) -> Result<(), ApiError> {
        self.reserved.of_model = None;
        let scopes = self.caller.scopes_of_model(&model.id);
        if !scopes.is_empty() {
            let lease = format!("{request_id}-{}", model.id).into();
            self.reserved.of_model = Some(Box::new(self.reserve(edge, lease, scopes, model, cost).await?));
        }
        Ok(())
    }

    async fn reserve(
        &self,
        edge: &Edge,
        lease: Arc<str>,
        scopes: Arc<[Scope]>,
        model: &Model,
        cost: &Cost,
    ) -> Result<Reservation, ApiError> {
        let amounts = Amounts { tokens: cost.tokens(), cost: model.prices.estimate(cost) };
        let ask = Ask { tenant: self.caller.tenant.clone(), scopes, amounts };
        self.account.note_counted();
        let mut step = self.trace().step("reserve");
        trace::reserving(&mut step, &ask);
        let (standing, reserved) = edge.limiter.reserve(lease, ask).await;
        if let Err(exceeded) = &reserved {
            trace::exceeded(&mut step, exceeded);
        }
        step.end();
        // Of a request that is held in two, the tightest of both.
        let before = self.reserved.whole.as_ref().and_then(|_| self.account.standing()).unwrap_or_default();
        self.account.note_standing(before.tightest(standing));
        match reserved {
            Ok(reservation) => Ok(reservation),
            Err(exceeded) if exceeded.measure == Measure::Budget => Err(ApiError::Suspended),
            Err(exceeded) => {
                let organization = self.caller.organization_name().to_owned();
                Err(ApiError::RateLimited { exceeded, model: model.id.clone(), organization })
            }
        }
    }

    /// The request's trace.
    pub fn trace(&self) -> &Trace {
        self.account.trace()
    }

    /// A record of the request is made from now on, whatever becomes of it.
    pub fn note_recorded(&self) {
        self.account.note_recorded();
    }

    /// No record of it is made any more, unless another one is begun.
    pub fn note_unrecorded(&self) {
        self.account.note_unrecorded();
    }

    /// The place that it has.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// What is held, to be settled when the request's usage is known.
    pub fn take_reserved(&mut self) -> Reserved {
        std::mem::take(&mut self.reserved)
    }

    /// All of it, to be held by another.
    pub fn take(&mut self) -> Self {
        let (place, caller, account) = (self.place.clone(), self.caller.clone(), self.account.clone());
        Self { place, caller, account, reserved: self.take_reserved() }
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
        Ok(Self { place, caller, account, reserved: Reserved::default() })
    }
}

//! A request whose model has no place for it is asked of the next one of its route, as long as the client has heard
//! nothing.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::ErrorCode;
use tracing::info;

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost},
    answer::Answer,
    catalog::{Model, Routed},
    error::ApiError,
    http::arrival::Arrival,
    reply::Reply,
    trace,
};

/// What models can be asked, one after the other.
pub trait Question: Send + Sync {
    /// As the client asks.
    type Request: Clone + Send + Sync;
    /// The same, as one model is asked.
    type Ready: Send;
    type Reply: Reply;

    /// At which edge, and by whom.
    fn asked(&self) -> (&Edge, &Arrival, &Caller);

    /// Whether it means the same to another model.
    fn may_go_on(_: &Self::Request) -> bool {
        true
    }

    /// Renders and counts it for a model.
    fn prepare(
        &self,
        model: &Arc<Model>,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Ready, ApiError>> + Send;

    /// What it is taken to need there.
    fn cost(ready: &Self::Ready) -> &Cost;

    /// Asks the model, and waits for its engine's first word. So much of its time is `spent`.
    fn start(
        &mut self,
        permit: Permit,
        routed: &Routed,
        ready: Self::Ready,
        spent: Duration,
    ) -> impl Future<Output = Result<Answer<Self::Reply>, Unanswered<Self::Reply>>> + Send;
}

/// An answer whose engine has started.
pub struct Begun<R> {
    pub answer: Answer<R>,
    /// Which model it is of.
    pub routed: Routed,
}

/// Asks the model that the question was routed to, and as long as one has no place for it the next one of the route: each of
/// them once.
///
/// # Errors
/// Why there is no answer.
pub async fn begin<Q: Question>(
    mut question: Q,
    request: Q::Request,
    mut permit: Permit,
    mut routed: Routed,
) -> Result<Begun<Q::Reply>, ApiError> {
    let (edge, arrival, _) = question.asked();
    let (edge, request_id, arrived) = (edge.clone(), arrival.request_id.clone(), arrival.at);
    let kept = (routed.falls_back() && Q::may_go_on(&request)).then(|| request.clone());
    let mut ready = prepare(&question, &routed.model, request).await?;
    permit.charge_routed(&edge, &request_id, &routed, Q::cost(&ready)).await?;
    let (mut tried, mut spent) = (Vec::new(), Duration::ZERO);
    loop {
        let unanswered = match question.start(permit, &routed, ready, spent).await {
            Ok(answer) => return Ok(Begun { answer, routed }),
            Err(unanswered) => unanswered,
        };
        edge.catalog.note_refusal(&routed.model.id, &unanswered.error);
        let Some(request) = kept.as_ref().filter(|_| is_refusal(&unanswered.error)) else {
            return Err(unanswered.error);
        };
        tried.push(routed.model.id.clone());
        let (_, arrival, caller) = question.asked();
        let key = arrival.routing_key(&caller.tenant);
        // One that cannot be asked this (its context is too short, its engine has no such schema) is passed over.
        let next = loop {
            let Some(next) = edge.catalog.after(&routed, &key, &tried) else { return Err(unanswered.error) };
            if let Ok(ready) = prepare(&question, &next.model, request.clone()).await {
                break (next, ready);
            }
            tried.push(next.model.id.clone());
        };
        permit = unanswered.hand_over(&routed.model.id, &next.0.model.id);
        (routed, ready) = next;
        spent = arrived.elapsed();
        permit.move_to(&edge, &request_id, &routed.model, Q::cost(&ready)).await?;
    }
}

/// Ready for a model, if it is not more than that ever has room for.
async fn prepare<Q: Question>(question: &Q, model: &Arc<Model>, request: Q::Request) -> Result<Q::Ready, ApiError> {
    let mut step = question.asked().1.trace.step("render");
    let ready = question.prepare(model, request).await?;
    let cost = Q::cost(&ready);
    trace::rendered(&mut step, &model.id, cost);
    step.end();
    match model.context_exceeded_by(cost.max_tokens) {
        Some(limit) => Err(Q::Reply::too_long(limit, cost.prompt(), cost.max_tokens.map(u64::from)).into()),
        None => Ok(ready),
    }
}

/// An answer that has not begun.
pub struct Unanswered<R: Reply> {
    error: ApiError,
    /// Until it is dropped, the request may still be asked of another model; then it is recorded as failed.
    answer: Box<Answer<R>>,
}

impl<R: Reply> Unanswered<R> {
    pub fn new(error: ApiError, answer: Answer<R>) -> Self {
        Self { error, answer: Box::new(answer) }
    }

    /// The request goes on to another model: what is held for it, and no record of it is made here.
    pub fn hand_over(mut self, from: &str, to: &str) -> Permit {
        let meter = self.answer.meter();
        let words = meter.words();
        let (request, trace_id) = (words.request_id, words.trace_id);
        info!(request, trace_id, from, to, error = %self.error, "the next model of the route is asked");
        trace::fell_back(meter.trace(), from, to, &self.error);
        meter.edge().metrics.fallbacks.count(from);
        meter.hand_over()
    }
}

/// Whether a model had no place: in its queue, within the time that requests may wait there, or because no replica is
/// ready. What fails for other reasons may be the request's own doing, or has had its time.
fn is_refusal(error: &ApiError) -> bool {
    match error {
        ApiError::Upstream(failed) => matches!(failed.code(), ErrorCode::Overloaded | ErrorCode::ModelUnavailable),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1::Failed;

    use super::*;

    #[test]
    fn only_who_has_no_place_is_passed_over() {
        for code in [ErrorCode::Overloaded, ErrorCode::ModelUnavailable] {
            assert!(is_refusal(&Failed::retryable(code, "").into()), "{code:?}");
        }
        for code in [
            ErrorCode::ReplicaLost,
            ErrorCode::EngineFailed,
            ErrorCode::DeadlineExceeded,
            ErrorCode::InvalidRequest,
            ErrorCode::ContextLengthExceeded,
            ErrorCode::ShuttingDown,
        ] {
            assert!(!is_refusal(&Failed::retryable(code, "").into()), "{code:?}");
        }
        assert!(!is_refusal(&ApiError::Full) && !is_refusal(&ApiError::NoRouter));
    }
}

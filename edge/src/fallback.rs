//! A request whose model has no place for it is asked of the next one of its route, as long as the client has heard
//! nothing.

use cloudach_proto::v1::ErrorCode;
use tracing::info;

use crate::{access::admission::Permit, answer::Answer, error::ApiError, reply::Reply};

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

    /// Why there is none.
    pub fn error(&self) -> &ApiError {
        &self.error
    }

    /// Whether another model may be asked.
    pub fn may_fall_back(&self) -> bool {
        is_refusal(&self.error)
    }

    /// The request goes on to another model: what is held for it, and no record of it is made here.
    pub fn hand_over(mut self, from: &str, to: &str) -> Permit {
        let meter = self.answer.meter();
        info!(request = meter.request_id(), from, to, error = %self.error, "the next model of the route is asked");
        meter.edge().metrics.fallbacks.count(from);
        meter.hand_over()
    }
}

impl<R: Reply> From<Unanswered<R>> for ApiError {
    fn from(unanswered: Unanswered<R>) -> Self {
        unanswered.error
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

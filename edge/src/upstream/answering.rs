//! Questions that one message answers, put to the routers. A router that is lost or stops before it has answered is no reason to
//! fail: another one is asked, or the same one when it is back, as such a question changes nothing.

use std::time::Duration;

use cloudach_proto::{
    session::client::Peer,
    unary::Unary,
    v1::{ErrorCode, Failed},
};
use cloudach_service::trace::{
    Trace,
    names::{self, kept},
};
use tokio::time::{Instant, sleep};
use tonic::Status;
use tracing::warn;

use super::Upstream;
use crate::{catalog::Catalog, error::ApiError, trace};

/// How often a question is put: with the pauses between, for as long as one waits that finds no router.
const MOST_ASKED: u32 = 7;

/// How long it waits for the second time, and then each time longer: 50, 200, 450 ms.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a router has not answered.
enum Unanswered {
    /// It is lost, or stops.
    Lost(Failed),
    Refused(ApiError),
}

impl From<Status> for Unanswered {
    /// What fails at a router is told by its answer: a status is of the connection to it.
    fn from(status: Status) -> Self {
        Self::Lost(Failed::retryable(ErrorCode::ReplicaLost, status.message()))
    }
}

impl From<Failed> for Unanswered {
    fn from(failed: Failed) -> Self {
        match failed.code() {
            ErrorCode::ShuttingDown if failed.retryable => Self::Lost(failed),
            _ => Self::Refused(failed.into()),
        }
    }
}

impl Upstream {
    /// The answer of one message.
    ///
    /// # Errors
    /// No router takes it now, or the engine's reason.
    pub async fn answer<Q: Unary>(&self, of: &Trace, request: Q, catalog: &Catalog) -> Result<Q::Answer, ApiError> {
        let begun = Instant::now();
        let (mut asked, mut lost_by) = (0, None);
        loop {
            asked += 1;
            self.connected().await;
            let (index, router) = self.pick(request.model(), None, catalog, lost_by)?;
            let mut span = of.call(Q::CALL);
            span.set_text(names::ROUTER, &self.names[index]);
            let mut request = request.clone();
            let context = request.to_fill_in().1.get_or_insert_default();
            if context.timeout_ms > 0 {
                let gone = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                // 0 would be none at all.
                context.timeout_ms = context.timeout_ms.saturating_sub(gone).max(1);
            }
            if let Some(ours) = span.context() {
                context.traceparent = ours.to_string();
            }
            let error = match self.ask(router, request).await {
                Ok(answer) => {
                    span.end();
                    return Ok(answer);
                }
                Err(Unanswered::Refused(error)) => error,
                Err(Unanswered::Lost(failed)) if asked == MOST_ASKED || self.kill.is_cancelled() => failed.into(),
                Err(Unanswered::Lost(failed)) => {
                    span.keep(kept::RETRIED);
                    span.fail(failed.kind(), failed.for_operators());
                    warn!(
                        router = self.names[index],
                        error = failed.message,
                        "a router was lost: its question is put again"
                    );
                    lost_by = Some(index);
                    sleep(PAUSE * asked * asked).await;
                    continue;
                }
            };
            let (kind, message) = trace::told(&error);
            span.fail(kind, message);
            return Err(error);
        }
    }

    async fn ask<Q: Unary>(&self, router: &Peer, request: Q) -> Result<Q::Answer, Unanswered> {
        let Some(answer) = self.kill.run_until_cancelled(request.ask(router.unary())).await else {
            let stopping = Failed::retryable(ErrorCode::ShuttingDown, "this server is stopping");
            return Err(Unanswered::Refused(stopping.into()));
        };
        Ok(answer??)
    }
}

//! How long a request may take altogether, as its caller said.

use std::time::Duration;

use cloudach_proto::v1::{ErrorCode, Failed, RequestContext};
use tokio::time::{Instant, timeout_at};

use super::{failure::not_tokenized, http::HttpError};

/// The end of a request's time, when it has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// Starts the clock.
    pub(super) fn of(context: Option<&RequestContext>) -> Self {
        let left = context.map(|context| context.timeout_ms).filter(|left| *left > 0);
        Self(left.and_then(|left| Instant::now().checked_add(Duration::from_millis(left))))
    }

    /// The earlier of the two.
    pub(super) fn before(self, other: Instant) -> Instant {
        self.0.map_or(other, |deadline| deadline.min(other))
    }

    /// Fails when the time is up.
    pub(super) fn check(self) -> Result<(), Failed> {
        if self.0.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failed::new(ErrorCode::DeadlineExceeded, "the request's time is up"));
        }
        Ok(())
    }

    /// Fails `work` at the deadline, and when the engine is silent for `limit`.
    pub(super) async fn within<T>(
        self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        self.or_else(limit, work, Failed::from).await
    }

    /// The same for what its tokenizer does.
    pub(super) async fn tokenizes_within<T>(
        self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        self.or_else(limit, work, not_tokenized).await
    }

    async fn or_else<T>(
        self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failed>>,
        silent: impl FnOnce(HttpError) -> Failed,
    ) -> Result<T, Failed> {
        match timeout_at(self.before(Instant::now() + limit), work).await {
            Ok(done) => done,
            Err(_) => {
                self.check()?;
                Err(silent(HttpError::Silent(limit)))
            }
        }
    }
}

//! Which replicas a request has met, and whether it may meet another one. No I/O.

use std::sync::Arc;

use cloudach_proto::v1::{ErrorCode, Failed};
use cloudach_service::trace::Trace;

use crate::{config, fleet::Replica};

/// What has been tried for one request.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Those that are not to be asked again: they are lost, or have refused it since it last ran.
    avoided: Vec<Arc<Replica>>,
    /// Replicas that were lost, or failed, while they worked on it: it may be what harms them.
    losses: u32,
    /// How often it was started on a replica.
    starts: u32,
    /// It was asked of two at once.
    hedged: bool,
    /// The last failure, told to the caller when nobody is left to try.
    failed: Option<Box<Failed>>,
    /// What the request does at this router: attempts are steps of it.
    trace: Trace,
}

impl Attempts {
    /// Those of a request that does this here.
    pub fn of(trace: Trace) -> Self {
        Self { trace, ..Self::default() }
    }

    /// The request's trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether the replica may be asked.
    pub fn may_ask(&self, replica: &Arc<Replica>) -> bool {
        !self.avoided.iter().any(|avoided| Arc::ptr_eq(avoided, replica))
    }

    /// Whether nobody was asked yet.
    pub fn is_first(&self) -> bool {
        self.avoided.is_empty() && self.failed.is_none()
    }

    /// The replica is asked.
    pub fn start(&mut self, replica: &Arc<Replica>) {
        self.avoided.push(replica.clone());
        self.starts += 1;
    }

    /// This replica works on it: those that had no room before may have it when it fails.
    pub fn runs(&mut self, replica: &Arc<Replica>) {
        self.avoided.retain(|avoided| Arc::ptr_eq(avoided, replica));
    }

    /// Whether it may be asked of a second replica at once, and that is noted. Were both lost by it, it would have harmed
    /// no more than it may.
    pub fn hedge(&mut self, config: &config::Relay) -> bool {
        let may = !self.hedged && self.losses + 2 <= config.losses && self.starts < config.attempts;
        self.hedged |= may;
        may
    }

    /// The replica that was asked last took nothing.
    pub fn refuse(&mut self, failed: Failed) {
        self.starts = self.starts.saturating_sub(1);
        self.failed = Some(failed.into());
    }

    /// Nobody else is there: whoever failed it may be asked again.
    pub fn forgive(&mut self) {
        self.avoided.clear();
    }

    /// It failed. Whether another replica may be asked.
    pub fn fail(&mut self, failed: &Failed, config: &config::Relay) -> bool {
        if is_loss(failed.code()) {
            self.losses += 1;
        }
        self.failed = Some(failed.clone().into());
        failed.retryable && self.losses < config.losses && self.starts < config.attempts
    }

    /// The last failure.
    pub fn take_failure(&mut self) -> Option<Failed> {
        self.failed.take().map(|failed| *failed)
    }

    /// How often it was started on a replica.
    pub fn starts(&self) -> u32 {
        self.starts
    }
}

/// Whether a failure may be the request's own doing. Who has no room, or stops, has come to no harm.
pub fn is_loss(code: ErrorCode) -> bool {
    match code {
        ErrorCode::ReplicaLost | ErrorCode::EngineFailed | ErrorCode::EngineOutOfMemory | ErrorCode::Internal => true,
        ErrorCode::Unspecified
        | ErrorCode::InvalidRequest
        | ErrorCode::Unsupported
        | ErrorCode::ContextLengthExceeded
        | ErrorCode::ModelNotFound
        | ErrorCode::ModelUnavailable
        | ErrorCode::Overloaded
        | ErrorCode::DeadlineExceeded
        | ErrorCode::SlowReader
        | ErrorCode::ShuttingDown => false,
    }
}

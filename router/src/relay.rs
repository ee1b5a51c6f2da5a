//! The relay: carries a request to a replica and its events back. Trying again happens here and nowhere else: a replica
//! that fails is replaced by another one, which begins anew where the caller has nothing of the answer yet, and goes on
//! with it where it has.

mod attempts;
mod carrying;
mod failure;
pub mod hedges;
mod race;
mod start;
mod traced;
mod unary;

use std::{sync::Arc, time::Duration};

use cloudach_proto::{
    passed::Passed,
    session::server::{EventStream, Generate},
    v1::{ErrorCode, Failed, GenerateRequest, RequestContext},
};
use cloudach_service::trace::Tracer;
use tokio::time::Instant;
use tracing::warn;

use self::{attempts::Attempts, carrying::Carrying, hedges::Hedges};
use crate::{
    catalogue::Current,
    config,
    fleet::{Fleet, Replica},
    metrics::Metrics,
    picker::Picker,
    placement::conduct::Placement,
    queue::Queues,
};

/// Carries requests between edges and replicas.
#[derive(Debug)]
pub struct Relay {
    pub names: Current,
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    pub config: config::Relay,
    pub metrics: Arc<Metrics>,
    pub picker: Arc<Picker>,
    pub queues: Arc<Queues>,
    pub hedges: Arc<Hedges>,
    pub tracer: Tracer,
}

impl Generate for Relay {
    fn generate(self: Arc<Self>, request: Box<GenerateRequest>) -> EventStream {
        Carrying::begin(self, request)
    }
}

impl Relay {
    fn resolve(&self, model: &mut String) -> Result<(), Failed> {
        match self.names.now().resolve(model) {
            Some(id) => id.clone_into(model),
            None => {
                let message = format!("the catalogue has no model `{model}`");
                return Err(Failed::new(ErrorCode::ModelNotFound, message));
            }
        }
        Ok(())
    }

    /// Lets chance fall the same way on each replica where an answer could be gone on with by writing it again only.
    fn fix_chance(&self, request: &mut GenerateRequest) {
        if request.constraint.is_none() || !self.config.resume {
            return;
        }
        let sampling = request.sampling.get_or_insert_default();
        if sampling.seed.is_none() && sampling.temperature != Some(0.0) {
            // Without randomness no seed is as good as any.
            sampling.seed = getrandom::u32().ok().map(i64::from);
        }
    }

    /// Whether another replica is to answer, or to go on with the answer.
    fn goes_on(&self, request: &GenerateRequest, failed: &Failed, attempts: &mut Attempts, passed: &Passed) -> bool {
        let may = attempts.fail(failed, &self.config);
        match passed.is_begun() {
            // One is waited for.
            true => may && self.config.resume,
            false => may && self.has_another(&request.model, attempts),
        }
    }

    fn tell(
        &self,
        request: &GenerateRequest,
        replica: &Replica,
        failed: &Failed,
        attempts: &Attempts,
        passed: &Passed,
    ) {
        let begun = passed.is_begun();
        let what = if begun { "its answer goes on at another one" } else { "another one is tried" };
        traced::goes_on(attempts.trace(), replica, failed, passed);
        warn!(
            request = request.request_id,
            trace_id = traced::id(request),
            replica = replica.name,
            attempt = attempts.starts(),
            tokens = passed.tokens(),
            error = failed.message,
            "replica failed: {what}"
        );
        if begun { self.metrics.resumed() } else { self.metrics.retried() }
    }

    fn deadline(&self, context: Option<&RequestContext>) -> Instant {
        let asked = context.map(|context| context.timeout_ms).filter(|&timeout| timeout > 0);
        let timeout = asked.map_or(self.config.timeout, Duration::from_millis).min(self.config.timeout);
        Instant::now() + timeout
    }
}

/// Tells the next hop how much of the request's time is left.
fn pass_on_time(context: &mut Option<RequestContext>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    context.get_or_insert_default().timeout_ms = millis(left).max(1);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

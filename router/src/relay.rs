//! The relay: carries a request to a replica and its events back. Trying again happens here and nowhere else: a replica
//! that fails is replaced by another one, which begins anew where the caller has nothing of the answer yet, and goes on
//! with it where it has.

mod attempts;
mod failure;
pub mod hedges;
mod race;
mod start;
mod traced;
mod unary;

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use cloudach_proto::{
    kept::Kept,
    passed::Passed,
    session::server::{EventStream, Generate},
    v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, RequestContext, Waiting, generate_event::Event},
};
use cloudach_service::trace::Tracer;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use self::{
    attempts::Attempts,
    hedges::Hedges,
    race::{Race, Turn},
};
use crate::{
    catalogue::Current,
    config,
    fleet::{Fleet, Replica},
    metrics::{Metrics, Outcome},
    picker::Picker,
    placement::conduct::Placement,
    queue::Queues,
};

/// How often a caller is told that its request still waits. Longer than who waits for room in a queue does.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// Carries requests between edges and replicas.
#[derive(Debug)]
pub struct Relay {
    pub names: Current,
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    pub config: config::Relay,
    pub metrics: Metrics,
    pub picker: Arc<Picker>,
    pub queues: Arc<Queues>,
    pub hedges: Arc<Hedges>,
    pub tracer: Tracer,
}

impl Generate for Relay {
    fn generate(self: Arc<Self>, request: GenerateRequest) -> EventStream {
        let deadline = self.deadline(request.context.as_ref());
        let flight = self.metrics.start();
        // In a box, which is gone while its answer is on its way.
        let mut request = Box::new(request);
        let events = stream! {
            let trace = traced::begin(&self.tracer, &mut request.context, "route", &request.model);
            if let Err(failed) = self.resolve(&mut request.model) {
                flight.finish(Outcome::Failed);
                traced::failed(&trace, &failed);
                yield exhausted(failed).into();
                return;
            }
            let _demand = self.placement.wanted(&request.model);
            self.fix_chance(&mut request);
            let expired = sleep_until(deadline);
            tokio::pin!(expired);
            let mut attempts = Attempts::of(trace.clone());
            let mut passed = Passed::of(request.resumed.as_ref());
            let wanted = Arc::new(self.picker.wanted(&request));
            let open = self.hedges.open(&request.model);
            loop {
                let explains = request.context.as_ref().is_some_and(|context| context.explain);
                let started = {
                    // In a box, which is gone once it has started, as is what it gives: an open stream holds no room for either.
                    let mut starting = Box::pin(self.start(&request, &wanted, deadline, &mut attempts));
                    loop {
                        tokio::select! {
                            started = &mut starting => break started.map(|runner| {
                                Box::new(Race::new(runner, self.patience(&open, &passed), explains))
                            }),
                            () = sleep(TOLD_EVERY) => yield waiting(&self.fleet.why_not_ready(&request.model)),
                        }
                    }
                };
                let mut race = match started {
                    Ok(race) => race,
                    Err(failed) => {
                        flight.finish(Outcome::Failed);
                        traced::failed(&trace, &failed);
                        yield exhausted(failed).into();
                        return;
                    }
                };
                let kept = Kept::of(&request);
                drop(request);
                let failed = loop {
                    let turn = tokio::select! {
                        turn = race.turn(&open) => turn,
                        () = &mut expired => Turn::Event(failure::timed_out().into()),
                    };
                    let mut event = match turn {
                        Turn::Event(event) => event,
                        Turn::Slow => {
                            self.hedge(&kept.request(), &wanted, deadline, &mut attempts, &open, &mut race);
                            continue;
                        }
                        Turn::Fell(mut runner, failed) => {
                            runner.failed(&failed);
                            self.fell(&kept.request(), &runner.placed, &failed, &mut attempts);
                            continue;
                        }
                    };
                    match event.event {
                        Some(Event::Failed(failed)) => break failed,
                        Some(Event::Finished(ref mut finished)) => {
                            race.placed().learn(finished.usage.as_ref());
                            race.served();
                            traced::finished(&trace, finished);
                            flight.finish(Outcome::Served);
                            yield event;
                            return;
                        }
                        Some(Event::Started(ref mut started)) => {
                            passed.prompt(started.prompt_tokens);
                            attempts.runs(&race.placed().replica);
                            if explains {
                                started.picked = race.why();
                            }
                        }
                        Some(Event::Delta(ref delta)) => {
                            trace.token();
                            passed.delta(delta);
                        }
                        Some(Event::Waiting(_)) | None => {}
                    }
                    yield event;
                };
                // First, so that the replica is free of it.
                let placed = race.end(&failed);
                request = kept.request().into();
                if attempts::is_loss(failed.code()) {
                    placed.lost();
                }
                if failed.retryable && let Some(mut finished) = passed.end(&request) {
                    traced::finished(&trace, &mut finished);
                    flight.finish(Outcome::Served);
                    yield finished.into();
                    return;
                }
                if !self.goes_on(&request, &failed, &mut attempts, &passed) {
                    flight.finish(Outcome::Failed);
                    traced::failed(&trace, &failed);
                    yield exhausted(failed).into();
                    return;
                }
                self.tell(&request, &placed.replica, &failed, &attempts, &passed);
                request.resumed = passed.resumed();
            }
        };
        events.boxed()
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

/// That a request waits.
fn waiting(what_for: &str) -> GenerateEvent {
    GenerateEvent { event: Some(Event::Waiting(Waiting { what_for: what_for.to_owned() })) }
}

/// A failure that whoever asked is to take as it is.
fn exhausted(failed: Failed) -> Failed {
    Failed { exhausted: true, ..failed }
}

/// Tells the next hop how much of the request's time is left.
fn pass_on_time(context: &mut Option<RequestContext>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    context.get_or_insert_default().timeout_ms = millis(left).max(1);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

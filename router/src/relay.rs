//! The relay: carries a request to a replica and its events back. Trying again happens here and nowhere else: a replica
//! that fails is replaced by another one, which begins anew where the caller has nothing of the answer yet, and goes on
//! with it where it has.

mod attempts;
mod embed;
mod failure;

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use cloudach_proto::{
    passed::Passed,
    session::{
        client::Events,
        server::{EventStream, Generate},
    },
    v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, RequestContext, Waiting, generate_event::Event},
};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, warn};

use self::attempts::Attempts;
use crate::{
    catalogue::Names,
    config,
    fleet::{Fleet, Replica},
    metrics::{Metrics, Outcome},
    picker::{Picker, Placed, Wanted},
    placement::conduct::Placement,
    queue::Queues,
};

/// What a client is told to wait for when no replica of its model is ready.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long an answer waits for another replica before its own may be asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a caller is told that its request still waits. Longer than who waits for room in a queue does.
const TOLD_EVERY: Duration = Duration::from_secs(15);

/// Carries requests between edges and replicas.
#[derive(Debug)]
pub struct Relay {
    pub names: Names,
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    pub config: config::Relay,
    pub metrics: Metrics,
    pub picker: Arc<Picker>,
    pub queues: Arc<Queues>,
}

impl Generate for Relay {
    fn generate(self: Arc<Self>, mut request: GenerateRequest) -> EventStream {
        let deadline = self.deadline(request.context.as_ref());
        let flight = self.metrics.start();
        let events = stream! {
            if let Err(failed) = self.resolve(&mut request.model) {
                flight.finish(Outcome::Failed);
                yield exhausted(failed).into();
                return;
            }
            let _demand = self.placement.wanted(&request.model);
            self.fix_chance(&mut request);
            let expired = sleep_until(deadline);
            tokio::pin!(expired);
            let mut attempts = Attempts::default();
            let mut passed = Passed::of(request.resumed.as_ref());
            let wanted = Arc::new(self.picker.wanted(&request));
            loop {
                let started = {
                    let starting = self.start(&request, &wanted, deadline, &mut attempts);
                    tokio::pin!(starting);
                    loop {
                        tokio::select! {
                            started = &mut starting => break started,
                            () = sleep(TOLD_EVERY) => yield waiting(&self.fleet.why_not_ready(&request.model)),
                        }
                    }
                };
                let (placed, mut events) = match started {
                    Ok(started) => started,
                    Err(failed) => {
                        flight.finish(Outcome::Failed);
                        yield exhausted(failed).into();
                        return;
                    }
                };
                let failed = loop {
                    let mut event = tokio::select! {
                        event = events.next() => event.unwrap_or_else(|| failure::lost().into()),
                        () = &mut expired => failure::timed_out().into(),
                    };
                    match event.event {
                        Some(Event::Failed(failed)) => break failed,
                        Some(Event::Finished(ref finished)) => {
                            placed.learn(finished.usage.as_ref());
                            flight.finish(Outcome::Served);
                            yield event;
                            return;
                        }
                        Some(Event::Started(ref mut started)) => {
                            passed.prompt(started.prompt_tokens);
                            attempts.runs();
                            if request.context.as_ref().is_some_and(|context| context.explain) {
                                started.picked = placed.why.to_string();
                            }
                        }
                        Some(Event::Delta(ref delta)) => passed.delta(delta),
                        Some(Event::Waiting(_)) | None => {}
                    }
                    yield event;
                };
                if attempts::is_loss(failed.code()) {
                    placed.lost();
                }
                // First, so that the replica is free of it.
                drop(events);
                if failed.retryable && let Some(finished) = passed.end(&request) {
                    flight.finish(Outcome::Served);
                    yield finished.into();
                    return;
                }
                if !self.goes_on(&request, &failed, &mut attempts, &passed) {
                    flight.finish(Outcome::Failed);
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
        match self.names.resolve(model) {
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

    /// Opens the request on the best replica that takes it.
    async fn start(
        &self,
        request: &GenerateRequest,
        wanted: &Arc<Wanted>,
        deadline: Instant,
        attempts: &mut Attempts,
    ) -> Result<(Placed, Events), Failed> {
        loop {
            let placed = match attempts.is_first() && request.resumed.is_none() {
                true => self.place(wanted, deadline, attempts).await?,
                false => self.place_again(request, wanted, deadline, attempts).await?,
            };
            let mut request = request.clone();
            pass_on_time(&mut request.context, deadline);
            match placed.replica.peer.generate(request) {
                Ok(events) => return Ok((placed, events)),
                Err(refused) => {
                    debug!(replica = placed.replica.name, %refused, "replica takes no request");
                    let failed = failure::refusal(refused);
                    if !failed.retryable {
                        return Err(failed);
                    }
                    attempts.refuse(failed);
                }
            }
        }
    }

    /// The first place of a request: it waits where there is no room.
    async fn place(&self, wanted: &Arc<Wanted>, deadline: Instant, attempts: &mut Attempts) -> Result<Placed, Failed> {
        self.be_ready(&wanted.model, deadline).await?;
        let placed = self.queues.place(wanted, deadline).await?;
        attempts.start(&placed.replica);
        Ok(placed)
    }

    /// Waits for a replica of the model, if one is brought about.
    async fn be_ready(&self, model: &str, deadline: Instant) -> Result<(), Failed> {
        let mut changes = self.fleet.changes();
        let until = deadline.min(Instant::now() + self.queues.longest_wake());
        while self.fleet.ready_count(model) == 0 {
            if !self.placement.brings(model, &self.fleet) || timeout_at(until, changes.changed()).await.is_err() {
                return Err(self.unavailable(model));
            }
        }
        Ok(())
    }

    /// A further place: it has waited before. An answer that the caller has a part of waits for a replica, and when nobody
    /// else comes, those that failed it may try again.
    async fn place_again(
        &self,
        request: &GenerateRequest,
        wanted: &Wanted,
        deadline: Instant,
        attempts: &mut Attempts,
    ) -> Result<Placed, Failed> {
        let patience = if request.resumed.is_some() { self.config.resume_within } else { Duration::ZERO };
        let until = deadline.min(Instant::now() + patience);
        let mut changes = self.fleet.changes();
        loop {
            if let Some(placed) = self.picker.pick(wanted, |replica| attempts.may_ask(replica)) {
                attempts.start(&placed.replica);
                return Ok(placed);
            }
            let now = Instant::now();
            if now >= until {
                return Err(attempts.take_failure().unwrap_or_else(|| self.unavailable(&request.model)));
            }
            if timeout_at(until.min(now + AGAIN_AFTER), changes.changed()).await.is_err() {
                attempts.forgive();
            }
        }
    }

    fn has_another(&self, model: &str, attempts: &Attempts) -> bool {
        self.fleet.ready(model).iter().any(|replica| attempts.may_ask(replica))
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
        warn!(
            request = request.request_id,
            replica = replica.name,
            attempt = attempts.starts(),
            tokens = passed.tokens(),
            error = failed.message,
            "replica failed: {what}"
        );
        if begun { self.metrics.resumed() } else { self.metrics.retried() }
    }

    fn unavailable(&self, model: &str) -> Failed {
        let why = self.fleet.why_not_ready(model);
        Failed {
            retry_after_ms: millis(RETRY_AFTER),
            ..Failed::retryable(ErrorCode::ModelUnavailable, format!("no replica of `{model}` is ready: {why}"))
        }
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

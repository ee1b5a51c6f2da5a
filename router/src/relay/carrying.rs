//! A request on its way through this router, as the stream of its events. A router holds one of these for each open stream,
//! for as long as it lasts, so what only its beginning needs is in boxes that are gone with it.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use cloudach_proto::{
    kept::Kept,
    passed::Passed,
    session::server::EventStream,
    v1::{Failed, GenerateEvent, GenerateRequest, Waiting, generate_event::Event},
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, ready},
    stream::once,
};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{
    Relay,
    attempts::{self, Attempts},
    failure,
    hedges::Open,
    race::{Race, Runner, Turn},
    traced,
};
use crate::{
    metrics::{Flight, Outcome},
    placement::demand::Asking,
};

/// How often a caller is told that its request still waits. Longer than who waits for room in a queue does.
const TOLD_EVERY: Duration = Duration::from_secs(15);

pin_project! {
    /// The events of a request. Dropping it ends the request.
    pub struct Carrying {
        request: Underway,
        // When its time is over.
        #[pin]
        expired: Sleep,
    }
}

struct Underway {
    relay: Arc<Relay>,
    deadline: Instant,
    flight: Flight,
    /// Its model is wanted for so long.
    _demand: Asking,
    open: Open,
    /// What has been tried. While it starts, whoever starts it has this.
    attempts: Attempts,
    passed: Passed,
    /// The caller wants to know why a replica was picked.
    explains: bool,
    stage: Stage,
}

enum Stage {
    /// It looks for a replica.
    Starting(Starting),
    /// A replica has it.
    Running(Race, Kept),
    Over,
}

struct Starting {
    model: Arc<str>,
    started: BoxFuture<'static, Started>,
    /// When the caller is told that it waits.
    tell: Option<Pin<Box<Sleep>>>,
}

/// What came of a start.
struct Started {
    runner: Result<(Runner, Kept), Failed>,
    attempts: Attempts,
}

impl Carrying {
    /// A request has come.
    pub fn begin(relay: Arc<Relay>, mut request: Box<GenerateRequest>) -> EventStream {
        let deadline = relay.deadline(request.context.as_ref());
        let mut flight = relay.metrics.start();
        let trace = traced::begin(&relay.tracer, &mut request.context, "route", &request.model);
        if let Err(failed) = relay.resolve(&mut request.model) {
            flight.finish(Outcome::Failed);
            traced::failed(&trace, &failed);
            return once(ready(exhausted(failed).into())).boxed();
        }
        relay.fix_chance(&mut request);
        let request = Underway {
            _demand: relay.placement.wanted(&request.model),
            open: relay.hedges.open(&request.model),
            attempts: Attempts::default(),
            passed: Passed::of(request.resumed.as_ref()),
            explains: request.context.as_ref().is_some_and(|context| context.explain),
            stage: Stage::Starting(Starting::of(&relay, request, Attempts::of(trace), deadline)),
            relay,
            deadline,
            flight,
        };
        Self { request, expired: sleep_until(deadline) }.boxed()
    }
}

impl Stream for Carrying {
    type Item = GenerateEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GenerateEvent>> {
        let mut this = self.project();
        loop {
            let turn = match &mut this.request.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Starting(starting) => {
                    let Poll::Ready(started) = starting.started.poll_unpin(context) else {
                        ready!(starting.poll_tell(context));
                        let why = this.request.relay.fleet.why_not_ready(&starting.model);
                        return Poll::Ready(Some(waiting(why)));
                    };
                    match this.request.started(started) {
                        Ok(()) => continue,
                        Err(failed) => return Poll::Ready(Some(failed)),
                    }
                }
                Stage::Running(race, _) => match race.poll_turn(context, &this.request.open) {
                    Poll::Ready(turn) => turn,
                    Poll::Pending => {
                        ready!(this.expired.as_mut().poll(context));
                        Turn::Event(failure::timed_out().into())
                    }
                },
            };
            if let Some(event) = this.request.take(turn) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl Starting {
    fn of(relay: &Arc<Relay>, request: Box<GenerateRequest>, mut attempts: Attempts, deadline: Instant) -> Self {
        let wanted = Arc::new(relay.picker.wanted(&request));
        let (relay, model) = (relay.clone(), wanted.model.clone());
        let started = async move {
            let runner = relay.start(request, &wanted, deadline, &mut attempts).await;
            Started { runner, attempts }
        };
        Self { model, started: started.boxed(), tell: None }
    }

    fn poll_tell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let tell = self.tell.get_or_insert_with(|| Box::pin(sleep(TOLD_EVERY)));
        ready!(tell.as_mut().poll(context));
        self.tell = None;
        Poll::Ready(())
    }
}

impl Underway {
    /// A replica has it; or what the caller is told.
    fn started(&mut self, started: Started) -> Result<(), GenerateEvent> {
        let Started { runner, attempts } = started;
        self.attempts = attempts;
        let (runner, kept) = runner.map_err(|failed| self.fail(failed))?;
        let race = Race::new(runner, self.relay.patience(&self.open, &self.passed), self.explains);
        self.stage = Stage::Running(race, kept);
        Ok(())
    }

    /// What the caller gets of this, if anything.
    fn take(&mut self, turn: Turn) -> Option<GenerateEvent> {
        let Stage::Running(race, kept) = &mut self.stage else { return None };
        let (relay, attempts) = (&self.relay, &mut self.attempts);
        let mut event = match turn {
            Turn::Event(event) => event,
            Turn::Slow => {
                relay.hedge(kept, self.deadline, attempts, &self.open, race);
                return None;
            }
            Turn::Fell(mut runner, failed) => {
                runner.failed(&failed);
                relay.fell(&kept.request(), &runner.placed, &failed, attempts);
                return None;
            }
        };
        match &mut event.event {
            Some(Event::Delta(delta)) => {
                race.placed().answers();
                attempts.trace().token();
                self.passed.delta(delta);
            }
            Some(Event::Started(started)) => {
                self.passed.started(started);
                attempts.runs(&race.placed().replica);
                if self.explains {
                    started.picked = race.why();
                }
            }
            Some(Event::Finished(finished)) => {
                race.placed().learn(finished.usage.as_ref());
                race.served();
                traced::finished(attempts.trace(), finished);
                self.end(Outcome::Served);
            }
            Some(Event::Failed(failed)) => {
                let failed = mem::take(failed);
                return self.failed(failed);
            }
            Some(Event::Waiting(_)) | None => {}
        }
        Some(event)
    }

    /// The replica has failed: another one is looked for, or the caller is told.
    fn failed(&mut self, failed: Failed) -> Option<GenerateEvent> {
        let Stage::Running(race, kept) = mem::replace(&mut self.stage, Stage::Over) else { return None };
        // First, so that the replica is free of it.
        let placed = race.end(&failed);
        let mut request = Box::new(kept.request());
        if attempts::is_loss(failed.code()) {
            placed.lost();
        }
        if failed.retryable
            && let Some(mut finished) = self.passed.end(&request)
        {
            traced::finished(self.attempts.trace(), &mut finished);
            self.end(Outcome::Served);
            return Some(finished.into());
        }
        if !self.relay.goes_on(&request, &failed, &mut self.attempts, &self.passed) {
            return Some(self.fail(failed));
        }
        self.relay.tell(&request, &placed.replica, &failed, &self.attempts, &self.passed);
        request.resumed = self.passed.resumed();
        let attempts = mem::take(&mut self.attempts);
        self.stage = Stage::Starting(Starting::of(&self.relay, request, attempts, self.deadline));
        None
    }

    /// It has failed for good.
    fn fail(&mut self, failed: Failed) -> GenerateEvent {
        traced::failed(self.attempts.trace(), &failed);
        self.end(Outcome::Failed);
        exhausted(failed).into()
    }

    fn end(&mut self, outcome: Outcome) {
        self.flight.finish(outcome);
        self.stage = Stage::Over;
    }
}

/// That a request waits.
fn waiting(what_for: String) -> GenerateEvent {
    GenerateEvent { event: Some(Event::Waiting(Waiting { what_for })) }
}

/// A failure that whoever asked is to take as it is.
fn exhausted(failed: Failed) -> Failed {
    Failed { exhausted: true, ..failed }
}

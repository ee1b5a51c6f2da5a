//! Where a request goes: to a replica, to another one after that, or to a second one besides.

use std::{sync::Arc, time::Duration};

use cloudach_proto::{
    kept::Kept,
    passed::Passed,
    v1::{ErrorCode, Failed, GenerateRequest},
};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::{
    Relay,
    attempts::{Attempts, is_loss},
    failure,
    hedges::Open,
    millis, pass_on_time,
    race::{Race, Runner},
    traced,
};
use crate::{
    metrics::Hedged,
    picker::{Placed, Wanted},
};

/// What a client is told to wait for when no replica of its model is ready.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long an answer waits for another replica before its own may be asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Relay {
    /// Opens the request on the best replica that takes it, and keeps it for the next one.
    pub(super) async fn start(
        &self,
        mut request: Box<GenerateRequest>,
        wanted: &Arc<Wanted>,
        deadline: Instant,
        attempts: &mut Attempts,
    ) -> Result<(Runner, Kept), Failed> {
        loop {
            let placed = match attempts.is_first() && request.resumed.is_none() {
                true => self.place(wanted, deadline, attempts).await?,
                false => self.place_again(&request, wanted, deadline, attempts).await?,
            };
            // Before it is given away, so that nothing of it is copied: prompts are long.
            let kept = Kept::of(&request);
            match opened(request, placed, deadline, attempts, false) {
                Ok(runner) => return Ok((runner, kept)),
                Err(failed) if failed.retryable => attempts.refuse(failed),
                Err(failed) => return Err(failed),
            }
            request = Box::new(kept.request());
        }
    }

    /// The first place of a request: it waits where there is no room.
    async fn place(&self, wanted: &Arc<Wanted>, deadline: Instant, attempts: &mut Attempts) -> Result<Placed, Failed> {
        let mut step = traced::queueing(attempts.trace(), wanted);
        let placing = async {
            self.be_ready(&wanted.model, deadline).await?;
            self.queues.place(wanted, deadline).await
        };
        let begun = Instant::now();
        let placed = placing.await;
        self.metrics.waited(&wanted.model, begun.elapsed(), placed.as_ref().err());
        let placed = placed.inspect_err(|failed| step.fail(failed.kind(), failed.for_operators()))?;
        step.end();
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
        let now = Instant::now();
        let mut waiting = Waiting { until: deadline.min(now + patience), again: now + AGAIN_AFTER };
        let mut changes = self.fleet.changes();
        loop {
            if let Some(placed) = self.picker.pick(wanted, |replica| attempts.may_ask(replica)) {
                attempts.start(&placed.replica);
                return Ok(placed);
            }
            match waiting.next(Instant::now()) {
                Next::Over => return Err(attempts.take_failure().unwrap_or_else(|| self.unavailable(&request.model))),
                Next::Forgive => attempts.forgive(),
                // Whatever has changed, or has not: it is looked again.
                Next::Wait(until) => drop(timeout_at(until, changes.changed()).await),
            }
        }
    }

    pub(super) fn has_another(&self, model: &str, attempts: &Attempts) -> bool {
        self.fleet.ready(model).replicas.iter().any(|replica| attempts.may_ask(replica))
    }

    /// How long the first token is waited for before another replica is asked. An answer that has begun has but one.
    pub(super) fn patience(&self, open: &Open, passed: &Passed) -> Option<Duration> {
        if passed.is_begun() { None } else { open.patience() }
    }

    /// Asks a second replica, if one has room and the request may have it.
    pub(super) fn hedge(&self, kept: &Kept, deadline: Instant, attempts: &mut Attempts, open: &Open, race: &mut Race) {
        if !attempts.hedge(&self.config) {
            return;
        }
        let Some(second) = open.second() else { return open.withheld() };
        let request = Box::new(kept.request());
        let Some(placed) = self.picker.spare(&self.picker.wanted(&request), |replica| attempts.may_ask(replica)) else {
            second.came_to(Hedged::Withheld);
            return;
        };
        attempts.start(&placed.replica);
        info!(
            request = request.request_id,
            trace_id = traced::id(&request),
            replica = race.placed().replica.name,
            second = placed.replica.name,
            "no token yet: a second replica is asked"
        );
        traced::hedged(attempts.trace(), &placed);
        match opened(request, placed, deadline, attempts, true) {
            Ok(runner) => race.join(runner, second),
            Err(failed) => {
                second.came_to(Hedged::Failed);
                attempts.refuse(failed);
            }
        }
    }

    /// One of two replicas failed, and the other one goes on.
    pub(super) fn fell(&self, request: &GenerateRequest, placed: &Placed, failed: &Failed, attempts: &mut Attempts) {
        if is_loss(failed.code()) {
            placed.lost();
        }
        attempts.fail(failed, &self.config);
        warn!(
            request = request.request_id,
            trace_id = traced::id(request),
            replica = placed.replica.name,
            error = failed.message,
            "replica failed: the other one that was asked goes on"
        );
    }

    pub(super) fn unavailable(&self, model: &str) -> Failed {
        let why = self.fleet.why_not_ready(model);
        Failed {
            retry_after_ms: millis(RETRY_AFTER),
            ..Failed::retryable(ErrorCode::ModelUnavailable, format!("no replica of `{model}` is ready: {why}"))
        }
    }
}

/// How an answer waits for another replica. However often the fleet changes meanwhile, its times stay.
#[derive(Debug)]
struct Waiting {
    /// When it is given up.
    until: Instant,
    /// When those that failed it may be asked again.
    again: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait(Instant),
    Forgive,
    Over,
}

impl Waiting {
    /// What is to be done when nobody can be asked.
    fn next(&mut self, now: Instant) -> Next {
        if now >= self.until {
            return Next::Over;
        }
        if now >= self.again {
            self.again = now + AGAIN_AFTER;
            return Next::Forgive;
        }
        Next::Wait(self.until.min(self.again))
    }
}

/// Opens the request at this replica.
fn opened(
    mut request: Box<GenerateRequest>,
    placed: Placed,
    deadline: Instant,
    attempts: &Attempts,
    hedge: bool,
) -> Result<Runner, Failed> {
    let mut span = traced::attempt(attempts, &placed, request.resumed.as_ref(), hedge);
    pass_on_time(&mut request.context, deadline);
    traced::pass_on(&span, &mut request.context);
    match placed.replica.peer.generate(request) {
        Ok(events) => Ok(Runner::new(placed, events, span)),
        Err(refused) => {
            debug!(replica = placed.replica.name, %refused, "replica takes no request");
            let failed = failure::refusal(refused);
            span.fail(failed.kind(), failed.for_operators());
            Err(failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_changes_all_the_time_keeps_nobody_from_being_asked_again() {
        let begun = Instant::now();
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let mut waiting = Waiting { until: at(2500), again: begun + AGAIN_AFTER };
        // Looked at ten times a second, as something changes as often.
        let seen: Vec<_> = (0..26).map(|tenth| waiting.next(at(tenth * 100))).collect();
        let forgiven: Vec<_> = (0..26).filter(|&tenth| seen[tenth] == Next::Forgive).collect();
        assert_eq!(forgiven, [10, 20]);
        assert_eq!((&seen[9], &seen[24]), (&Next::Wait(at(1000)), &Next::Wait(at(2500))));
        assert_eq!(seen[25], Next::Over);
        let mut impatient = Waiting { until: begun, again: begun + AGAIN_AFTER };
        assert_eq!(impatient.next(begun), Next::Over);
    }
}

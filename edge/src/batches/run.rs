//! One batch, from status to status, for as long as this edge is at it.

use std::{sync::Arc, time::Duration};

use cloudach_openai::batches::{Batch, Checker, Ending, Status};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::{
    Found, attempt,
    input::{Input, Unread},
    lines::{self, Stopped, no_input},
    runner::Runner,
};
use crate::{files::now_ms, idempotency::Place, store::Away};

/// How long to wait for a store that is away.
const AWAY: Duration = Duration::from_secs(1);

/// How often it is looked again at a batch that cannot be read.
const UNREADABLE: Duration = Duration::from_secs(60);

/// What is read of an input is kept so much longer than a batch may take.
const AFTERWARDS_MS: u64 = 3_600_000;

/// Whether there is more to be done.
enum Next {
    Step,
    Leave,
}

/// Takes a batch as far as it goes.
pub async fn run(runner: Arc<Runner>, place: Place) {
    let running = &runner.edge.running;
    tokio::select! {
        () = go_on(&runner, &place) => {}
        () = stay(&runner, &place) => warn!(id = place.slot, "a batch is another edge's now"),
        () = running.hand_over.cancelled() => {}
    }
    // Without it, others wait until the lease ends.
    let _ = runner.edge.store.leave_batch(&place, &runner.owner).await;
}

async fn go_on(runner: &Arc<Runner>, place: &Place) {
    let drain = &runner.edge.running.drain;
    while !drain.is_cancelled() {
        match step(runner, place).await {
            Ok(Next::Step) => {}
            Ok(Next::Leave) => return,
            Err(away) => {
                warn!(id = place.slot, %away, "a batch waits for the store");
                drain.run_until_cancelled(sleep(AWAY)).await;
            }
        }
    }
}

/// Says that this edge is at it, until it is another's.
async fn stay(runner: &Runner, place: &Place) {
    let lease = runner.edge.config.batches.lease;
    let mut ticks = interval(lease / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // One that cannot be asked may be another's: lines are kept once all the same.
        if let Ok(false) = runner.edge.store.hold_batch(place, &runner.owner, lease).await {
            return;
        }
    }
}

async fn step(runner: &Arc<Runner>, place: &Place) -> Result<Next, Away> {
    let edge = &runner.edge;
    let Some(found) = edge.store.batch(place).await? else {
        edge.store.dequeue_batch(place).await?;
        return Ok(Next::Leave);
    };
    let Some(found) = Found::read(found) else {
        // What another version has made is left to it.
        edge.running.drain.run_until_cancelled(sleep(UNREADABLE)).await;
        return Ok(Next::Leave);
    };
    let now = || now_ms() / 1000;
    let batch = found.record.batch.clone();
    match batch.status {
        Status::Validating => validate(runner, place, &found).await,
        Status::InProgress => match lines::run(runner, place, &found).await? {
            Stopped::Done => change(runner, place, &found, batch.finalizing(Ending::Completed, now())).await,
            Stopped::Expired => change(runner, place, &found, batch.finalizing(Ending::Expired, now())).await,
            Stopped::Failed(error) => end(runner, place, &found, batch.failing(vec![error], now())).await,
            Stopped::Changed => Ok(Next::Step),
            Stopped::Leaving => Ok(Next::Leave),
        },
        Status::Finalizing => {
            if batch.ending == Some(Ending::Expired) {
                expire(runner, place, &found).await?;
            }
            end(runner, place, &found, batch).await
        }
        Status::Cancelling => end(runner, place, &found, batch).await,
        Status::Failed | Status::Completed | Status::Expired | Status::Cancelled => {
            edge.store.dequeue_batch(place).await?;
            Ok(Next::Leave)
        }
    }
}

/// Looks at each line of the input.
async fn validate(runner: &Runner, place: &Place, found: &Found) -> Result<Next, Away> {
    let (edge, batch) = (&runner.edge, &found.record.batch);
    let (config, now) = (&edge.config.batches, || now_ms() / 1000);
    let file = Place { tenant: place.tenant.clone(), slot: batch.input_file_id.clone() };
    let until = batch.expires_at.saturating_mul(1000).saturating_add(AFTERWARDS_MS);
    if !edge.store.hold_file(&file, until).await? {
        return end(runner, place, found, batch.clone().failing(vec![no_input()], now())).await;
    }
    let mut checker = Checker::new(batch.endpoint, config.lines, config.line_bytes);
    let mut input = Input::new(&edge.store, place, found, config.line_bytes);
    while !checker.has_seen_enough() {
        if edge.running.drain.is_cancelled() {
            return Ok(Next::Leave);
        }
        match input.any().await {
            Ok(Some((number, text))) => checker.check(number, &text),
            Ok(None) => break,
            Err(Unread::Gone) => {
                return end(runner, place, found, batch.clone().failing(vec![no_input()], now())).await;
            }
            Err(Unread::Away(away)) => return Err(away),
        }
    }
    match checker.finish() {
        Ok(checked) => change(runner, place, found, batch.clone().begun(checked, now())).await,
        Err(errors) => end(runner, place, found, batch.clone().failing(errors, now())).await,
    }
}

/// Says of each line that is not done that its time is over.
async fn expire(runner: &Runner, place: &Place, found: &Found) -> Result<(), Away> {
    let edge = &runner.edge;
    let mut input = Input::new(&edge.store, place, found, edge.config.batches.line_bytes);
    loop {
        match input.undone().await {
            Ok(Some((number, text))) => {
                let line = attempt::expired(number, &text, found.record.batch.endpoint);
                edge.store.keep_line(place, &line, edge.config.files.tenant_bytes).await?;
            }
            // Without its input nobody knows what the lines are called.
            Ok(None) | Err(Unread::Gone) => return Ok(()),
            Err(Unread::Away(away)) => return Err(away),
        }
    }
}

async fn change(runner: &Runner, place: &Place, found: &Found, batch: Batch) -> Result<Next, Away> {
    // Where somebody else was faster, what they did is looked at.
    runner.edge.batches.change(place, found, batch).await?;
    Ok(Next::Step)
}

async fn end(runner: &Runner, place: &Place, found: &Found, batch: Batch) -> Result<Next, Away> {
    let (batch, seconds) = (batch.ended(now_ms() / 1000), runner.edge.config.files.keep.as_secs());
    let status = batch.status.as_str();
    if runner.edge.batches.end(place, found, batch, seconds).await? {
        info!(id = place.slot, status, "a batch is over");
    }
    Ok(Next::Step)
}

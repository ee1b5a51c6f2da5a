//! The lines of a batch that is in progress: as many at once as the tenant may have, until each has come to something, the time is
//! over, or somebody wants it ended.

use std::{sync::Arc, time::Duration};

use cloudach_openai::batches::{BatchError, Outcome, Status};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Found,
    attempt::{self, Asked, Question},
    input::{Input, Unread},
    pause::pause,
    runner::Runner,
};
use crate::{
    access::caller::Caller,
    files::now_ms,
    http::arrival::random,
    idempotency::Place,
    metrics::BatchLine,
    store::{
        Away,
        batches::{LineDone, LineKept},
    },
};

/// How often it is looked whether a batch is still to go on.
const LOOKED: Duration = Duration::from_secs(1);

/// How often it is looked whether the key may still do what it asked for.
const KEY_LOOKED: Duration = Duration::from_secs(10);

/// How long a store that was away when more lines were to be read is left alone.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// An edge that can ask no router for so long leaves its batches to others, which may.
const ALONE: Duration = Duration::from_secs(5);

/// Why no more lines are asked.
pub enum Stopped {
    /// Each has come to something.
    Done,
    /// The time is over.
    Expired,
    /// It is not in progress any more.
    Changed,
    /// It cannot go on.
    Failed(BatchError),
    /// This edge stops, or can ask nobody.
    Leaving,
}

/// What all lines of a batch share.
struct Shared {
    runner: Arc<Runner>,
    place: Place,
    found: Found,
    /// As they were last known.
    caller: Mutex<Arc<Caller>>,
    seats: Arc<Semaphore>,
    /// No line is asked any more; those that are asked may come to their ends.
    leaving: CancellationToken,
}

/// What one of them came to.
enum LineEnd {
    Kept,
    /// The batch is over.
    Over,
    /// It is left to others.
    Left,
}

/// Asks the lines that are not done.
///
/// # Errors
/// The store is away.
pub async fn run(runner: &Arc<Runner>, place: &Place, found: &Found) -> Result<Stopped, Away> {
    let edge = &runner.edge;
    let is_expired = || now_ms() / 1000 >= found.record.batch.expires_at;
    if is_expired() {
        return Ok(Stopped::Expired);
    }
    let Some(caller) = found.record.made_by.find(edge).await? else { return Ok(Stopped::Failed(no_key())) };
    let most = edge.config.batches.tenant_concurrency;
    let shared = Arc::new(Shared {
        runner: runner.clone(),
        place: place.clone(),
        found: found.clone(),
        caller: Mutex::new(caller),
        seats: runner.seats.of(&place.tenant),
        leaving: edge.running.drain.child_token(),
    });
    let mut input = Input::new(&edge.store, place, found, edge.config.batches.line_bytes);
    // Dropped, it ends them all.
    let mut asked = JoinSet::new();
    let (mut is_read, mut is_leaving) = (false, false);
    // Where the store was away when more was to be read, and when it is asked again.
    let mut unread: Option<(Away, Instant)> = None;
    let mut looks = interval(LOOKED);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut key_looked, mut was_ready) = (Instant::now(), Instant::now());
    loop {
        let may_read = unread.as_ref().is_none_or(|(_, again)| Instant::now() >= *again);
        while may_read && !is_read && !is_leaving && asked.len() < most {
            match input.undone().await {
                Ok(Some((number, text))) => {
                    unread = None;
                    let line = line(shared.clone(), number, text);
                    asked.spawn(edge.running.requests.track_future(line));
                }
                Ok(None) => (is_read, unread) = (true, None),
                Err(Unread::Gone) => return Ok(Stopped::Failed(no_input())),
                // It ends none of those that are asked.
                Err(Unread::Away(away)) => {
                    unread = Some((away, Instant::now() + READ_AGAIN));
                    break;
                }
            }
        }
        if asked.is_empty() {
            if let Some((away, _)) = unread.filter(|_| !is_leaving) {
                return Err(away);
            }
            return Ok(if is_leaving { Stopped::Leaving } else { Stopped::Done });
        }
        tokio::select! {
            ended = asked.join_next() => match ended {
                Some(Ok(LineEnd::Kept)) | None => {}
                Some(Ok(LineEnd::Over)) => return Ok(Stopped::Changed),
                Some(Ok(LineEnd::Left)) => is_leaving = true,
                Some(Err(problem)) => {
                    warn!(id = place.slot, %problem, "a line of a batch was cut short");
                    return Err(Away::Refused("a line was cut short".to_owned()));
                }
            },
            _ = looks.tick() => {
                if is_expired() {
                    return Ok(Stopped::Expired);
                }
                if runner.is_ready() {
                    was_ready = Instant::now();
                } else if was_ready.elapsed() >= ALONE {
                    shared.leaving.cancel();
                }
                // A store that is away is no reason to stop.
                if let Ok(now) = edge.batches.find(place).await
                    && now.is_none_or(|now| now.record.batch.status != Status::InProgress)
                {
                    return Ok(Stopped::Changed);
                }
                if key_looked.elapsed() >= KEY_LOOKED {
                    key_looked = Instant::now();
                    match found.record.made_by.find(edge).await {
                        Ok(Some(caller)) => *shared.caller.lock() = caller,
                        Ok(None) => return Ok(Stopped::Failed(no_key())),
                        Err(_) => {}
                    }
                }
            }
            () = shared.leaving.cancelled(), if !is_leaving => is_leaving = true,
        }
    }
}

/// Asks a line until it has come to something.
async fn line(shared: Arc<Shared>, number: u32, text: Vec<u8>) -> LineEnd {
    let Shared { runner, place, found, seats, leaving, .. } = &*shared;
    let edge = &runner.edge;
    let (endpoint, most) = (found.record.batch.endpoint, edge.config.batches.line_bytes);
    let (mut tries, mut faults) = (0, 0);
    loop {
        let seat = tokio::select! {
            seat = runner.seats.take(seats) => seat,
            () = leaving.cancelled() => return LineEnd::Left,
        };
        let caller = shared.caller.lock().clone();
        let question = Question { number, endpoint, text: &text, most, faults };
        match attempt::ask(&runner.api, &caller, &edge.config.links, &question).await {
            Asked::Done(done) => {
                drop(seat);
                return keep(runner, place, &done).await;
            }
            Asked::Later { after, is_fault } => {
                drop(seat);
                edge.metrics.batches.count(BatchLine::Later);
                let [chance] = random();
                let wait = pause(tries, after, chance);
                tries += 1;
                faults += u32::from(is_fault);
                tokio::select! {
                    () = sleep(wait) => {}
                    () = leaving.cancelled() => return LineEnd::Left,
                }
            }
        }
    }
}

/// Keeps what a line came to. What has been answered is not asked again for a store that is away, or has no room: it waits.
async fn keep(runner: &Runner, place: &Place, done: &LineDone) -> LineEnd {
    let edge = &runner.edge;
    let mut tries = 0;
    loop {
        match edge.store.keep_line(place, done, edge.config.files.tenant_bytes).await {
            Ok(LineKept::Kept) => {
                edge.metrics.batches.count(match done.outcome {
                    Outcome::Completed => BatchLine::Completed,
                    Outcome::Failed => BatchLine::Failed,
                });
                return LineEnd::Kept;
            }
            // Another edge was at it too, or the store has kept it without saying so.
            Ok(LineKept::Had) => return LineEnd::Kept,
            Ok(LineKept::Over) => return LineEnd::Over,
            Ok(LineKept::NoRoom) | Err(_) => {
                let [chance] = random();
                sleep(pause(tries, None, chance)).await;
                tries += 1;
            }
        }
    }
}

fn no_key() -> BatchError {
    let message = "The API key that this batch was created with is no longer valid.";
    BatchError::new("invalid_api_key", message, None)
}

/// Of the file that a batch reads.
pub fn no_input() -> BatchError {
    BatchError::new("input_file_not_found", "The input file is not there any more.", Some("input_file_id"))
}

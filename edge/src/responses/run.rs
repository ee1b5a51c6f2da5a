//! A response is made without its client: its steps are put into its log, and from there into the store, in batches.

use std::{sync::Arc, time::Duration};

use cloudach_openai::{
    Invalid,
    chat::ChatRequest,
    responses::{Record, Reply, Step},
};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::warn;

use super::{
    Follower, LEASE, Live, Responses, in_its_words,
    kept::{Extended, Stage},
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    answer::{Answer, Progress},
    conversation::{self, Asked, Asking},
    error::{ApiError, Words},
    fallback::Begun,
    http::arrival::Arrival,
    idempotency::Place,
    metrics::Endpoint,
    store::Away,
};

/// How often the store gets what has happened. Who follows a response in another edge is behind by so much.
const BATCHED: Duration = Duration::from_millis(250);

/// How often the store is told that an edge is at a response to which nothing happens.
const RENEWED: Duration = Duration::from_secs(5);

/// How long who asks for a response in the background waits for what is wrong with the request.
const FIRST_WORD_WITHIN: Duration = Duration::from_millis(250);

/// Takes itself off the list of those that are made here.
struct Listed {
    responses: Responses,
    place: Place,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.responses.0.live.lock().remove(&self.place);
    }
}

impl Responses {
    /// Notes that a response is made here, and keeps it from its beginning on.
    async fn list(&self, place: &Place, record: Record) -> Result<(Listed, Arc<Live>), Away> {
        let live = Arc::new(Live::new(record));
        let listed = Listed { responses: self.clone(), place: place.clone() };
        if !live.record().is_stored() {
            return Ok((listed, live));
        }
        self.0.live.lock().insert(place.clone(), live.clone());
        if !self.try_keep(place, live.record(), b"", Stage::Begun).await? {
            return Err(Away::Refused("the request is larger than what is kept of one".to_owned()));
        }
        Ok((listed, live))
    }
}

/// Makes a response whose answer has begun, and gives what can be followed. Where the store is away, it cannot be come back
/// to in another edge, nor later.
pub async fn stream(edge: &Edge, place: Place, record: Record, answer: Answer<Reply>) -> Follower {
    let responses = edge.responses.clone();
    let (listed, live) = match responses.list(&place, record.clone()).await {
        Ok(listed) => listed,
        Err(away) => {
            warn!(id = record.id, %away, "a response is not kept");
            let live = Arc::new(Live::new(record));
            responses.0.live.lock().insert(place.clone(), live.clone());
            (Listed { responses: responses.clone(), place: place.clone() }, live)
        }
    };
    let (edge, follower) = (edge.clone(), live.follow());
    edge.running.clone().requests.spawn(async move { make(&edge, &listed, &live, answer).await });
    follower
}

/// What a response in the background is made of.
pub struct Background {
    pub place: Place,
    pub record: Record,
    pub request: ChatRequest,
    pub arrival: Arrival,
    pub caller: Arc<Caller>,
    pub permit: Permit,
    pub bytes: usize,
}

/// Makes a response for which nobody waits.
///
/// # Errors
/// What is soon found to be wrong with the request, or that the store is away.
pub async fn background(edge: &Edge, asked: Background) -> Result<Arc<Live>, ApiError> {
    let Background { place, record, request, arrival, caller, permit, bytes } = asked;
    if !edge.responses.fits(&record) {
        return Err(Invalid::too_large_to_keep(edge.responses.config().response_bytes).into());
    }
    let (listed, live) = edge.responses.list(&place, record).await.map_err(ApiError::Responses)?;
    let (tell, told) = oneshot::channel();
    let (edge, made) = (edge.clone(), live.clone());
    let running = edge.running.clone();
    running.requests.spawn(async move {
        let asking =
            Asking { endpoint: Endpoint::Responses, arrival: &arrival, caller: &caller, permit, bytes, offer: None };
        let reply = |asked: &Asked<'_>| Reply::log(asked.request.logprobs);
        let begun = tokio::select! {
            begun = conversation::begin(&edge, asking, Box::new(request), reply) => begun.map_err(in_its_words),
            () = made.cancelled() => return end(&edge, &listed, &made, &Step::Cancel).await,
            () = edge.running.kill.cancelled() => Err(ApiError::NoRouter),
        };
        match begun {
            Ok(Begun { answer, .. }) => {
                let _ = tell.send(Ok(()));
                make(&edge, &listed, &made, answer).await;
            }
            Err(error) => match tell.send(Err(error)) {
                Ok(()) => {
                    let _ = edge.responses.remove(&listed.place).await;
                }
                // Nobody waits for it any more.
                Err(Err(error)) => {
                    let trace_id = arrival.trace_id();
                    let words = Words { links: &edge.config.links, request_id: &arrival.request_id, trace_id };
                    end(&edge, &listed, &made, &Step::of_error(&error.told(&words))).await;
                }
                Err(Ok(())) => {}
            },
        }
    });
    match timeout(FIRST_WORD_WITHIN, told).await {
        Ok(Ok(Err(error))) => Err(error),
        Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(live),
    }
}

async fn make(edge: &Edge, listed: &Listed, live: &Live, mut answer: Answer<Reply>) {
    let mut last = Vec::new();
    tokio::select! {
        () = produce(edge, live, &mut answer, &mut last) => {}
        () = hand_on(&edge.responses, &listed.place, live) => Step::Cancel.write(&mut last),
    }
    // What it used is known when it is dropped.
    drop(answer);
    finish(edge, listed, live, &last).await;
}

async fn end(edge: &Edge, listed: &Listed, live: &Live, step: &Step<'_>) {
    let mut last = Vec::new();
    step.write(&mut last);
    finish(edge, listed, live, &last).await;
}

/// Kept first: who reads the end may at once go on from it, in any edge.
async fn finish(edge: &Edge, listed: &Listed, live: &Live, last: &[u8]) {
    let log = [&live.log()[..], last].concat();
    edge.conversations.append(&listed.place.tenant, live.record(), &log).await;
    if live.record().is_stored() {
        edge.responses.keep(&listed.place, live.record(), &log, Stage::Ended).await;
    }
    live.extend(last, true);
}

/// Up to the last steps, which are put into `last`.
async fn produce(edge: &Edge, live: &Live, answer: &mut Answer<Reply>, last: &mut Vec<u8>) {
    // Who asks for nothing to be kept wants nothing made without them.
    let linger = if live.record().is_stored() { edge.responses.config().linger } else { Duration::ZERO };
    let deserted = async {
        if live.record().is_background() {
            std::future::pending::<()>().await;
        }
        live.deserted(linger).await;
    };
    tokio::pin!(deserted);
    loop {
        let progress = tokio::select! {
            progress = answer.advance(last) => progress,
            () = live.cancelled() => return Step::Cancel.write(last),
            () = &mut deserted => return Step::Cancel.write(last),
        };
        match progress {
            Ok(Progress::More) => {
                live.extend(last, false);
                last.clear();
            }
            Ok(Progress::Complete) => return,
            Err(error) => {
                answer.note_failure(&error, "response failed");
                return answer.tell(&error, last);
            }
        }
    }
}

/// Gives the store what happens, until somebody wants the response ended.
async fn hand_on(responses: &Responses, place: &Place, live: &Live) {
    let mut ticks = interval(BATCHED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut handed, mut quiet) = (0, Duration::ZERO);
    let most = responses.config().response_bytes;
    if !live.record().is_stored() {
        return std::future::pending().await;
    }
    loop {
        ticks.tick().await;
        quiet += BATCHED;
        let more = live.log_behind(handed);
        // What is too large is not kept in the end: up to there it can be followed.
        let is_too_large = handed + more.len() > most;
        if (more.is_empty() || is_too_large) && quiet < RENEWED {
            continue;
        }
        let more = if is_too_large { Vec::new() } else { more };
        quiet = Duration::ZERO;
        match responses.0.store.extend_response(place, handed, &more, LEASE).await {
            Ok(Extended::Kept) => handed += more.len(),
            Ok(Extended::Cancelled) => return,
            // It was not kept from the start, or somebody has removed it.
            Ok(Extended::Gone) => return std::future::pending().await,
            // The next time all of it is said again.
            Err(_) => {}
        }
    }
}

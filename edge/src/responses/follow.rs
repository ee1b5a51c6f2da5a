//! The events of a response, for one client: from where it has read them to the end.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use bytes::Bytes;
use cloudach_openai::responses::{self, Form, Response, Step};
use futures_util::Stream;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Follower, KeptResponse, Responses, lost};
use crate::{http::idempotent::Ending, idempotency::Place, reply::Reply};

/// Says that the stream lives.
const KEEP_ALIVE: Bytes = Bytes::from_static(<responses::Reply as Reply>::KEEP_ALIVE);

/// How often the store is asked for what has happened in another edge.
const ASKED: Duration = Duration::from_millis(250);

/// How long the store may be away before who follows a response in another edge is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a log into events.
struct Reader {
    response: Response,
    /// Bytes of lines that are not whole.
    rest: Vec<u8>,
}

impl Reader {
    fn read(&mut self, more: &[u8], out: &mut Vec<u8>) {
        self.rest.extend_from_slice(more);
        let (steps, end) = Step::read(&self.rest);
        for step in &steps {
            self.response.take(step, out);
        }
        self.rest.drain(..end);
    }

    fn is_over(&self) -> bool {
        self.response.stage().is_last()
    }
}

/// Of one that is made here.
pub fn live(
    follower: Follower,
    after: Option<u64>,
    keep_alive: Duration,
    ending: Ending,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream! {
        let live = &follower.0;
        let mut progress = live.progress();
        let mut reader = Reader { response: Response::new(live.record().clone(), Form::Stream { after }), rest: Vec::new() };
        let (mut read, mut out) = (0, Vec::new());
        let mut quiet = Instant::now() + keep_alive;
        reader.response.open(&mut out);
        loop {
            let seen = *progress.borrow_and_update();
            let more = live.log_behind(read);
            read += more.len();
            reader.read(&more, &mut out);
            if reader.is_over() {
                ending.is_good();
            }
            if !out.is_empty() {
                yield Ok(Bytes::from(std::mem::take(&mut out)));
                quiet = Instant::now() + keep_alive;
            }
            if seen.is_over || reader.is_over() {
                return;
            }
            tokio::select! {
                // The sender is in the response.
                _ = progress.changed() => {}
                () = sleep_until(quiet) => {
                    yield Ok(KEEP_ALIVE);
                    quiet = Instant::now() + keep_alive;
                }
            }
        }
    }
}

/// Of one that is kept, or made in another edge.
pub fn kept(
    responses: Responses,
    place: Place,
    kept: KeptResponse,
    after: Option<u64>,
    keep_alive: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream! {
        let KeptResponse { record, mut log, mut is_running } = kept;
        let mut reader = Reader { response: Response::new(record, Form::Stream { after }), rest: Vec::new() };
        let (mut read, mut out) = (0, Vec::new());
        let (mut quiet, mut heard) = (Instant::now() + keep_alive, Instant::now());
        reader.response.open(&mut out);
        loop {
            read += log.len();
            reader.read(&log, &mut out);
            if !reader.is_over() && !is_running {
                reader.response.take(&lost(), &mut out);
            }
            if !out.is_empty() {
                yield Ok(Bytes::from(std::mem::take(&mut out)));
                quiet = Instant::now() + keep_alive;
            }
            if reader.is_over() {
                return;
            }
            if Instant::now() >= quiet {
                yield Ok(KEEP_ALIVE);
                quiet = Instant::now() + keep_alive;
            }
            sleep(ASKED).await;
            match responses.0.store.response(&place, read).await {
                Ok(Some(found)) => {
                    (log, is_running) = (found.log, found.is_running);
                    heard = Instant::now();
                }
                // Somebody has removed it.
                Ok(None) => (log, is_running) = (Vec::new(), false),
                Err(_) => (log, is_running) = (Vec::new(), heard.elapsed() < PATIENCE),
            }
        }
    }
}

/// Keeps something for as long as events are read.
pub fn holding<T: Send + 'static, E: Send + 'static>(
    held: T,
    events: impl Stream<Item = E> + Send + 'static,
) -> impl Stream<Item = E> + Send + 'static {
    stream! {
        let _held = held;
        for await event in events {
            yield event;
        }
    }
}

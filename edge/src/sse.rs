//! Writes an answer as server-sent events: its bytes as they come, a sign of life when it is quiet, one error event when
//! it breaks.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, sleep_until};

use crate::{
    answer::{Answer, Progress},
    http::{connection::OfEvents, idempotent::Ending},
    reply::Reply,
};

/// Room that is made for what comes next, in bytes: for one token, padded as at OpenAI, or some without.
const EVENTS: usize = 512;

/// The response that streams `answer`.
pub fn respond<R: Reply>(mut answer: Answer<R>, content_type: &'static str, keep_alive: Duration) -> Response {
    let ending = Ending::default();
    let end = ending.clone();
    let events = stream! {
        let quiet = sleep_until(Instant::now() + keep_alive);
        tokio::pin!(quiet);
        let mut out = Vec::new();
        loop {
            tokio::select! {
                () = answer.wait() => {}
                () = &mut quiet => {
                    yield Ok::<_, Infallible>(Bytes::from_static(R::KEEP_ALIVE));
                    quiet.as_mut().reset(Instant::now() + keep_alive);
                    continue;
                }
            }
            out.reserve(EVENTS);
            let progress = answer.advance(&mut out).await;
            if let Err(error) = &progress {
                answer.note_failure(error, "stream failed");
                answer.tell(error, &mut out);
            }
            if matches!(progress, Ok(Progress::Complete)) {
                end.is_good();
            }
            // What made no bytes, as a word that the request still waits, is no sign of life to a client.
            let bytes = std::mem::take(&mut out);
            if !bytes.is_empty() {
                yield Ok(Bytes::from(bytes));
                quiet.as_mut().reset(Instant::now() + keep_alive);
            }
            if !matches!(progress, Ok(Progress::More)) {
                return;
            }
        }
    };
    let mut response = around(events, content_type);
    response.extensions_mut().insert(ending);
    response
}

/// The response that streams these events.
pub fn around(
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    content_type: &'static str,
) -> Response {
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx and those who copy it buffer event streams unless told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(OfEvents);
    response
}

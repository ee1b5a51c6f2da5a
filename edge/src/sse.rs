//! Writes an answer as server-sent events: its bytes as they come, a sign of life when it is quiet, one error event when
//! it breaks.

use std::{
    convert::Infallible,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    Edge,
    answer::{Answer, Progress},
    http::{
        connection::{OfEvents, last_words},
        idempotent::Ending,
    },
    reply::Reply,
};

/// The response that streams `answer`. The end of this process ends it, as that of the sessions which it comes by.
pub fn respond<R: Reply>(answer: Answer<R>, content_type: &'static str, keep_alive: Duration) -> Response {
    let ending = Ending::default();
    let events =
        Events { answer: Some(answer), out: Vec::new(), ending: ending.clone(), keep_alive, quiet: sleep(keep_alive) };
    let mut response = response(events, content_type);
    response.extensions_mut().insert(ending);
    response
}

pin_project! {
    /// An answer as its events.
    struct Events<R> {
        // None: it is over.
        answer: Option<Answer<R>>,
        out: Vec<u8>,
        ending: Ending,
        keep_alive: Duration,
        // When there has been nothing to tell for so long.
        #[pin]
        quiet: Sleep,
    }
}

impl<R: Reply> Stream for Events<R> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let Some(answer) = this.answer else { return Poll::Ready(None) };
        let bytes = match answer.poll_advance(context, this.out) {
            Poll::Pending => {
                if this.out.is_empty() {
                    // An idle stream keeps nothing.
                    *this.out = Vec::new();
                }
                ready!(this.quiet.as_mut().poll(context));
                Bytes::from_static(R::KEEP_ALIVE)
            }
            Poll::Ready(progress) => {
                match progress {
                    Ok(Progress::More) => {}
                    Ok(Progress::Complete) => {
                        this.ending.is_good();
                        *this.answer = None;
                    }
                    Err(error) => {
                        answer.note_failure(&error, "stream failed");
                        answer.tell(&error, this.out);
                        *this.answer = None;
                    }
                }
                mem::take(this.out).into()
            }
        };
        this.quiet.as_mut().reset(Instant::now() + *this.keep_alive);
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// The response that streams these events, which nothing ends but they themselves and the end of this process.
pub fn around(
    edge: &Edge,
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    content_type: &'static str,
) -> Response {
    response(events.take_until(last_words(edge.running.kill.child_token()).boxed()), content_type)
}

fn response(
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

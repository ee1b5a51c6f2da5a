//! The life of a client's connection. hyper reads every request and writes whole answers; a stream of events is written by
//! [`Sending`], which holds less while nothing is to be said, and then the socket is hyper's again.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    http::{Request, Response, Version, header::CONNECTION},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tracing::debug;

use super::{
    api::Api,
    peer::Peer,
    socket::{Socket, Unsent},
    streaming::{Sending, Streamed},
};
use crate::{Edge, metrics::Open};

/// How long a connection may take, once everything is ended, to send what it was still told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Buffered bytes of one connection, both ways: a head with generous headers.
const BUFFER_BYTES: usize = 64 * 1024;

/// On a response whose body is a stream of events.
#[derive(Debug, Clone, Copy)]
pub struct OfEvents;

/// Serves HTTP/1.1, which is what every SDK speaks to a server without TLS. There a client that does not read is seen
/// by the bytes that stay unwritten.
pub async fn serve(stream: TcpStream, peer: Peer, api: Api, edge: &Edge) {
    // Tokens are small and each should leave at once.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection broke at once");
        return;
    }
    let mut socket = Socket::new(stream, edge.config.limits.stall_time);
    loop {
        // In boxes: what one of them needs is given back before the other begins.
        let Some((given_up, streamed)) = Box::pin(answer(socket, peer, api.clone(), edge)).await else { return };
        socket = given_up;
        let mut sending = Sending::of(streamed, edge.running.drain.is_cancelled(), SystemTime::now());
        let goes_on = match Box::pin(stream_to(&mut socket, &mut sending, edge)).await {
            Ok(goes_on) => goes_on,
            Err(error) => {
                debug!(%error, "connection ended in a stream");
                return;
            }
        };
        if !goes_on || edge.running.drain.is_cancelled() {
            let _ = socket.shutdown().await;
            return;
        }
    }
}

/// Answers requests until one of them is to be answered by a stream, for which the socket is given up, or until there are no
/// more.
async fn answer(socket: Socket, peer: Peer, api: Api, edge: &Edge) -> Option<(Socket, Streamed)> {
    let slot = Slot::default();
    let answering = Answering { api, peer, slot: slot.clone(), unsent: socket.unsent() };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(edge.config.limits.header_time).max_buf_size(BUFFER_BYTES);
    let mut serving = http.serve_connection(TokioIo::new(socket), answering);
    let running = &edge.running;
    let over = tokio::select! {
        over = over(&mut serving, &slot) => over,
        () = running.drain.cancelled() => {
            Pin::new(&mut serving).graceful_shutdown();
            tokio::select! {
                over = over(&mut serving, &slot) => over,
                () = running.kill.cancelled() => {
                    timeout(LAST_WORDS, over(&mut serving, &slot)).await.unwrap_or(Over::Ended(Ok(())))
                }
            }
        }
    };
    let parts = serving.into_parts();
    let mut socket = parts.io.into_inner();
    match over {
        Over::Streams(streamed) => {
            socket.unread(&parts.read_buf);
            Some((socket, streamed))
        }
        Over::Ended(ended) => {
            if let Err(error) = ended {
                debug!(%error, "connection ended");
            }
            let _ = socket.shutdown().await;
            None
        }
    }
}

async fn stream_to(socket: &mut Socket, sending: &mut Sending, edge: &Edge) -> std::io::Result<bool> {
    let (running, _open) = (&edge.running, Open::count(&edge.metrics.streams));
    // Its own: a token is looked at under its lock with every event.
    let kill = running.kill.child_token();
    let sending = sending.to(socket);
    tokio::pin!(sending);
    tokio::select! {
        biased;
        sent = &mut sending => sent,
        // In a box: an open stream holds no room for it.
        () = kill.cancelled() => Box::pin(timeout(LAST_WORDS, sending)).await.unwrap_or(Ok(false)),
    }
}

/// Why hyper is done.
enum Over {
    Streams(Streamed),
    Ended(hyper::Result<()>),
}

async fn over(serving: &mut http1::Connection<TokioIo<Socket>, Answering>, slot: &Slot) -> Over {
    poll_fn(|context| match serving.poll_without_shutdown(context) {
        Poll::Ready(ended) => Poll::Ready(Over::Ended(ended)),
        // Whoever fills it is polled with the connection.
        Poll::Pending => slot.lock().take().map_or(Poll::Pending, |streamed| Poll::Ready(Over::Streams(streamed))),
    })
    .await
}

/// The stream that the connection is to be given up for.
type Slot = Arc<Mutex<Option<Streamed>>>;

/// The API, as hyper asks it. hyper never hears of responses that are streams of events.
struct Answering {
    api: Api,
    peer: Peer,
    slot: Slot,
    unsent: Unsent,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        let is_current = request.version() == Version::HTTP_11;
        let persistent = !request.headers().get_all(CONNECTION).iter().any(says_close);
        let (api, slot, unsent) = (self.api.clone(), self.slot.clone(), self.unsent.clone());
        Box::pin(async move {
            let response = api.answer(request).await;
            // Of an answer before this one, bytes may still be hyper's to send. And HTTP/1.0 knows no chunks.
            if response.extensions().get::<OfEvents>().is_none() || !is_current || !unsent.is_none() {
                return Ok(response);
            }
            *slot.lock() = Some(Streamed { response, persistent });
            pending().await
        })
    }
}

fn says_close(value: &axum::http::HeaderValue) -> bool {
    let options = value.to_str().unwrap_or_default().split(',');
    options.map(str::trim).any(|option| option.eq_ignore_ascii_case("close"))
}

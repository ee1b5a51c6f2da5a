//! The life of a client's connection. hyper reads every request and writes whole answers; a stream of events is written by
//! [`Sending`], which holds less while nothing is to be said, and then the socket is hyper's again.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    http::{Method, Request, Response, Version, header::CONNECTION},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    api::Api,
    peer::Peer,
    socket::{Socket, Unsent},
    streaming::{Sending, Streamed},
};
use crate::metrics::Open;

/// How long a connection may take, once everything is ended, to send what it was still told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Buffered bytes of one connection, both ways: a head with generous headers.
const BUFFER_BYTES: usize = 64 * 1024;

/// On a response whose body is a stream of events.
#[derive(Debug, Clone, Copy)]
pub struct OfEvents;

/// A client's connection. An edge holds one of these for each open stream.
pub struct Connection {
    socket: Socket,
    peer: Peer,
    api: Api,
    /// Its place among all that there may be.
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// A connection that has come.
    ///
    /// # Errors
    /// It broke at once.
    pub fn new(stream: TcpStream, peer: Peer, api: Api, place: Option<OwnedSemaphorePermit>) -> io::Result<Self> {
        // Tokens are small and each should leave at once.
        stream.set_nodelay(true)?;
        let edge = api.edge();
        edge.metrics.connections.inc();
        Ok(Self { socket: Socket::new(stream, edge.config.limits.stall_time), peer, _place: place, api })
    }

    /// Serves HTTP/1.1, which is what every SDK speaks to a server without TLS. There a client that does not read is seen
    /// by the bytes that stay unwritten.
    pub async fn serve(&mut self) {
        loop {
            // In a box: what it needs is given back before a stream begins.
            let Some(mut sending) = Box::pin(answer(&mut self.socket, self.peer, &self.api)).await else { return };
            let running = &self.api.edge().running;
            let _open = Open::count(&self.api.edge().metrics.streams);
            let sent = poll_fn(|context| sending.poll(context, &mut self.socket, &running.kill)).await;
            match sent {
                Ok(true) if !running.drain.is_cancelled() => {}
                Ok(_) => {
                    let _ = self.socket.shutdown().await;
                    return;
                }
                Err(error) => return debug!(%error, "connection ended in a stream"),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.api.edge().metrics.connections.dec();
    }
}

/// Answers requests until one of them is to be answered by a stream, for which the socket is given up, or until there are no
/// more.
async fn answer(socket: &mut Socket, peer: Peer, api: &Api) -> Option<Sending> {
    let (slot, edge) = (Slot::default(), api.edge());
    let answering = Answering { api: api.clone(), peer, slot: slot.clone(), unsent: socket.unsent() };
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
    let socket = parts.io.into_inner();
    match over {
        Over::Streams(streamed) => {
            socket.unread(&parts.read_buf);
            Some(Sending::of(streamed, running.drain.is_cancelled(), SystemTime::now()))
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

/// Until when a connection may send what it was still told, once everything is ended.
pub async fn last_words(kill: CancellationToken) {
    kill.cancelled().await;
    sleep(LAST_WORDS).await;
}

/// Why hyper is done.
enum Over {
    Streams(Streamed),
    Ended(hyper::Result<()>),
}

async fn over(serving: &mut http1::Connection<TokioIo<&mut Socket>, Answering>, slot: &Slot) -> Over {
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
        let is_told = request.method() != Method::HEAD;
        let persistent = !request.headers().get_all(CONNECTION).iter().any(says_close);
        let (api, slot, unsent) = (self.api.clone(), self.slot.clone(), self.unsent.clone());
        Box::pin(async move {
            let response = api.answer(request).await;
            // Of an answer before this one, bytes may still be hyper's to send. HTTP/1.0 knows no chunks. And to HEAD no byte of a body
            // is sent, for which hyper sees.
            let is_stream = is_told && response.extensions().get::<OfEvents>().is_some();
            if !is_stream || !is_current || !unsent.is_none() {
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

//! HTTP/1 to the engine: a connection per request, kept for the next one when its answer was read to the end.
//!
//! A connection is driven by whoever reads its answer and not by a task of its own: dropping a request or a half-read
//! [`Response`] closes the socket there and then, which is how engines learn that nobody wants the rest. An answer that is
//! waited for holds a socket and a few words.

mod framing;
mod request;
mod socket;

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use cloudach_service::address::Address;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use self::{
    framing::{Body, Head, Malformed},
    socket::Socket,
};

/// An idle connection older than this is not used again: engines close theirs after five seconds.
const IDLE_FOR: Duration = Duration::from_secs(3);

/// Why the engine gave no (whole) response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody listens there, or nobody answers the door.
    #[error("cannot connect to the engine at {address}: {source}")]
    Unreachable { address: Address, source: io::Error },
    /// The connection broke.
    #[error("the connection to the engine broke: {0}")]
    Broken(#[from] io::Error),
    /// The engine closed the connection in the middle.
    #[error("the engine closed the connection")]
    Closed,
    /// What listens there is no engine.
    #[error("the engine's response cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The response is bigger than it may be.
    #[error("the engine's response is larger than {0} bytes")]
    TooLarge(usize),
    /// The engine said nothing for too long.
    #[error("the engine was silent for {0:?}")]
    Silent(Duration),
}

/// Reaches one engine.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
    host: String,
    connect_timeout: Duration,
    max_idle: usize,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    socket: Socket,
    since: Instant,
}

/// A response whose body has not been read to the end. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    body: Body,
    /// The connection may be used again.
    keeps_alive: bool,
    /// What came with the head.
    unread: Vec<u8>,
    /// Gone once the connection was given back, or broke.
    socket: Option<Socket>,
    client: Arc<Client>,
}

impl Client {
    pub(crate) fn new(address: Address, connect_timeout: Duration, max_idle: usize) -> Self {
        let host = match &address {
            Address::Tcp(authority) if http::HeaderValue::from_str(authority).is_ok() => authority.clone(),
            _ => "localhost".to_owned(),
        };
        Self { address, host, connect_timeout, max_idle, idle: Mutex::default() }
    }

    pub(crate) async fn get(self: &Arc<Self>, path: &str) -> Result<Response, HttpError> {
        self.send(&request::bytes(&Method::GET, path, &self.host, &HeaderMap::new(), &[])).await
    }

    pub(crate) async fn post(
        self: &Arc<Self>,
        path: &str,
        headers: HeaderMap,
        json: Vec<u8>,
    ) -> Result<Response, HttpError> {
        self.send(&request::bytes(&Method::POST, path, &self.host, &headers, &json)).await
    }

    /// Sends a request and waits for the head of its response.
    async fn send(self: &Arc<Self>, request: &[u8]) -> Result<Response, HttpError> {
        // The engine may have closed a kept connection a moment ago: that says nothing about the engine.
        if let Some(socket) = self.take_idle()
            && let Ok(response) = self.send_on(socket, request).await
        {
            return Ok(response);
        }
        let socket = self.connect().await?;
        self.send_on(socket, request).await
    }

    async fn send_on(self: &Arc<Self>, mut socket: Socket, request: &[u8]) -> Result<Response, HttpError> {
        let (mut unsent, mut unread) = (request, Vec::new());
        let head = poll_fn(|context| poll_answer(&mut socket, &mut unsent, &mut unread, context)).await?;
        unread.drain(..head.bytes);
        // An engine that answers before it has heard everything does not listen to the rest.
        let keeps_alive = head.keeps_alive && unsent.is_empty();
        let Head { status, body, .. } = head;
        Ok(Response { status, body, keeps_alive, unread, socket: Some(socket), client: self.clone() })
    }

    fn take_idle(&self) -> Option<Socket> {
        loop {
            let Idle { socket, since } = self.idle.lock().pop()?;
            if since.elapsed() < IDLE_FOR && socket.is_quiet() {
                return Some(socket);
            }
        }
    }

    fn keep(&self, socket: Socket) {
        let mut idle = self.idle.lock();
        let since = Instant::now();
        // The oldest are in front.
        let old = idle.iter().take_while(|kept| since.duration_since(kept.since) >= IDLE_FOR).count();
        idle.drain(..old);
        if idle.len() < self.max_idle {
            idle.push(Idle { socket, since });
        }
    }

    async fn connect(&self) -> Result<Socket, HttpError> {
        let connected = timeout(self.connect_timeout, Socket::connect(&self.address)).await;
        connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| HttpError::Unreachable { address: self.address.clone(), source })
    }
}

/// Sends what is `unsent` of a request, and reads up to the end of the answer's head, which may come before everything is sent.
/// An engine that breaks the connection in the middle may have said why before.
fn poll_answer(
    socket: &mut Socket,
    unsent: &mut &[u8],
    unread: &mut Vec<u8>,
    context: &mut Context<'_>,
) -> Poll<Result<Head, HttpError>> {
    let mut broken = None;
    while !unsent.is_empty() {
        match socket.poll_write(context, unsent) {
            Poll::Ready(Ok(0)) => broken = Some(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                *unsent = &unsent[count..];
                continue;
            }
            Poll::Ready(Err(error)) => broken = Some(error),
            Poll::Pending => {}
        }
        break;
    }
    loop {
        let read = socket.poll_bytes(context, |bytes| {
            unread.extend_from_slice(bytes);
            bytes.len()
        });
        let read = match (read, broken.take()) {
            (Poll::Pending, Some(error)) => return Poll::Ready(Err(error.into())),
            (read, error) => {
                broken = error;
                ready!(read)?
            }
        };
        while let Some(head) = Head::read(unread)? {
            if !head.status.is_informational() {
                return Poll::Ready(Ok(head));
            }
            unread.drain(..head.bytes);
        }
        if read == 0 {
            return Poll::Ready(Err(HttpError::Closed));
        }
    }
}

impl Response {
    /// The next bytes of the body; none at its end, when the connection goes back to be used again.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let next = poll_fn(|context| self.poll_chunk(context)).await;
        match next {
            Ok(Some(_)) => {}
            Err(_) => self.socket = None,
            Ok(None) => {
                // What came behind the end was not asked for.
                let is_usable = self.keeps_alive && self.unread.is_empty();
                if let Some(socket) = self.socket.take().filter(|_| is_usable) {
                    self.client.keep(socket);
                }
            }
        }
        next
    }

    /// The whole body.
    pub(crate) async fn whole(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            if whole.len() + bytes.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpError>> {
        let mut data = Vec::new();
        if !self.unread.is_empty() && !self.body.is_over() {
            let unread = std::mem::take(&mut self.unread);
            let mut bytes = &unread[..];
            data.reserve(bytes.len());
            self.body.read(&mut bytes, &mut data)?;
            self.unread = bytes.to_vec();
        }
        while data.is_empty() && !self.body.is_over() {
            let Some(socket) = &mut self.socket else { return Poll::Ready(Err(HttpError::Closed)) };
            let (body, behind) = (&mut self.body, &mut self.unread);
            let read = ready!(socket.poll_bytes(context, |mut bytes| {
                let is_end = bytes.is_empty();
                data.reserve(bytes.len());
                body.read(&mut bytes, &mut data)?;
                behind.extend_from_slice(bytes);
                Ok::<_, Malformed>(is_end)
            }))?;
            if read? {
                return match self.body {
                    Body::UntilClosed => Poll::Ready(Ok(None)),
                    _ => Poll::Ready(Err(HttpError::Closed)),
                };
            }
        }
        Poll::Ready(Ok((!data.is_empty()).then(|| data.into())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    async fn client() -> (Arc<Client>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        (Arc::new(Client::new(address, Duration::from_secs(2), 4)), listener)
    }

    /// The next connection, once a request came by it.
    async fn asked(listener: &TcpListener) -> TcpStream {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket
    }

    /// What a client makes of an engine that answers in such pieces, and whether it would use the connection again.
    async fn answer(pieces: &[&[u8]], close: bool) -> (Result<(StatusCode, Bytes), HttpError>, bool) {
        let (client, listener) = client().await;
        let engine = async {
            let mut socket = asked(&listener).await;
            socket.set_nodelay(true).unwrap();
            for piece in pieces {
                socket.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (!close).then_some(socket)
        };
        let asking = async {
            let response = client.get("/").await?;
            Ok((response.status, response.whole(1000).await?))
        };
        let (_open, answer) = timeout(Duration::from_secs(5), async { tokio::join!(engine, asking) }).await.unwrap();
        (answer, client.take_idle().is_some())
    }

    #[tokio::test]
    async fn answers_are_read_however_they_come() {
        let chunked = "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nnot\r\n5\r\n here\r\n0\r\n\r\n";
        for cut in 0..=chunked.len() {
            if cut % 7 == 0 || cut > chunked.len() - 6 {
                let (first, second) = chunked.as_bytes().split_at(cut);
                let (answer, is_kept) = answer(&[first, second], false).await;
                let (status, body) = answer.unwrap();
                assert_eq!((status.as_u16(), &body[..], is_kept), (404, &b"not here"[..], true), "cut at {cut}");
            }
        }
        let (announced, is_kept) =
            answer(&[b"HTTP/1.1 100 Continue\r\n\r\n", OK].concat().chunks(500).collect::<Vec<_>>(), false).await;
        assert_eq!((announced.unwrap().1, is_kept), ("ok".into(), true));
        let (ended, is_kept) = answer(&[b"HTTP/1.1 200 OK\r\n\r\nun", b"til"], true).await;
        assert_eq!((ended.unwrap().1, is_kept), ("until".into(), false));
    }

    #[tokio::test]
    async fn what_is_cut_off_or_too_much_is_an_error() {
        let (cut, _) = answer(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwho"], true).await;
        assert!(matches!(cut, Err(HttpError::Closed)), "{cut:?}");
        let (cut, _) = answer(&[b"HTTP/1.1 200"], true).await;
        assert!(matches!(cut, Err(HttpError::Closed | HttpError::Broken(_))), "{cut:?}");
        let (long, is_kept) = answer(&[b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1001]], false).await;
        assert!(matches!((long, is_kept), (Err(HttpError::TooLarge(1000)), false)));
        let (other, _) = answer(&[b"SSH-2.0-OpenSSH_9.2\r\n"], false).await;
        assert!(matches!(other, Err(HttpError::Malformed(_))), "{other:?}");
    }

    #[tokio::test]
    async fn a_connection_with_bytes_behind_its_answer_is_not_used_again() {
        let (answered, is_kept) = answer(&[OK, b"HTTP/1.1 200 OK\r\n"], false).await;
        assert_eq!((answered.unwrap().1, is_kept), ("ok".into(), false));
        let (answered, is_kept) = answer(&[&[OK, b"more"].concat()], false).await;
        assert_eq!((answered.unwrap().1, is_kept), ("ok".into(), false));
    }

    /// The engine closes a kept connection just after it was found usable.
    #[tokio::test]
    async fn a_request_on_a_connection_that_has_ended_fails_at_once() {
        let (client, listener) = client().await;
        let asking = async {
            client.get("/").await.unwrap().whole(64).await.unwrap();
            client.take_idle().unwrap()
        };
        let engine = async {
            let mut socket = asked(&listener).await;
            socket.write_all(OK).await.unwrap();
            socket
        };
        let (socket, closing) = tokio::join!(asking, engine);
        drop(closing);
        let sent = timeout(Duration::from_secs(5), client.send_on(socket, b"GET / HTTP/1.1\r\n\r\n"));
        let sent = sent.await.expect("it does not wait for ever");
        assert!(matches!(sent, Err(HttpError::Closed | HttpError::Broken(_))), "{sent:?}");
    }

    /// Which says nothing about the engine: the request goes out on another connection.
    #[tokio::test]
    async fn a_closed_connection_is_replaced() {
        let (client, listener) = client().await;
        let engine = async {
            for _ in 0..2 {
                asked(&listener).await.write_all(OK).await.unwrap();
            }
        };
        let asking = async {
            for _ in 0..2 {
                assert_eq!(client.get("/").await.unwrap().whole(64).await.unwrap(), "ok");
            }
        };
        timeout(Duration::from_secs(5), async { tokio::join!(engine, asking) }).await.expect("both are answered");
    }

    /// Larger than what sockets hold: the engine says no before it has read it all.
    #[tokio::test]
    async fn an_engine_that_answers_before_it_has_heard_everything_is_heard() {
        let (client, listener) = client().await;
        let engine = async {
            let mut socket = asked(&listener).await;
            socket.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
            socket
        };
        let asking = async {
            let response = client.post("/", HeaderMap::new(), vec![b'x'; 32 << 20]).await.unwrap();
            (response.status.as_u16(), response.whole(64).await.unwrap())
        };
        let both = async { tokio::join!(engine, asking) };
        let (_open, answer) = timeout(Duration::from_secs(5), both).await.expect("it does not wait to be heard");
        assert_eq!(answer, (413, "no".into()));
        assert!(client.take_idle().is_none());
    }

    #[tokio::test]
    async fn whoever_leaves_closes_the_connection() {
        let (client, listener) = client().await;
        let engine = async {
            let mut socket = asked(&listener).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await.unwrap();
            socket.read(&mut [0; 8]).await
        };
        let asking = async { client.get("/").await.unwrap().chunk().await.unwrap() };
        let (end, chunk) = timeout(Duration::from_secs(5), async { tokio::join!(engine, asking) }).await.unwrap();
        assert_eq!((chunk, end.unwrap_or_default()), (Some("x".into()), 0));
    }
}

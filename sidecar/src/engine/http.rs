//! HTTP/1 to the engine: a connection per request, kept for the next one when its answer was read to the end.
//!
//! A connection is driven by whoever reads its answer and not by a task of its own: dropping a request or a half-read
//! [`Response`] closes the socket there and then, which is how engines learn that nobody wants the rest.

use std::{
    future::poll_fn,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use cloudach_service::address::Address;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::either::Either;

/// An idle connection older than this is not used again: engines close theirs after five seconds.
const IDLE_FOR: Duration = Duration::from_secs(3);

/// How long a full queue of connections is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// The largest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Why the engine gave no (whole) response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody listens there, or nobody answers the door.
    #[error("cannot connect to the engine at {address}: {source}")]
    Unreachable { address: Address, source: io::Error },
    /// The connection broke.
    #[error("the connection to the engine broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The engine closed the connection in the middle.
    #[error("the engine closed the connection")]
    Closed,
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
    host: HeaderValue,
    connect_timeout: Duration,
    max_idle: usize,
    idle: Mutex<Vec<Idle>>,
}

/// A response whose body has not been read to the end. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    body: Incoming,
    /// Gone once the connection was given back.
    link: Option<Link>,
    client: Arc<Client>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

type Socket = TokioIo<Either<TcpStream, UnixStream>>;

/// A connection and the handle that sends on it.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<Socket, Full<Bytes>>,
    ended: bool,
}

impl Client {
    pub(crate) fn new(address: Address, connect_timeout: Duration, max_idle: usize) -> Self {
        let host = match &address {
            Address::Tcp(authority) => HeaderValue::from_str(authority).ok(),
            Address::Unix(_) => None,
        };
        let host = host.unwrap_or(HeaderValue::from_static("localhost"));
        Self { address, host, connect_timeout, max_idle, idle: Mutex::default() }
    }

    pub(crate) async fn get(self: &Arc<Self>, path: &str) -> Result<Response, HttpError> {
        self.send(Method::GET, path, HeaderMap::new(), Bytes::new()).await
    }

    pub(crate) async fn post(
        self: &Arc<Self>,
        path: &str,
        headers: HeaderMap,
        json: Vec<u8>,
    ) -> Result<Response, HttpError> {
        self.send(Method::POST, path, headers, json.into()).await
    }

    /// Sends a request and waits for the head of its response.
    async fn send(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, HttpError> {
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = http::Uri::try_from(path).unwrap_or_default();
            *request.headers_mut() = headers.clone();
            request.headers_mut().insert(header::HOST, self.host.clone());
            if method == Method::POST {
                request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            request
        };
        // The engine may have closed a kept connection a moment ago: that says nothing about the engine.
        if let Some(mut link) = self.take_idle().await
            && let Ok(head) = link.send(request()).await
        {
            return Ok(self.response(head, link));
        }
        let mut link = self.connect().await?;
        let head = link.send(request()).await?;
        Ok(self.response(head, link))
    }

    fn response(self: &Arc<Self>, head: http::Response<Incoming>, link: Link) -> Response {
        let (parts, body) = head.into_parts();
        Response { status: parts.status, body, link: Some(link), client: self.clone() }
    }

    async fn take_idle(&self) -> Option<Link> {
        loop {
            let Idle { mut link, since } = self.idle.lock().pop()?;
            if since.elapsed() < IDLE_FOR && link.is_usable().await {
                return Some(link);
            }
        }
    }

    fn keep(&self, link: Link) {
        let mut idle = self.idle.lock();
        let since = Instant::now();
        idle.retain(|kept| since.duration_since(kept.since) < IDLE_FOR);
        if idle.len() < self.max_idle {
            idle.push(Idle { link, since });
        }
    }

    async fn connect(&self) -> Result<Link, HttpError> {
        let unreachable = |source| HttpError::Unreachable { address: self.address.clone(), source };
        let connecting = async {
            match &self.address {
                Address::Tcp(authority) => {
                    let stream = TcpStream::connect(authority).await?;
                    stream.set_nodelay(true)?;
                    Ok(Either::Left(stream))
                }
                Address::Unix(path) => connect_unix(path).await.map(Either::Right),
            }
        };
        let socket = timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(unreachable)?;
        let (sender, connection) = Builder::new().max_header_size(MAX_HEAD).handshake(TokioIo::new(socket)).await?;
        Ok(Link { sender, connection, ended: false })
    }
}

/// Unlike TCP, a Unix socket whose queue is full refuses at once, and is only busy.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(BUSY_PAUSE).await,
            connected => return connected,
        }
    }
}

impl Response {
    /// The next bytes of the body; none at its end, when the connection goes back to be used again.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let next = poll_fn(|context| self.poll_chunk(context)).await;
        match next {
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(error)) => {
                self.link = None;
                Err(error)
            }
            None => {
                if let Some(link) = self.link.take().filter(|link| !link.ended) {
                    self.client.keep(link);
                }
                Ok(None)
            }
        }
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

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, HttpError>>> {
        loop {
            if let Some(link) = &mut self.link {
                link.drive(context);
            }
            match Pin::new(&mut self.body).poll_frame(context)? {
                Poll::Ready(None) => return Poll::Ready(None),
                // Trailers say nothing that is used here.
                Poll::Ready(Some(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Pending if self.link.as_ref().is_some_and(|link| link.ended) => {
                    return Poll::Ready(Some(Err(HttpError::Closed)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Link {
    /// Sends a request and waits for the head of its response.
    ///
    /// A connection that ends tells those who wait for it when it is dropped, and it is not dropped here: that nobody
    /// will answer shows in its end alone.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, HttpError> {
        let mut head = std::pin::pin!(self.sender.send_request(request));
        poll_fn(|context| {
            self.drive(context);
            match head.as_mut().poll(context) {
                Poll::Pending if self.ended => Poll::Ready(Err(HttpError::Closed)),
                head => head.map_err(HttpError::from),
            }
        })
        .await
    }

    /// Whether another request may be sent on it.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            let ready = matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())));
            Poll::Ready(ready && !self.ended)
        })
        .await
    }

    /// Lets the connection read and write what it can. What goes wrong with it shows in the response.
    fn drive(&mut self, context: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll(context).is_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// An engine that answers one request on each connection, keeps it open, and closes it when told.
    async fn answer_and_close(listener: &TcpListener, close: impl Future<Output = ()>) {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        close.await;
    }

    async fn client() -> (Arc<Client>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        (Arc::new(Client::new(address, Duration::from_secs(2), 4)), listener)
    }

    /// The engine closes a kept connection just after it was found usable.
    #[tokio::test]
    async fn a_request_on_a_connection_that_has_ended_fails_at_once() {
        let (client, listener) = client().await;
        let (close, closing) = tokio::sync::oneshot::channel::<()>();
        let engine = answer_and_close(&listener, async { drop(closing.await) });
        let asking = async {
            client.get("/").await.unwrap().whole(64).await.unwrap();
            let link = client.take_idle().await.unwrap();
            close.send(()).unwrap();
            link
        };
        let (mut link, ()) = tokio::join!(asking, engine);
        while link.is_usable().await {
            tokio::task::yield_now().await;
        }
        let request = Request::new(Full::new(Bytes::new()));
        let sent = timeout(Duration::from_secs(5), link.send(request)).await.expect("it does not wait for ever");
        assert!(matches!(sent, Err(HttpError::Closed | HttpError::Broken(_))), "{sent:?}");
    }

    /// Which says nothing about the engine: the request goes out on another connection.
    #[tokio::test]
    async fn a_closed_connection_is_replaced() {
        let (client, listener) = client().await;
        let engine = async {
            for _ in 0..2 {
                answer_and_close(&listener, async {}).await;
            }
        };
        let asking = async {
            for _ in 0..2 {
                assert_eq!(client.get("/").await.unwrap().whole(64).await.unwrap(), "ok");
            }
        };
        timeout(Duration::from_secs(5), async { tokio::join!(engine, asking) }).await.expect("both are answered");
    }
}

//! Sends a stream of events over a socket that hyper has given up for it: hyper keeps 15 KiB of buffers for as long as a
//! response takes, and most streams are open for long and say little.

use std::{
    io,
    io::Write,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use axum::{body::Body, http::response::Parts, response::Response};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{
    body::Body as _,
    header::{CONNECTION, HeaderMap, HeaderValue},
};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use super::{connection::last_words, socket::Socket};

/// What is written at once, about, where more is there. In bytes.
const AT_ONCE: usize = 64 * 1024;

/// A response whose body is a stream of events.
pub struct Streamed {
    pub response: Response,
    /// The client wants to send further requests over the same connection.
    pub persistent: bool,
}

/// A stream as it is sent: less than the response that it came in.
pub struct Sending {
    /// What is to be written before anything else comes. While nothing is, there is no buffer.
    out: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// Nothing comes after it.
    ended: bool,
    body: Body,
    persistent: bool,
    /// The end of this process, where the client does not read: in a box, as most read, and nearly always.
    left: Option<BoxFuture<'static, ()>>,
}

impl Sending {
    /// Nothing of it is sent yet.
    pub fn of(streamed: Streamed, draining: bool, now: SystemTime) -> Self {
        let (parts, body) = streamed.response.into_parts();
        let persistent = streamed.persistent && !draining && !closes(&parts.headers);
        Self { out: head(&parts, persistent, now), written: 0, ended: false, body, persistent, left: None }
    }

    /// Sends it to its end, in chunks (RFC 9112, section 7.1). Whether a further request may follow. Whoever makes the stream
    /// ends it with `kill`; a client that does not read then is left.
    ///
    /// # Errors
    /// The client has left, or does not read.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        kill: &CancellationToken,
    ) -> Poll<io::Result<bool>> {
        loop {
            if self.written == 0 && self.left.is_none() {
                self.gather(context);
                if self.out.is_empty() {
                    return socket.poll_left(context).map(Err);
                }
            }
            ready!(self.poll_write(context, socket, kill))?;
            if self.ended {
                return Poll::Ready(Ok(self.persistent));
            }
        }
    }

    /// Adds what is there already.
    fn gather(&mut self, context: &mut Context<'_>) {
        while self.out.len() < AT_ONCE && !self.ended {
            match poll_data(&mut self.body, context) {
                Poll::Pending => return,
                Poll::Ready(Some(bytes)) => chunk(&bytes, &mut self.out),
                Poll::Ready(None) => {
                    self.out.extend_from_slice(LAST_CHUNK);
                    self.ended = true;
                }
            }
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        kill: &CancellationToken,
    ) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(socket);
        while self.written < self.out.len() {
            match socket.as_mut().poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => self.written += written?,
                Poll::Pending => {
                    let left = self.left.get_or_insert_with(|| last_words(kill.clone()).boxed());
                    return left.poll_unpin(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        ready!(socket.poll_flush(context))?;
        (self.out, self.written, self.left) = (Vec::new(), 0, None);
        Poll::Ready(Ok(()))
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn poll_data(body: &mut Body, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
    loop {
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            // Streams of events do not fail: they say what is wrong, and end.
            Poll::Ready(None | Some(Err(_))) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                // An empty chunk would be the last.
                if let Some(bytes) = frame.into_data().ok().filter(|bytes| !bytes.is_empty()) {
                    return Poll::Ready(Some(bytes));
                }
            }
        }
    }
}

fn chunk(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 20);
    // Writing to memory does not fail.
    let _ = write!(out, "{:x}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value == "close")
}

/// The head of a response in chunks, as hyper writes it.
fn head(parts: &Parts, persistent: bool, now: SystemTime) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", parts.status.as_u16());
    let mut line = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    let told = parts.headers.iter().filter(|(name, _)| *name != CONNECTION);
    told.for_each(|(name, value): (_, &HeaderValue)| line(name.as_str(), value.as_bytes()));
    if !persistent {
        line("connection", b"close");
    }
    line("transfer-encoding", b"chunked");
    line("date", httpdate::fmt_http_date(now).as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::UNIX_EPOCH};

    use super::*;

    #[test]
    fn heads_are_lines_and_end_with_an_empty_one() {
        let response = Response::builder().status(200).header("x-request-id", "req_1").header("connection", "close");
        let (parts, ()) = response.body(()).unwrap().into_parts();
        for (persistent, connection) in [(true, ""), (false, "connection: close\r\n")] {
            let head = String::from_utf8(head(&parts, persistent, UNIX_EPOCH)).unwrap();
            let expected = format!(
                "HTTP/1.1 200 OK\r\nx-request-id: req_1\r\n{connection}transfer-encoding: chunked\r\n\
                 date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
            );
            assert_eq!(head, expected);
        }
        assert!(closes(&parts.headers));
    }

    #[test]
    fn chunks_tell_their_lengths() {
        for length in [1, 9, 15, 16, 255, 256, 4095, 4096, 70_000] {
            let (bytes, mut out) = (vec![b'x'; length], Vec::new());
            chunk(&bytes, &mut out);
            assert_eq!(out, [format!("{length:x}\r\n").as_bytes(), &bytes, b"\r\n"].concat());
        }
    }

    #[test]
    fn what_is_there_leaves_in_chunks_together() {
        let pieces = ["data: 1\n\n", "", "data: two\n\n"].map(|piece| Ok::<_, io::Error>(Bytes::from(piece)));
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let mut sending = Sending::of(Streamed { response: Response::new(body), persistent: true }, false, UNIX_EPOCH);
        sending.out.clear();
        sending.gather(&mut Context::from_waker(Waker::noop()));
        assert!(sending.ended);
        assert_eq!(String::from_utf8(sending.out).unwrap(), "9\r\ndata: 1\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n");
    }
}

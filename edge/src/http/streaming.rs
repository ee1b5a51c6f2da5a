//! Sends a stream of events over a socket that hyper has given up for it: hyper keeps 15 KiB of buffers for as long as a
//! response takes, and most streams are open for long and say little.

use std::{future::poll_fn, io, io::Write, pin::Pin, task::Poll, time::SystemTime};

use axum::{body::Body, http::response::Parts, response::Response};
use bytes::Bytes;
use hyper::{
    body::Body as _,
    header::{CONNECTION, HeaderMap, HeaderValue},
};
use tokio::io::AsyncWriteExt;

use super::socket::Socket;

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
    /// What is to be written before anything else comes.
    out: Vec<u8>,
    body: Body,
    persistent: bool,
}

impl Sending {
    /// Nothing of it is sent yet.
    pub fn of(streamed: Streamed, draining: bool, now: SystemTime) -> Self {
        let (parts, body) = streamed.response.into_parts();
        let persistent = streamed.persistent && !draining && !closes(&parts.headers);
        Self { out: head(&parts, persistent, now), body, persistent }
    }

    /// Sends it to its end, in chunks (RFC 9112, section 7.1). Whether a further request may follow.
    ///
    /// # Errors
    /// The client has left, or does not read.
    pub async fn to(&mut self, socket: &mut Socket) -> io::Result<bool> {
        loop {
            let ended = gather(&mut self.body, &mut self.out).await;
            if !self.out.is_empty() {
                // Not kept: while nothing is to be written there is no buffer.
                socket.write_all(&std::mem::take(&mut self.out)).await?;
                socket.flush().await?;
            }
            if ended {
                return Ok(self.persistent);
            }
            let Some(bytes) = next(socket, &mut self.body).await? else {
                socket.write_all(LAST_CHUNK).await?;
                return Ok(self.persistent);
            };
            chunk(&bytes, &mut self.out);
        }
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Waits for what comes next, for as long as the client is there.
async fn next(socket: &mut Socket, body: &mut Body) -> io::Result<Option<Bytes>> {
    poll_fn(|context| {
        if let Poll::Ready(error) = socket.poll_left(context) {
            return Poll::Ready(Err(error));
        }
        poll_data(body, context).map(Ok)
    })
    .await
}

/// Adds what is there already. Whether the stream has ended with it.
async fn gather(body: &mut Body, out: &mut Vec<u8>) -> bool {
    poll_fn(|context| {
        while out.len() < AT_ONCE {
            match poll_data(body, context) {
                Poll::Pending => return Poll::Ready(false),
                Poll::Ready(Some(bytes)) => chunk(&bytes, out),
                Poll::Ready(None) => {
                    out.extend_from_slice(LAST_CHUNK);
                    return Poll::Ready(true);
                }
            }
        }
        Poll::Ready(false)
    })
    .await
}

fn poll_data(body: &mut Body, context: &mut std::task::Context<'_>) -> Poll<Option<Bytes>> {
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
    use std::time::UNIX_EPOCH;

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

    #[tokio::test]
    async fn what_is_there_leaves_in_chunks_together() {
        let pieces = ["data: 1\n\n", "", "data: two\n\n"].map(|piece| Ok::<_, io::Error>(Bytes::from(piece)));
        let mut body = Body::from_stream(futures_util::stream::iter(pieces));
        let mut out = Vec::new();
        assert!(gather(&mut body, &mut out).await);
        assert_eq!(String::from_utf8(out).unwrap(), "9\r\ndata: 1\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n");
    }
}

//! A client's socket: what was read of it too early is read first, and it is known whether anything waits to be written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutWriter;

/// What is read at once while nothing is expected. In bytes.
const AHEAD_AT_ONCE: usize = 512;

/// What a client may send before its answer is over; beyond it, it has to wait. In bytes.
const MOST_AHEAD: usize = 64 * 1024;

/// A client's socket.
pub struct Socket {
    stream: Pin<Box<TimeoutWriter<TcpStream>>>,
    ahead: BytesMut,
    unsent: Unsent,
}

/// Whether bytes were given to a socket that it has not taken. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Unsent(Arc<AtomicBool>);

impl Unsent {
    pub fn is_none(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn set(&self, unsent: bool) {
        self.0.store(unsent, Ordering::Relaxed);
    }
}

impl Socket {
    /// Bytes that the client leaves unread for `stall_time` are an error.
    pub fn new(stream: TcpStream, stall_time: Duration) -> Self {
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(stall_time));
        Self { stream: Box::pin(stream), ahead: BytesMut::new(), unsent: Unsent::default() }
    }

    pub fn unsent(&self) -> Unsent {
        self.unsent.clone()
    }

    /// These were read, and are to be read again before all others.
    pub fn unread(&mut self, bytes: &[u8]) {
        // Copied: a slice of a buffer keeps all of it.
        let mut ahead = BytesMut::with_capacity(bytes.len() + self.ahead.len());
        ahead.extend_from_slice(bytes);
        ahead.extend_from_slice(&self.ahead);
        self.ahead = ahead;
    }

    /// Waits for the client to leave. What it sends meanwhile is kept.
    pub fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while self.ahead.len() < MOST_AHEAD {
            let mut bytes = [0; AHEAD_AT_ONCE];
            let mut read = ReadBuf::new(&mut bytes);
            match ready!(self.stream.as_mut().poll_read(context, &mut read)) {
                Err(error) => return Poll::Ready(error),
                Ok(()) if read.filled().is_empty() => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.stream.as_mut().poll_read(context, buf);
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unsent.set(true);
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsent.set(true);
        self.stream.as_mut().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all bytes were given to the socket.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.as_mut().poll_flush(context))?;
        self.unsent.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

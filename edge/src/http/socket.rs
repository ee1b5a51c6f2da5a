//! A client's socket: what was read of it too early is read first, it is known whether anything waits to be written, and a
//! client that does not read is given up.

use std::{
    future::Future,
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
    time::{Sleep, sleep},
};

/// What is read at once while nothing is expected. In bytes.
const AHEAD_AT_ONCE: usize = 512;

/// What a client may send before its answer is over; beyond it, it has to wait. In bytes.
const MOST_AHEAD: usize = 64 * 1024;

/// A client's socket.
pub struct Socket {
    stream: TcpStream,
    ahead: BytesMut,
    unsent: Unsent,
    stall_time: Duration,
    /// When the client has left bytes unread for so long. None: it has taken all there were.
    stalled: Option<Pin<Box<Sleep>>>,
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
        Self { stream, ahead: BytesMut::new(), unsent: Unsent::default(), stall_time, stalled: None }
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
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)) {
                Err(error) => return Poll::Ready(error),
                Ok(()) if read.filled().is_empty() => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
            }
        }
        Poll::Pending
    }
}

impl Socket {
    /// An error where bytes have waited for too long since the client took any.
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let time = self.stall_time;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsent.set(true);
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all bytes were given to the socket.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.unsent.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

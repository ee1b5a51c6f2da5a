//! A client's connection: TCP or Unix, watched for its end while a response is written, reset when told to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A client's connection. Dropping it closes it; after [`Socket::reset`] or the engine's death it is reset instead.
pub(crate) struct Socket {
    stream: Stream,
    /// Set when the whole engine has died.
    dead: Arc<AtomicBool>,
    reset: AtomicBool,
    /// The client sent something while a response was under way, which is lost: no more requests on this connection.
    spoiled: AtomicBool,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn tcp(stream: TcpStream, dead: Arc<AtomicBool>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::new(Stream::Tcp(stream), dead))
    }

    pub(crate) fn unix(stream: UnixStream, dead: Arc<AtomicBool>) -> Self {
        Self::new(Stream::Unix(stream), dead)
    }

    fn new(stream: Stream, dead: Arc<AtomicBool>) -> Self {
        Self { stream, dead, reset: AtomicBool::new(false), spoiled: AtomicBool::new(false) }
    }

    /// Returns when the client has closed its side.
    pub(crate) async fn closed(&self) {
        let mut bytes = [0; 64];
        loop {
            let read = match &self.stream {
                Stream::Tcp(stream) => match stream.readable().await {
                    Ok(()) => stream.try_read(&mut bytes),
                    Err(error) => Err(error),
                },
                Stream::Unix(stream) => match stream.readable().await {
                    Ok(()) => stream.try_read(&mut bytes),
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(0) => return,
                Ok(_) => self.spoil(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    pub(crate) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match &self.stream {
                Stream::Tcp(stream) => stream.try_write(bytes),
                Stream::Unix(stream) => stream.try_write(bytes),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match &self.stream {
                    Stream::Tcp(stream) => stream.writable().await?,
                    Stream::Unix(stream) => stream.writable().await?,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends in segments of this size, with a pause between them so that the client reads each on its own.
    pub(crate) async fn send_split(&self, bytes: &[u8], size: usize) -> io::Result<()> {
        for segment in bytes.chunks(size) {
            self.send(segment).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Makes the end of this connection a reset.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Notes that no further request can be read from this connection.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled.load(Ordering::Relaxed)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let reset = self.reset.load(Ordering::Relaxed) || self.dead.load(Ordering::Relaxed);
        if let (true, Stream::Tcp(stream)) = (reset, &self.stream) {
            // The connection may be gone already, and then there is nothing to reset.
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

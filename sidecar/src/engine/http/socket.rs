//! A connection to the engine. It holds no buffer: what comes is read into one that all connections of a thread share, and
//! leaves it at once.

use std::{
    cell::RefCell,
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use cloudach_service::address::Address;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::sleep,
};

/// How long a full queue of connections is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// What is read at once, in bytes: many tokens, and most of a page of embeddings.
const AT_ONCE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; AT_ONCE].into());
}

/// A connection, TCP or a Unix socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => connect_unix(path).await.map(Self::Unix),
        }
    }

    /// Waits for bytes, and gives them to `take`; none when the engine has closed the connection.
    pub(super) fn poll_bytes<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(match self {
                Self::Tcp(stream) => Pin::new(stream).poll_read(context, &mut read),
                Self::Unix(stream) => Pin::new(stream).poll_read(context, &mut read),
            })?;
            Poll::Ready(Ok(take(read.filled())))
        })
    }

    /// Writes as far as the engine takes it.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Whether the engine has neither said anything nor closed it.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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

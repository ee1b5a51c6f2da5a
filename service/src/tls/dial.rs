//! Connections that are opened to others: to an address, and to whom the certificate names.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{IpAddr, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;
use tracing::warn;

use super::{
    Certificates,
    why::{Reason, Sparing, told},
};

/// Opens connections to one address.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    certificates: Arc<Certificates>,
    /// `host:port`
    authority: Arc<str>,
    sparing: Arc<Sparing>,
}

impl Connector {
    pub fn to(authority: &str, certificates: Arc<Certificates>) -> Self {
        Self { certificates, authority: authority.into(), sparing: Arc::default() }
    }

    async fn open(self) -> io::Result<TokioIo<Opened>> {
        let socket = TcpStream::connect(&*self.authority).await?;
        // A frame is sent when it is there.
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(self.certificates.now().client.clone());
        // The other side has one certificate, whatever it is asked for; who it is, is checked by that.
        let name = ServerName::try_from(self.certificates.dials().to_owned())
            .unwrap_or(ServerName::IpAddress(IpAddr::V4([0, 0, 0, 0].into())));
        match connector.connect(name, socket).await {
            Ok(stream) => Ok(TokioIo::new(Opened { stream, by: self })),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Tells whoever runs this service.
    fn refused(&self, error: io::Error) -> io::Error {
        let (reason, why) = told(&error, &self.certificates.config);
        self.certificates.metrics.refuse(reason);
        if reason != Reason::Gone
            && let Some(left_out) = self.sparing.tells(&self.authority, &why)
        {
            warn!(address = &*self.authority, why, left_out, "no connection");
        }
        io::Error::new(error.kind(), why)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Opened>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Opened>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().open())
    }
}

/// A connection. Whether the other side takes our certificate is told by its first words only, so those are listened to for it.
pub(crate) struct Opened {
    stream: TlsStream<TcpStream>,
    by: Connector,
}

impl AsyncRead for Opened {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        Poll::Ready(read.map_err(|error| match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            true => self.by.refused(error),
            false => error,
        }))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

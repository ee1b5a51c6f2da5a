//! Serving and dialling gRPC alike everywhere: no Nagle, keep-alives that notice a dead peer, windows for many small
//! frames.

use std::{fs, io, os::unix::fs::FileTypeExt, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    time::timeout,
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Channel, Endpoint, Server, Uri,
    server::{Router, TcpIncoming},
};
pub use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::info;

use crate::{
    address::Address,
    tls::{self, Certificates},
};

/// A peer that answers no ping for this long is gone, and with it the requests it carried.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the transport may take, once everything is ended, to send what it was given last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// HTTP/2 windows in bytes. A session carries many requests on one stream, so both are the same and hold several
/// messages.
const WINDOW: u32 = 2 * 1024 * 1024;

/// Why a service cannot be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: Address, source: io::Error },
    #[error("cannot dial {address}: {source}")]
    Dial { address: Address, source: tonic::transport::Error },
    #[error("the gRPC server failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    #[error("the contract's descriptors cannot be shown: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// An open listening address.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Opens `address`. A socket file left behind by a process that died is replaced.
    ///
    /// # Errors
    /// When the address is in use or not allowed.
    pub async fn bind(address: &Address) -> Result<Self, GrpcError> {
        let failed = |source| GrpcError::Listen { address: address.clone(), source };
        match address {
            Address::Tcp(text) => {
                let listener = TcpListener::bind(text).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                info!(address = %bound, "listening for gRPC");
                Ok(Self { socket: Socket::Tcp(listener), address: Address::Tcp(bound.to_string()) })
            }
            Address::Unix(path) => {
                let left_behind = fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
                if left_behind && std::os::unix::net::UnixStream::connect(path).is_err() {
                    fs::remove_file(path).map_err(failed)?;
                }
                let listener = UnixListener::bind(path).map_err(failed)?;
                info!(%address, "listening for gRPC");
                Ok(Self { socket: Socket::Unix(listener), address: address.clone() })
            }
        }
    }

    /// The address, with the port that was chosen when port 0 was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves `services` until `end`. With certificates, over TCP only to those who show one.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(
        self,
        services: Router,
        certificates: Option<Arc<Certificates>>,
        end: CancellationToken,
    ) -> Result<(), GrpcError> {
        let ended = end.clone().cancelled_owned();
        let serving = async {
            match self.socket {
                Socket::Tcp(listener) if let Some(certificates) = certificates => {
                    services.serve_with_incoming_shutdown(tls::incoming(listener, certificates), ended).await
                }
                Socket::Tcp(listener) => {
                    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                    services.serve_with_incoming_shutdown(incoming, ended).await
                }
                Socket::Unix(listener) => {
                    services.serve_with_incoming_shutdown(UnixListenerStream::new(listener), ended).await
                }
            }
        };
        tokio::pin!(serving);
        // Streams that must finish are waited for by their own trackers, not by the transport; but the last message of
        // a stream has only just been handed to it then.
        tokio::select! {
            served = &mut serving => Ok(served?),
            () = end.cancelled() => timeout(LAST_WORDS, serving).await.unwrap_or(Ok(())).map_err(GrpcError::from),
        }
    }
}

/// A server with the settings above, to add services to. It serves health checking, which the reporter tells what to
/// say, and reflection of the encoded `descriptors`.
///
/// # Errors
/// When the descriptors are unusable.
pub fn server(descriptors: &'static [u8]) -> Result<(Router, HealthReporter), GrpcError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection =
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(descriptors).build_v1()?;
    let server = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(health)
        .add_service(reflection);
    Ok((server, reporter))
}

/// A way to another service, with the settings above.
#[derive(Debug, Clone)]
pub struct Dial {
    endpoint: Endpoint,
    tls: Option<tls::Connector>,
}

impl Dial {
    /// To `address`. With certificates, over TCP only to who shows the right one.
    ///
    /// # Errors
    /// When the address makes no URI.
    pub fn to(address: &Address, certificates: Option<&Arc<Certificates>>) -> Result<Self, GrpcError> {
        let tls = match (address, certificates) {
            (Address::Tcp(authority), Some(certificates)) => Some(tls::Connector::to(authority, certificates.clone())),
            _ => None,
        };
        Ok(Self { endpoint: endpoint(address)?, tls })
    }

    /// A channel that connects when it is used.
    pub fn lazily(&self) -> Channel {
        match &self.tls {
            Some(connector) => self.endpoint.connect_with_connector_lazy(connector.clone()),
            None => self.endpoint.connect_lazy(),
        }
    }

    /// A channel that is connected.
    ///
    /// # Errors
    /// The other service does not answer, or is not who it should be.
    pub async fn now(&self) -> Result<Channel, tonic::transport::Error> {
        match &self.tls {
            Some(connector) => self.endpoint.connect_with_connector(connector.clone()).await,
            None => self.endpoint.connect().await,
        }
    }

    /// Where it leads.
    pub fn uri(&self) -> &Uri {
        self.endpoint.uri()
    }
}

/// A way to dial `address` with the settings above, and without TLS.
///
/// # Errors
/// When the address makes no URI.
pub fn endpoint(address: &Address) -> Result<Endpoint, GrpcError> {
    let uri = match address {
        Address::Tcp(text) => format!("http://{text}"),
        Address::Unix(_) => address.to_string(),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|source| GrpcError::Dial { address: address.clone(), source })?;
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}

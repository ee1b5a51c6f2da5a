//! The accept loop: connections of clients, each served by hyper within its bounds, and ended in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tower::Layer;
use tracing::{debug, info, warn};

use super::{peer::Peer, routes};
use crate::Edge;

/// How long a connection may take, once everything is ended, to send what it was still told.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait when the system has no descriptor for a further connection.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// Buffered bytes of one connection, both ways: a head with generous headers.
const BUFFER_BYTES: usize = 64 * 1024;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Opens the address for clients.
///
/// # Errors
/// When it is in use or not allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ListenError { address, source })?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening for clients");
    }
    Ok(listener)
}

/// Takes connections until the edge drains.
pub async fn serve(listener: TcpListener, edge: Edge) {
    let room = Arc::new(Semaphore::new(edge.config.limits.connections));
    let routes = routes(edge.clone());
    let drain = edge.running.drain.clone();
    loop {
        let taken = async {
            // The semaphore is never closed.
            let place = room.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let Some((place, accepted)) = drain.run_until_cancelled(taken).await else { return };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(NO_DESCRIPTOR).await;
                continue;
            }
        };
        let connection = connection(stream, Peer(peer.ip()), routes.clone(), edge.clone());
        edge.running.requests.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// Serves HTTP/1.1, which is what every SDK speaks to a server without TLS. There a client that does not read is seen
/// by the bytes that stay unwritten.
async fn connection(stream: TcpStream, peer: Peer, routes: axum::Router, edge: Edge) {
    let limits = &edge.config.limits;
    // Tokens are small and each should leave at once.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection broke at once");
        return;
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stall_time));

    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(BUFFER_BYTES);
    let serving =
        http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(Extension(peer).layer(routes)));
    tokio::pin!(serving);

    edge.metrics.connections.inc();
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = edge.running.drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = edge.running.kill.cancelled() => timeout(LAST_WORDS, serving).await.unwrap_or(Ok(())),
            }
        }
    };
    edge.metrics.connections.dec();
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}

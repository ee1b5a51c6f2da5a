//! The accept loop: connections of clients, as many as there may be.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tracing::{debug, info, warn};

use super::{api::Api, connection::Connection, peer::Peer};
use crate::Edge;

/// How long to wait when the system has no descriptor for a further connection.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

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
    let api = Api::new(edge.clone());
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
        match Connection::new(stream, Peer(peer.ip()), api.clone(), place) {
            Ok(mut connection) => drop(edge.running.requests.spawn(async move { connection.serve().await })),
            Err(error) => debug!(%error, "connection broke at once"),
        }
    }
}

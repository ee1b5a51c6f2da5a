//! Connections that come: each shows its certificate before anything else is heard of it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use super::{
    Certificates,
    why::{Reason, Sparing, told},
};

/// Connections that are being opened at the same time. Further ones wait in the kernel's queue.
const MOST_HANDSHAKES: usize = 256;

/// How long opening may take. Whoever says nothing for longer is no service.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Before connections are taken again when the system gives none, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that were opened well.
pub(crate) fn incoming(
    listener: TcpListener,
    certificates: Arc<Certificates>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let door = Door { listener, certificates, handshakes: JoinSet::new(), sparing: Arc::<Sparing>::default() };
    stream::unfold(door, |mut door| async {
        let opened = door.next().await;
        Some((Ok(opened), door))
    })
}

struct Door {
    listener: TcpListener,
    certificates: Arc<Certificates>,
    handshakes: JoinSet<Option<TlsStream<TcpStream>>>,
    sparing: Arc<Sparing>,
}

impl Door {
    async fn next(&mut self) -> TlsStream<TcpStream> {
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if self.handshakes.len() < MOST_HANDSHAKES => match accepted {
                    Ok((socket, from)) => {
                        let (certificates, sparing) = (self.certificates.clone(), self.sparing.clone());
                        self.handshakes.spawn(open(socket, from, certificates, sparing));
                    }
                    Err(error) => {
                        warn!(%error, "cannot take connections");
                        sleep(PAUSE).await;
                    }
                },
                Some(opened) = self.handshakes.join_next(), if !self.handshakes.is_empty() => {
                    if let Ok(Some(opened)) = opened {
                        return opened;
                    }
                }
            }
        }
    }
}

async fn open(
    socket: TcpStream,
    from: SocketAddr,
    certificates: Arc<Certificates>,
    sparing: Arc<Sparing>,
) -> Option<TlsStream<TcpStream>> {
    // A frame is sent when it is there.
    let _ = socket.set_nodelay(true);
    let acceptor = TlsAcceptor::from(certificates.now().server.clone());
    let (reason, why) = match timeout(HANDSHAKE_TIME, acceptor.accept(socket)).await {
        Ok(Ok(opened)) => return Some(opened),
        Ok(Err(error)) => told(&error, &certificates.config),
        Err(_) => (Reason::TooSlow, format!("it did not say who it is within {HANDSHAKE_TIME:?}")),
    };
    certificates.metrics.refuse(reason);
    if reason == Reason::Gone {
        debug!(%from, why, "connection refused");
    } else if let Some(left_out) = sparing.tells(&from.ip().to_string(), &why) {
        warn!(%from, why, left_out, "connection refused");
    }
    None
}

//! Tells routers which models clients ask for that no replica has served yet. The edge refuses those requests itself, so
//! routers would hear of them from nobody else, and load nothing.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{WantModelRequest, catalog_client::CatalogClient};
use cloudach_service::{grpc::Dial, stop::Running};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

/// Models that wait to be told to a router. More are dropped: clients ask again.
const WAITING: usize = 16;

/// How long telling may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// What is wanted, for every router.
#[derive(Debug, Clone, Default)]
pub(super) struct Wants(Arc<[mpsc::Sender<String>]>);

impl Wants {
    /// Tells these routers.
    pub(super) fn of(routers: &[Dial], running: &Running) -> Self {
        let start = |router: &Dial| {
            let (sender, wanted) = mpsc::channel(WAITING);
            let telling = tell(router.clone(), wanted);
            running.background.spawn(running.kill.clone().run_until_cancelled_owned(telling));
            sender
        };
        Self(routers.iter().map(start).collect())
    }

    /// A client asks for this model. Never waits.
    pub(super) fn want(&self, model: &str) {
        for router in self.0.iter() {
            let _ = router.try_send(model.to_owned());
        }
    }
}

async fn tell(router: Dial, mut wanted: mpsc::Receiver<String>) {
    let mut client = CatalogClient::new(router.lazily());
    while let Some(model) = wanted.recv().await {
        match timeout(TOLD_WITHIN, client.want(WantModelRequest { model })).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(router = %router.uri(), %error, "a wanted model was not told"),
            Err(_) => debug!(router = %router.uri(), "a wanted model was not told in time"),
        }
    }
}

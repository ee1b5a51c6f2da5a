//! The catalogue of one router, as it changes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use cloudach_proto::v1::{CatalogSnapshot, WatchCatalogRequest, catalog_client::CatalogClient};
use cloudach_service::{backoff::Backoff, grpc::Dial, stop::Running};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::Catalog;

/// Before a router is asked for its catalogue again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1), Duration::from_secs(5));

/// The name of the condition that the edge's readiness waits for.
pub(super) const RECEIVED: &str = "catalogue received";

/// The largest catalogue that is taken, in bytes, with all its chat templates.
const MAX_SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;

/// Follows the router at this place of the configuration, for as long as this runs.
pub(super) async fn follow(catalog: Catalog, index: usize, router: Dial, running: Running) {
    let mut backoff = PAUSES;
    loop {
        let begun = Instant::now();
        let mut client = CatalogClient::new(router.lazily()).max_decoding_message_size(MAX_SNAPSHOT_BYTES);
        match client.watch(WatchCatalogRequest {}).await {
            Ok(snapshots) => {
                let mut snapshots = snapshots.into_inner();
                while let Ok(Some(snapshot)) = snapshots.message().await {
                    catalog.serves[index].store(Arc::new(ready(&snapshot)));
                    catalog.replace(snapshot);
                    running.ready.set(RECEIVED, true);
                }
                debug!(router = %router.uri(), "catalogue stream ended");
            }
            Err(error) => debug!(router = %router.uri(), %error, "no catalogue"),
        }
        catalog.serves[index].store(Arc::default());
        sleep(backoff.next(begun.elapsed())).await;
    }
}

fn ready(snapshot: &CatalogSnapshot) -> HashSet<String> {
    let ready = snapshot.models.iter().filter(|model| model.ready_replicas > 0);
    ready.map(|model| model.id.clone()).collect()
}

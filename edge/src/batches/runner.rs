//! Takes batches that wait for somebody, as many as this edge runs at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cloudach_openai::ids;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{run, seats::Seats};
use crate::{
    Edge,
    http::{api::Api, arrival::random},
    idempotency::Place,
};

/// How often it is looked for batches: so long one waits that was made in another edge which runs none.
const LOOKED: Duration = Duration::from_secs(1);

/// Batches that an edge is at, of all tenants and of one: each holds a piece of its input, and few lines.
const MOST: usize = 64;
const MOST_OF_TENANT: usize = 4;

/// What all batches of this edge share.
pub struct Runner {
    pub edge: Edge,
    /// The edge as clients meet it.
    pub api: Api,
    /// What this process is called in the queue.
    pub owner: String,
    pub seats: Seats,
    /// How many batches of each tenant it is at.
    at: Mutex<HashMap<String, usize>>,
}

impl Runner {
    /// Whether this edge can have anything answered.
    pub fn is_ready(&self) -> bool {
        self.edge.running.ready.waits_for().is_empty()
    }
}

/// A batch that this edge is at; counted until it is dropped.
struct At {
    runner: Arc<Runner>,
    tenant: String,
}

impl At {
    fn new(runner: &Arc<Runner>, tenant: &str) -> Self {
        *runner.at.lock().entry(tenant.to_owned()).or_default() += 1;
        runner.edge.metrics.batches.open.inc();
        Self { runner: runner.clone(), tenant: tenant.to_owned() }
    }
}

impl Drop for At {
    fn drop(&mut self) {
        self.runner.edge.metrics.batches.open.dec();
        let mut at = self.runner.at.lock();
        let left = at.get(&self.tenant).map_or(0, |count| count - 1);
        match left {
            0 => at.remove(&self.tenant),
            left => at.insert(self.tenant.clone(), left),
        };
    }
}

/// Runs batches until the edge drains.
pub async fn serve(edge: Edge) {
    let config = &edge.config.batches;
    if !edge.config.files.enabled || config.concurrency == 0 {
        return;
    }
    let runner = Arc::new(Runner {
        api: Api::new(edge.clone()),
        owner: ids::request(random()),
        seats: Seats::new(config.concurrency, config.tenant_concurrency),
        at: Mutex::default(),
        edge: edge.clone(),
    });
    let drain = &edge.running.drain;
    loop {
        // What was taken is always run, and so left again.
        while !drain.is_cancelled()
            && let Some(place) = take(&runner).await
        {
            let at = At::new(&runner, &place.tenant);
            let run = run::run(runner.clone(), place);
            edge.running.requests.spawn(async move {
                let _at = at;
                run.await;
            });
        }
        tokio::select! {
            () = sleep(LOOKED) => {}
            () = edge.batches.0.made.notified() => {}
            () = drain.cancelled() => return,
        }
    }
}

/// A batch, if there is one that this edge has room for. A store that is away has none, and who can ask no router takes none.
async fn take(runner: &Runner) -> Option<Place> {
    if !runner.is_ready() {
        return None;
    }
    let full: Vec<String> = {
        let at = runner.at.lock();
        if at.values().sum::<usize>() >= MOST {
            return None;
        }
        at.iter().filter(|(_, count)| **count >= MOST_OF_TENANT).map(|(tenant, _)| tenant.clone()).collect()
    };
    let Runner { edge, owner, .. } = runner;
    edge.store.take_batch(owner, &full, edge.config.batches.lease).await.ok().flatten()
}

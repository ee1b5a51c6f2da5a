//! Leases lapse where an edge dies; those of requests that are still in progress are renewed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::Limiter;
use crate::store::now;

/// A third of the time for which a lease holds.
const EVERY: Duration = Duration::from_secs(10);

/// Leases in one call.
const MOST_AT_ONCE: usize = 500;

/// Renews for as long as it runs.
pub async fn renew_all(limiter: Limiter) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        limiter.0.share.lock().forget_unused(now());
        for (tenant, leases) in due(&limiter) {
            for leases in leases.chunks(MOST_AT_ONCE) {
                // Where it fails, the leases lapse: their requests are settled all the same.
                let _ = limiter.0.store.renew(&tenant, leases).await;
            }
        }
    }
}

/// The leases of requests that are older than a round, by tenant.
fn due(limiter: &Limiter) -> HashMap<Arc<str>, Vec<Arc<str>>> {
    let mut due: HashMap<_, Vec<_>> = HashMap::new();
    for (lease, open) in &*limiter.0.open.lock() {
        if open.since.elapsed() >= EVERY {
            due.entry(open.tenant.clone()).or_default().push(lease.clone());
        }
    }
    due
}

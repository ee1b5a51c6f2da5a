//! Leases lapse where an edge dies; those of requests that are still in progress are renewed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};

use super::Limiter;
use crate::{access::limits::Now, store::now};

/// A third of the time for which a lease holds.
const EVERY: Duration = Duration::from_secs(10);

/// Tenants whose leases are renewed at once, so that those of one that is slow do not keep the others until they lapse.
const TENANTS: usize = 16;

/// Leases in one call.
const MOST_AT_ONCE: usize = 500;

/// Renews for as long as it runs.
pub async fn renew_all(limiter: Limiter) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        renew_share(&limiter, now());
        let renew = async |(tenant, leases): (Arc<str>, Vec<Arc<str>>)| {
            for leases in leases.chunks(MOST_AT_ONCE) {
                // Where it fails, the leases lapse: their requests are settled all the same.
                let _ = limiter.0.store.renew(&tenant, leases).await;
            }
        };
        stream::iter(due(&limiter)).for_each_concurrent(TENANTS, renew).await;
    }
}

/// What is held of this edge's share is renewed, too: who is admitted while the store is away may run for long.
fn renew_share(limiter: &Limiter, now: Now) {
    let leases: Vec<_> = limiter.0.open.lock().keys().cloned().collect();
    let mut share = limiter.0.share.lock();
    share.renew(now, &leases);
    share.forget_unused(now);
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

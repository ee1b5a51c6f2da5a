//! Settling what requests have used: at once where the store is in this process, else by a queue that outlives an outage.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Limiter;
use crate::{
    access::limits::{Amounts, Ask, Settlement},
    store::{Away, Store},
};

/// Settlements on their way at once.
const MOST_AT_ONCE: usize = 64;

/// Between two tries while the store is away.
const PAUSE: Duration = Duration::from_millis(250);

/// A settlement that is older does not touch the limits of a minute, unless the store still holds its lease.
const LATE: Duration = Duration::from_secs(10);

/// For so long the store remembers what it has settled: what may have arrived is not sent again after that. Less than the
/// ledger's own time, as the store begins to count later.
const REMEMBERED: Duration = Duration::from_secs(110);

/// How long settlements may take when the process ends.
const LAST: Duration = Duration::from_secs(2);

/// A settlement that the store has not confirmed.
#[derive(Debug)]
pub struct Pending {
    lease: Arc<str>,
    ask: Ask,
    used: Amounts,
    ended: Instant,
}

impl Pending {
    /// The request has ended just now.
    pub fn new(lease: Arc<str>, ask: Ask, used: Amounts) -> Self {
        Self { lease, ask, used, ended: Instant::now() }
    }
}

/// Settles, now or by the queue.
pub fn settle(limiter: &Limiter, pending: Pending) {
    if let Store::Embedded(embedded) = &limiter.0.store {
        let settlement = Settlement { used: pending.used, late: false };
        let passed = embedded.with_ledger(|ledger, now| ledger.settle(now, &pending.lease, &pending.ask, &settlement));
        tell(limiter, &pending, passed);
        return;
    }
    match limiter.0.pending.try_send(pending) {
        Ok(()) => {
            limiter.0.metrics.pending.inc();
        }
        Err(_) => {
            limiter.0.metrics.lost.inc();
        }
    }
}

/// Works through the queue until `kill`, and then through what is left of it.
pub async fn settle_all(limiter: Limiter, mut waiting: mpsc::Receiver<Pending>, kill: CancellationToken) {
    let mut under_way = FuturesUnordered::new();
    let end = async {
        kill.cancelled().await;
        sleep(LAST).await;
    };
    tokio::pin!(end);
    loop {
        // Requests that are killed settle after that; when they have, there is nothing left to wait for.
        let is_done =
            kill.is_cancelled() && under_way.is_empty() && waiting.is_empty() && limiter.0.open.lock().is_empty();
        if is_done {
            return;
        }
        tokio::select! {
            Some(pending) = waiting.recv(), if under_way.len() < MOST_AT_ONCE => {
                under_way.push(settle_one(&limiter, pending));
            }
            Some(()) = under_way.next() => {}
            () = kill.cancelled(), if !kill.is_cancelled() => {}
            () = sleep(PAUSE), if kill.is_cancelled() => {}
            () = &mut end => return,
        }
    }
}

async fn settle_one(limiter: &Limiter, pending: Pending) {
    let mut may_have_arrived: Option<Instant> = None;
    loop {
        let settlement = Settlement { used: pending.used, late: pending.ended.elapsed() > LATE };
        match limiter.0.store.settle(&pending.lease, &pending.ask, &settlement).await {
            Ok(passed) => {
                tell(limiter, &pending, passed);
                break;
            }
            Err(Away::TimedOut) if may_have_arrived.is_none() => may_have_arrived = Some(Instant::now()),
            Err(_) => {}
        }
        if may_have_arrived.is_some_and(|sent| sent.elapsed() > REMEMBERED) {
            limiter.0.metrics.lost.inc();
            break;
        }
        sleep(PAUSE).await;
    }
    limiter.0.metrics.pending.dec();
}

fn tell(limiter: &Limiter, pending: &Pending, passed: bool) {
    if passed {
        limiter.0.metrics.soft_budgets.inc();
        warn!(tenant = &*pending.ask.tenant, "a soft budget is passed");
    }
}

//! Limits, whoever keeps them: the store, or, while it is away, this edge its share of them. What is held for a request is
//! settled when its reservation is dropped, however the request ends.

mod refusals;
mod renewal;
mod settlement;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cloudach_service::stop::Running;
use foldhash::HashMap;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::limits::{Amounts, Ask, Decision, Exceeded, Ledger, Scope, Settlement, Standing, Tally, Told};
use crate::{
    metrics::LimitMetrics,
    store::{Away, Store, now},
};
use refusals::Refusals;
use settlement::Pending;

/// A store that comes and goes is told of so often at most.
const SAID: Duration = Duration::from_secs(10);

/// Settlements that may wait for the store. Of those beyond, the leases lapse.
const MOST_PENDING: usize = 65_536;

/// Scopes of which is known how they stood, about 300 bytes each. The shares of others begin full.
const MOST_KNOWN: usize = 100_000;

/// Reserves and settles. Clones share it.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    /// What this edge lets through while the store is away.
    share: Mutex<Ledger>,
    /// How scopes stood when the store was asked last, by tenant and scope: where a share begins.
    known: Cache<(String, String), Tally>,
    /// Refusals that hold for a while.
    refusals: Refusals,
    /// The store was away when it was asked last.
    alone: AtomicBool,
    /// When that was logged last.
    told: Mutex<Option<Instant>>,
    /// Leases whose requests are in progress.
    open: Mutex<HashMap<Arc<str>, Open>>,
    pending: mpsc::Sender<Pending>,
    metrics: LimitMetrics,
}

#[derive(Debug)]
struct Open {
    tenant: Arc<str>,
    since: Instant,
}

/// What is held for a request. Dropped, it gives back all that was not claimed as used.
#[derive(Debug)]
#[must_use = "dropping it gives everything back"]
pub struct Reservation {
    limiter: Limiter,
    lease: Arc<str>,
    ask: Ask,
    /// The ask as this edge's share of the limits was asked.
    shared: Option<Box<Ask>>,
    used: Amounts,
    /// The store may hold it: it has not said that it does not.
    is_held: bool,
}

impl Limiter {
    /// Limits that `store` keeps.
    pub fn start(store: Store, metrics: LimitMetrics, running: &Running) -> Self {
        let (pending, waiting) = mpsc::channel(MOST_PENDING);
        let limiter = Self(Arc::new(Parts {
            store,
            share: Mutex::default(),
            known: Cache::new(MOST_KNOWN),
            refusals: Refusals::default(),
            alone: AtomicBool::new(false),
            told: Mutex::default(),
            open: Mutex::default(),
            pending,
            metrics,
        }));
        running.background.spawn(settlement::settle_all(limiter.clone(), waiting, running.kill.clone()));
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(renewal::renew_all(limiter.clone())));
        limiter
    }

    /// Counts a request and holds what it needs under the name `lease`, which no other request has. Also says how the limits
    /// stand then.
    pub async fn reserve(&self, lease: Arc<str>, ask: Ask) -> (Standing, Result<Reservation, Exceeded>) {
        let asked = Instant::now();
        if let Some(Decision { standing, exceeded: Some(exceeded) }) = self.refused_already(asked, &ask) {
            self.0.metrics.decided(Some(&exceeded));
            return (standing, Err(exceeded));
        }
        self.0.open.lock().insert(lease.clone(), Open { tenant: ask.tenant.clone(), since: Instant::now() });
        // Before the store is asked: whoever gives up on the way gives back what the store may have held.
        let mut reservation =
            Reservation { limiter: self.clone(), lease, ask, shared: None, used: Amounts::default(), is_held: true };
        let decision = match self.0.store.reserve(&reservation.lease, &reservation.ask).await {
            Ok((decision, told)) => {
                self.together();
                self.learn(asked, &reservation.ask, &decision, &told);
                reservation.is_held = decision.exceeded.is_none();
                decision
            }
            Err(away) => {
                self.alone(&away);
                let shared = self.shared(&reservation.ask);
                let mut share = self.0.share.lock();
                self.begin(&mut share, &reservation.ask, &shared);
                let decision = share.reserve(now(), &reservation.lease, &shared);
                reservation.shared = Some(Box::new(shared));
                decision
            }
        };
        self.0.metrics.decided(decision.exceeded.as_ref());
        (decision.standing, decision.exceeded.map_or(Ok(reservation), Err))
    }

    /// Counts a request that is refused for what it is.
    pub async fn count(&self, ask: &Ask) -> Decision {
        let asked = Instant::now();
        if let Some(decision) = self.refused_already(asked, ask) {
            return decision;
        }
        match self.0.store.count(ask).await {
            Ok((decision, told)) => {
                self.learn(asked, ask, &decision, &told);
                decision
            }
            Err(away) => {
                self.alone(&away);
                let shared = self.shared(ask);
                let mut share = self.0.share.lock();
                self.begin(&mut share, ask, &shared);
                share.count(now(), &shared)
            }
        }
    }

    fn shared(&self, ask: &Ask) -> Ask {
        let edges = self.0.store.edges();
        let share = |scope: &Scope| Scope {
            name: scope.name.clone(),
            limits: scope.limits.share(edges),
            budget: scope.budget.share(edges),
        };
        Ask { tenant: ask.tenant.clone(), scopes: ask.scopes.iter().map(share).collect(), amounts: ask.amounts }
    }

    /// What the store would say, where it is known that it refuses.
    fn refused_already(&self, now: Instant, ask: &Ask) -> Option<Decision> {
        let decision = self.0.refusals.find(now, ask)?;
        self.0.metrics.refused_unasked.inc();
        Some(decision)
    }

    /// Notes what the store decided when it was asked, and how the scopes stood then.
    fn learn(&self, asked: Instant, ask: &Ask, decision: &Decision, told: &[Told]) {
        // The embedded store is asked as fast, and is never away.
        if told.is_empty() {
            return;
        }
        self.0.refusals.note(asked, ask, decision);
        for (scope, told) in ask.scopes.iter().zip(told) {
            self.0.known.insert(name(&ask.tenant, &scope.name), Tally::told(told, now()));
        }
    }

    /// Leaves no more in this edge's share of the scopes than its part of what is known of them.
    fn begin(&self, share: &mut Ledger, ask: &Ask, shared: &Ask) {
        let edges = self.0.store.edges();
        for (whole, scope) in ask.scopes.iter().zip(&*shared.scopes) {
            if let Some(known) = self.0.known.get(&name(&ask.tenant, &whole.name)) {
                share.lower_to(now(), &ask.tenant, scope, &known.share(&whole.limits, edges));
            }
        }
    }

    fn alone(&self, away: &Away) {
        self.0.metrics.by_share.inc();
        if self.0.alone.swap(true, Ordering::Relaxed) {
            return;
        }
        self.0.metrics.alone.set(1);
        let mut told = self.0.told.lock();
        if told.is_none_or(|told| told.elapsed() > SAID) {
            *told = Some(Instant::now());
            warn!(%away, edges = self.0.store.edges(), "limits are this edge's share of them");
        }
    }

    fn together(&self) {
        if self.0.alone.load(Ordering::Relaxed) && self.0.alone.swap(false, Ordering::Relaxed) {
            self.0.metrics.alone.set(0);
            debug!("limits are shared again");
        }
    }
}

fn name(tenant: &str, scope: &str) -> (String, String) {
    (tenant.to_owned(), scope.to_owned())
}

impl Reservation {
    /// The request is over and has used so much.
    pub fn settle(mut self, used: Amounts) {
        self.used = used;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let parts = &self.limiter.0;
        parts.open.lock().remove(&self.lease);
        if let Some(shared) = &self.shared {
            let settlement = Settlement { used: self.used, late: false };
            parts.share.lock().settle(now(), &self.lease, shared, &settlement);
        }
        if !self.is_held {
            return;
        }
        let pending = Pending::new(self.lease.clone(), self.ask.clone(), self.used);
        settlement::settle(&self.limiter, pending);
    }
}

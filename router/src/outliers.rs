//! Tells replicas' health how requests ended, and people which ones are left out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    config::Eject,
    fleet::{Fleet, Replica},
    pick::health::{Change, Health, Lately, may_eject},
};

/// Decides which replicas are left out.
#[derive(Debug)]
pub struct Outliers {
    fleet: Arc<Fleet>,
    config: Eject,
    /// One at a time is decided on: together they could be too many.
    deciding: Mutex<()>,
    /// How often one was left out.
    pub ejections: Counter,
}

/// A request at a replica. Dropped before it was told how the replica did, it says nothing of it.
#[derive(Debug)]
pub struct Trial {
    outliers: Arc<Outliers>,
    replica: Arc<Replica>,
    model: Arc<str>,
    /// It is the one that finds out whether the replica is well again, and has not yet.
    tries: AtomicBool,
    told: AtomicBool,
}

impl Outliers {
    pub fn new(fleet: Arc<Fleet>, config: Eject) -> Self {
        Self { fleet, config, deciding: Mutex::default(), ejections: Counter::default() }
    }

    fn fail(&self, replica: &Arc<Replica>, model: &str, tries: bool) {
        let _one = self.deciding.lock();
        let (now, ready) = (Instant::now(), self.fleet.ready(model));
        let others = || ready.replicas.iter().filter(|other| !Arc::ptr_eq(other, replica));
        let out = others().filter(|other| other.glance.is_out()).count();
        let lately = others().map(|other| other.health(|health| health.lately(now)));
        let peers = lately.fold(Lately::default(), Lately::and);
        let may = may_eject(out, ready.replicas.len());
        let change = replica.health(|health| health.fail(now, tries, peers, may, &self.config));
        if let Change::Out(time) = change {
            self.ejections.inc();
            warn!(replica = replica.name, model, seconds = time.as_secs(), "replica fails and is left out");
        }
    }
}

impl Trial {
    /// A request begins there.
    pub fn begin(outliers: Arc<Outliers>, replica: Arc<Replica>, model: Arc<str>) -> Self {
        let tries = replica.health(|health| health.begin(Instant::now()));
        Self { outliers, replica, model, tries: AtomicBool::new(tries), told: AtomicBool::new(false) }
    }

    /// The replica answers; the answer may take long.
    pub fn answers(&self) {
        if self.tries() {
            self.changed(self.replica.health(|health| health.answer(Instant::now())));
        }
    }

    /// The replica did well.
    pub fn succeeded(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let tries = self.tries();
            self.changed(self.replica.health(|health| health.succeed(Instant::now(), tries)));
        }
    }

    /// The replica failed.
    pub fn failed(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.outliers.fail(&self.replica, &self.model, self.tries());
        }
    }

    /// Whether it is the one that finds out. It has, from now on.
    fn tries(&self) -> bool {
        self.tries.load(Ordering::Relaxed) && self.tries.swap(false, Ordering::Relaxed)
    }

    fn changed(&self, change: Change) {
        if change == Change::Back {
            info!(replica = self.replica.name, model = &*self.model, "replica is well again");
            self.outliers.fleet.make_room();
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.tries() {
            self.replica.health(Health::untried);
        }
    }
}

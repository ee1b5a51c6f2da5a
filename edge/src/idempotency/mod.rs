//! A request that is sent again under the same `Idempotency-Key` is run once: the store knows which requests run, and keeps
//! their answers for a while. Where the store is away, requests run as if they had no key: never none, at worst twice
//! (docs/decisions/0016-idempotency-keys.md).

mod claim;
pub mod config;
pub mod kept;
pub mod key;

use std::{collections::HashMap, sync::Arc, time::Duration};

use cloudach_service::stop::Running;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::{
    http::arrival::Arrival,
    metrics::{IdempotencyMetrics, Idempotent},
    store::{Claimed, Store},
};
pub use claim::Claim;
use config::IdempotencyConfig;
use kept::Kept;

/// A claim holds for so long unless it is renewed: so long is a request refused whose edge has died.
const LEASE: Duration = Duration::from_secs(30);

/// A third of it.
const RENEWED: Duration = Duration::from_secs(10);

/// Renewals under way at once, so that one that is slow does not keep the others until they lapse.
const RENEWALS: usize = 64;

/// Which requests with a key run in this edge. Clones share it.
#[derive(Debug, Clone)]
pub struct Idempotency(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    config: IdempotencyConfig,
    /// Claims by the requests that hold them: no more than requests are in progress.
    open: Mutex<HashMap<String, Place>>,
    metrics: IdempotencyMetrics,
    running: Running,
}

/// Where a request is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub tenant: String,
    pub slot: String,
}

/// What becomes of a request with a key.
#[derive(Debug)]
pub enum Turn {
    /// It runs.
    Run(Claim),
    /// It ran: this is its answer.
    Replay(Kept),
    /// It is running.
    InUse,
    /// Another ran under the same key.
    Reused,
}

impl Idempotency {
    pub fn start(config: IdempotencyConfig, store: Store, metrics: IdempotencyMetrics, running: &Running) -> Self {
        let running = running.clone();
        let idempotency = Self(Arc::new(Parts { store, config, open: Mutex::default(), metrics, running }));
        let running = &idempotency.0.running;
        let renewing = idempotency.clone().renew_all();
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(renewing));
        idempotency
    }

    /// Whether keys are honoured.
    pub fn is_on(&self) -> bool {
        self.0.config.enabled
    }

    /// Asks the store whether the request runs: one round trip.
    pub async fn claim(&self, place: Place, fingerprint: &str, arrival: &Arrival) -> Turn {
        let request_id = &*arrival.request_id;
        // Before the store is asked: whoever gives up on the way gives back what the store may have noted.
        let claim = Claim::new(self.clone(), place, request_id.to_owned());
        let place = claim.place();
        let (turn, counted) = match self.0.store.claim(place, fingerprint, request_id, LEASE).await {
            Ok(Claimed::Begun) => (Turn::Run(claim), Idempotent::Run),
            Ok(Claimed::Running) => (claim.gives_way(Turn::InUse), Idempotent::InUse),
            Ok(Claimed::Other) => (claim.gives_way(Turn::Reused), Idempotent::Reused),
            Ok(Claimed::Answered(bytes)) => match Kept::read(bytes) {
                Some(kept) => (claim.gives_way(Turn::Replay(kept)), Idempotent::Replayed),
                // Another version kept it otherwise.
                None => (Turn::Run(claim), Idempotent::Unprotected),
            },
            Err(away) => {
                warn!(request_id, trace_id = arrival.trace_id(), %away, "a request runs without its idempotency key");
                (Turn::Run(claim), Idempotent::Unprotected)
            }
        };
        self.0.metrics.count(counted);
        turn
    }

    /// The largest answer that is kept, in bytes.
    pub fn most_bytes(&self) -> usize {
        self.0.config.answer_bytes
    }

    async fn renew_all(self) {
        let mut ticks = interval(RENEWED);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let open: Vec<_> = self.0.open.lock().iter().map(|(owner, place)| (owner.clone(), place.clone())).collect();
            let renew = async |(owner, place): (String, Place)| {
                // Where it fails, the claim lapses: at worst the request runs twice.
                let _ = self.0.store.renew_claim(&place, &owner, LEASE).await;
            };
            stream::iter(open).for_each_concurrent(RENEWALS, renew).await;
        }
    }
}

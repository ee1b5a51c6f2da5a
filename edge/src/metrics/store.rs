//! The store: whether it is there, and how long it takes.

use std::time::Duration;

use cloudach_service::{label, label_set, metrics::Exposition};
use prometheus_client::{
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use strum::{IntoStaticStr, VariantArray};

/// Bounds of the histogram of calls, in seconds.
const CALL_SECONDS: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];

/// What is asked of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Call {
    Reserve,
    Settle,
    Renew,
    Lookup,
    Document,
    Usage,
    Idempotency,
    Response,
    File,
    Batch,
    Conversation,
    Pulse,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Answer {
    Answered,
    Failed,
}

label!(Call, Answer);

label_set! {
    struct CallLabels { call: Call, answer: Answer }
}

/// What is counted of the store.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    /// 1: there is a connection, or none is needed.
    pub up: Gauge,
    /// Edges that share the store, as was last heard.
    pub edges: Gauge,
    calls: Family<CallLabels, Histogram>,
}

impl StoreMetrics {
    /// The metrics, shown on this page.
    pub fn register(page: &mut Exposition) -> Self {
        let calls = Family::new_with_constructor((|| Histogram::new(CALL_SECONDS)) as fn() -> Histogram);
        let metrics = Self { up: Gauge::default(), edges: Gauge::default(), calls };
        page.add("store_up", "1 while the store can be asked", &metrics.up)
            .add("store_edges", "Edges that share the store", &metrics.edges)
            .add_in(&Unit::Seconds, "store_call_duration", "Round trips to Redis, by what was asked", &metrics.calls);
        metrics
    }

    /// Counts a call to Redis.
    pub fn called(&self, call: Call, answered: bool, time: Duration) {
        let answer = if answered { Answer::Answered } else { Answer::Failed };
        self.calls.get_or_create(&CallLabels { call, answer }).observe(time.as_secs_f64());
    }
}

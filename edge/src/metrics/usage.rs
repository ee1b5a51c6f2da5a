//! Whether usage records are kept.

use cloudach_service::metrics::Exposition;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Unit,
};

/// What is counted of usage records.
#[derive(Debug, Clone, Default)]
pub struct UsageMetrics {
    /// Records that the store has.
    pub kept: Counter,
    /// Bytes of records that the store does not have yet.
    pub waiting: Gauge,
    /// Bytes that may wait.
    pub room: Gauge,
    /// 1: the store did not take records when it was given some last.
    pub away: Gauge,
    /// Records that are lost.
    pub lost: Counter,
}

impl UsageMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.add("usage_kept", "Usage records that the store has", &metrics.kept)
            .add_in(
                &Unit::Bytes,
                "usage_waiting",
                "Usage records that the store does not have yet: the spool",
                &metrics.waiting,
            )
            .add_in(&Unit::Bytes, "usage_spool", "What may wait in the spool: `usage.spool_bytes`", &metrics.room)
            .add("usage_spooling", "1 while the store takes no usage records", &metrics.away)
            .add("usage_lost", "Usage records that are lost: the spool was full", &metrics.lost);
        metrics
    }
}

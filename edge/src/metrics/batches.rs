//! How batches are run.

use cloudach_service::{label, label_set, metrics::Exposition};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use strum::{IntoStaticStr, VariantArray};

/// What becomes of a line of a batch, each time that it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum BatchLine {
    Completed,
    Failed,
    /// There was no room for it: it is asked again later.
    Later,
}

label!(BatchLine);

label_set! {
    struct BatchLabels { outcome: BatchLine }
}

/// How batches are run.
#[derive(Debug, Clone, Default)]
pub struct BatchMetrics {
    lines: Family<BatchLabels, Counter>,
    /// Batches that this edge is at.
    pub open: Gauge,
}

impl BatchMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.add("batch_lines", "Lines of batches that were asked, by outcome", &metrics.lines);
        page.add("batches_open", "Batches that this edge is at", &metrics.open);
        metrics
    }

    /// Counts one.
    pub fn count(&self, outcome: BatchLine) {
        self.lines.get_or_create(&BatchLabels { outcome }).inc();
    }
}

//! What becomes of requests with an idempotency key.

use cloudach_service::{label, label_set, metrics::Exposition};
use prometheus_client::metrics::{counter::Counter, family::Family};
use strum::{IntoStaticStr, VariantArray};

/// What becomes of requests with an idempotency key, and of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Idempotent {
    Run,
    /// Without its key: the store is away.
    Unprotected,
    Replayed,
    InUse,
    Reused,
    Kept,
    /// It was not kept.
    TooLarge,
}

label!(Idempotent);

label_set! {
    struct IdempotentLabels { what: Idempotent }
}

/// What is counted of idempotency keys.
#[derive(Debug, Clone, Default)]
pub struct IdempotencyMetrics(Family<IdempotentLabels, Counter>);

impl IdempotencyMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        let help = "Requests with an idempotency key, and their answers, by what became of them";
        page.add("idempotency", help, &metrics.0);
        metrics
    }

    /// Counts one.
    pub fn count(&self, what: Idempotent) {
        self.0.get_or_create(&IdempotentLabels { what }).inc();
    }
}

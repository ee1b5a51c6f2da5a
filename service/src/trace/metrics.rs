//! What became of spans: how many arrived, and how many were lost and why.

use prometheus_client::metrics::{counter::Counter, family::Family};
use strum::{IntoStaticStr, VariantArray};

use crate::{
    label, label_set,
    metrics::{Exposition, Question},
};

/// What became of a span that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Fate {
    /// The collector took it.
    Sent,
    /// The queue to the collector was full.
    QueueFull,
    /// The collector did not take it for as long as was tried.
    GivenUp,
    /// Its request had more than a request may have.
    TooMany,
}

label!(Fate);

label_set! {
    struct FateLabel { fate: Fate }
}

/// Counts what becomes of spans.
#[derive(Debug, Clone, Default)]
pub struct TraceMetrics(Family<FateLabel, Counter>);

impl TraceMetrics {
    /// Shows them on a process's page.
    pub fn register(&self, page: &mut Exposition) {
        let help = "Spans of requests that were to be sent to the collector, by what became of them";
        page.answering(Question::Traces).add("trace_spans", help, &self.0);
        // Told from the start, so that what is lost first shows as a change.
        for &fate in Fate::VARIANTS {
            self.count(fate, 0);
        }
    }

    pub(super) fn count(&self, fate: Fate, spans: usize) {
        self.0.get_or_create(&FateLabel { fate }).inc_by(spans as u64);
    }

    #[cfg(test)]
    pub(super) fn of(&self, fate: Fate) -> u64 {
        self.0.get_or_create(&FateLabel { fate }).get()
    }
}

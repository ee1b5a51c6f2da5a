//! Every metric of the router.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cloudach_service::trace::TraceMetrics;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use crate::{fleet::Fleet, outliers::Outliers, queue::Queues};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// It was answered.
    Served,
    /// The caller was told why not.
    Failed,
    /// The caller left first.
    Abandoned,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// What came of a request that has waited long for its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Hedged {
    /// The second replica spoke first.
    Won,
    /// The first one did after all.
    Lost,
    /// The second one failed or refused.
    Failed,
    /// The request ended before either spoke.
    Abandoned,
    /// It was asked of no second one: too many were, or none had room.
    Withheld,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HedgedLabel {
    outcome: Hedged,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

/// What the router counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    retries: Counter,
    resumptions: Counter,
    hedges: Family<HedgedLabel, Counter>,
    pub traces: TraceMetrics,
    commands: Family<ActionLabel, Counter>,
    commands_failed: Family<ActionLabel, Counter>,
    open: Arc<AtomicU64>,
}

impl Metrics {
    /// The metrics, and the registry that shows them together with the fleet's figures.
    pub fn new(fleet: Arc<Fleet>, queues: Arc<Queues>, outliers: &Outliers) -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("cloudach_router");
        metrics.traces.register(&mut registry);
        registry.register("requests", "Requests that ended, by outcome", metrics.requests.clone());
        registry.register(
            "retries",
            "Requests sent to another replica because one failed before its first token",
            metrics.retries.clone(),
        );
        registry.register(
            "resumptions",
            "Answers that went on at another replica because theirs failed or stopped in the middle",
            metrics.resumptions.clone(),
        );
        registry.register(
            "hedges",
            "Requests that waited long for their first token, by what came of asking a second replica",
            metrics.hedges.clone(),
        );
        registry.register(
            "placement_commands",
            "Commands to sidecars, by what was to be done",
            metrics.commands.clone(),
        );
        registry.register(
            "placement_commands_failed",
            "Commands that sidecars refused or did not answer",
            metrics.commands_failed.clone(),
        );
        registry.register("ejections", "Replicas left out because they failed", outliers.ejections.clone());
        registry.register_collector(Box::new(Now { fleet, queues, open: metrics.open.clone() }));
        (metrics, registry)
    }

    /// A request begins. Dropped before it finishes, it counts as abandoned.
    pub fn start(&self) -> Flight {
        self.open.fetch_add(1, Ordering::Relaxed);
        Flight { metrics: self.clone(), outcome: std::cell::Cell::new(Outcome::Abandoned) }
    }

    /// A request has waited long for its first token.
    pub fn hedged(&self, outcome: Hedged) {
        self.hedges.get_or_create(&HedgedLabel { outcome }).inc();
    }

    /// A sidecar is told to do something.
    pub fn commanded(&self, action: &'static str) {
        self.commands.get_or_create(&ActionLabel { action }).inc();
    }

    /// It did not.
    pub fn command_failed(&self, action: &'static str) {
        self.commands_failed.get_or_create(&ActionLabel { action }).inc();
    }

    /// A request is sent to another replica.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// An answer goes on at another replica.
    pub fn resumed(&self) {
        self.resumptions.inc();
    }
}

/// A request on its way through the router.
pub struct Flight {
    metrics: Metrics,
    outcome: std::cell::Cell<Outcome>,
}

impl Flight {
    /// Claims how the request ended.
    pub fn finish(&self, outcome: Outcome) {
        self.outcome.set(outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.metrics.open.fetch_sub(1, Ordering::Relaxed);
        let outcome = self.outcome.get();
        self.metrics.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// Figures that are read when they are asked for.
struct Now {
    fleet: Arc<Fleet>,
    queues: Arc<Queues>,
    open: Arc<AtomicU64>,
}

impl fmt::Debug for Now {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures: [(&str, &str, u64); 5] = [
            ("requests_open", "Requests on their way through this router", self.open.load(Ordering::Relaxed)),
            ("requests_waiting", "Requests that wait until a replica has room", self.queues.waiting() as u64),
            ("replicas_attached", "Replicas that are attached", self.fleet.attached() as u64),
            ("replicas_ejected", "Replicas left out now because they fail", self.fleet.ejected() as u64),
            ("replicas_ready", "Replicas that serve a model now", self.fleet.all_ready() as u64),
        ];
        for (name, help, value) in figures {
            let gauge = ConstGauge::new(value);
            let unit: Option<&Unit> = None;
            let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

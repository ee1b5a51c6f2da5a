//! Every metric of the router. `docs/metrics.md` is written from it.

mod fleet;

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{ErrorCode, Failed};
use cloudach_service::{
    label, label_set,
    metrics::{Exposition, Question, WAIT_SECONDS, label::Model},
    named,
    reload::ReloadMetrics,
    tls::TlsMetrics,
    trace::TraceMetrics,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use strum::{IntoStaticStr, VariantArray};

pub use self::fleet::{Looked, register as register_fleet};
use crate::{config::Eject, fleet::Fleet, outliers::Outliers};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Served,
    /// The caller was told why not.
    Failed,
    /// The caller left first.
    Abandoned,
}

/// What came of a request that has waited long for its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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

/// Why a request got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Unplaced {
    /// The queue is full, or the wait would be too long, or was.
    Overloaded,
    /// No replica is ready.
    Unavailable,
}

label!(Outcome, Hedged, Unplaced);

named! {
    struct Action(&'static str) =
        "`load`, `wake`, `sleep`, `drain`, `unload`, `load_adapter`, `unload_adapter`";
}

label_set! {
    struct OutcomeLabel { outcome: Outcome }
    struct HedgedLabel { outcome: Hedged }
    struct ActionLabel { action: Action }
    struct ModelLabel { model: Model }
    struct UnplacedLabels { model: Model, reason: Unplaced }
}

/// What the router counts.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    open: Gauge,
    waits: Family<ModelLabel, Histogram>,
    unplaced: Family<UnplacedLabels, Counter>,
    retries: Counter,
    resumptions: Counter,
    hedges: Family<HedgedLabel, Counter>,
    commands: Family<ActionLabel, Counter>,
    commands_failed: Family<ActionLabel, Counter>,
    pub traces: TraceMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            open: Gauge::default(),
            waits: Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
            unplaced: Family::default(),
            retries: Counter::default(),
            resumptions: Counter::default(),
            hedges: Family::default(),
            commands: Family::default(),
            commands_failed: Family::default(),
            traces: TraceMetrics::default(),
        }
    }
}

impl Metrics {
    /// The metrics, and the page that shows them.
    pub fn new(outliers: &Outliers) -> (Arc<Self>, Exposition) {
        let metrics = Arc::new(Self::default());
        let mut page = Exposition::new("router", "cloudach_router");
        metrics.traces.register(&mut page);
        page.answering(Question::Clients)
            .add("requests", "Requests that ended, by outcome", &metrics.requests)
            .add(
                "retries",
                "Requests sent to another replica because one failed before its first token",
                &metrics.retries,
            )
            .add(
                "resumptions",
                "Answers that went on at another replica because theirs failed or stopped in the middle",
                &metrics.resumptions,
            )
            .add(
                "hedges",
                "Requests that waited long for their first token, by what came of asking a second replica",
                &metrics.hedges,
            );
        page.answering(Question::Saturation)
            .add("requests_open", "Requests on their way through this router", &metrics.open)
            .add_in(
                &Unit::Seconds,
                "queue_wait",
                "How long requests that generate waited for their first replica, those that did not wait with them",
                &metrics.waits,
            )
            .add("queue_refused", "Requests that got no replica, by why", &metrics.unplaced);
        page.answering(Question::Fleet)
            .add("ejections", "Replicas left out because they failed", &outliers.ejections)
            .add("placement_commands", "Commands to sidecars, by what was to be done", &metrics.commands)
            .add(
                "placement_commands_failed",
                "Commands that sidecars refused or did not answer",
                &metrics.commands_failed,
            );
        (metrics, page)
    }

    /// A request begins. Dropped before it finishes, it counts as abandoned.
    pub fn start(self: &Arc<Self>) -> Flight {
        self.open.inc();
        Flight { metrics: self.clone(), outcome: Outcome::Abandoned }
    }

    /// A request has found a replica after so long, or none.
    pub fn waited(&self, model: &str, time: Duration, failed: Option<&Failed>) {
        let model = Model(model.to_owned());
        match failed.map(Failed::code) {
            None => self.waits.get_or_create(&ModelLabel { model }).observe(time.as_secs_f64()),
            Some(code) => {
                let reason = if code == ErrorCode::Overloaded { Unplaced::Overloaded } else { Unplaced::Unavailable };
                self.unplaced.get_or_create(&UnplacedLabels { model, reason }).inc();
            }
        }
    }

    /// A request has waited long for its first token.
    pub fn hedged(&self, outcome: Hedged) {
        self.hedges.get_or_create(&HedgedLabel { outcome }).inc();
    }

    /// A sidecar is told to do something.
    pub fn commanded(&self, action: &'static str) {
        self.commands.get_or_create(&ActionLabel { action: Action(action) }).inc();
    }

    /// It did not.
    pub fn command_failed(&self, action: &'static str) {
        self.commands_failed.get_or_create(&ActionLabel { action: Action(action) }).inc();
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

/// The page as it is without a fleet: for its description.
pub fn page() -> Exposition {
    let (_, mut page) = Metrics::new(&Outliers::new(Arc::new(Fleet::default()), Eject::default()));
    fleet::described(&mut page);
    ReloadMetrics::default().register(&mut page);
    TlsMetrics::default().register(&mut page);
    page
}

/// A request on its way through the router.
pub struct Flight {
    metrics: Arc<Metrics>,
    outcome: Outcome,
}

impl Flight {
    /// Claims how the request ended.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.metrics.open.dec();
        self.metrics.requests.get_or_create(&OutcomeLabel { outcome: self.outcome }).inc();
    }
}

//! What a process tells of itself on `/metrics`: each metric with its type, what its labels can be, and the question that it
//! answers, so that docs/metrics.md is written from what is registered.

pub mod label;
mod process;

use std::{fmt, sync::atomic::AtomicU64};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry, Unit},
};

use self::{label::LabelSet, process::Process};

/// Bounds of histograms of whole requests, in seconds: up to `limits.request_time` of an edge.
pub const REQUEST_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0];

/// Bounds of histograms of the time to the first token, in seconds: fine where people begin to notice.
pub const FIRST_TOKEN_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];

/// Bounds of histograms of the time between tokens, in seconds: from 1000 tokens a second to one.
pub const TOKEN_SECONDS: [f64; 13] =
    [0.001, 0.002_5, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0];

/// Bounds of histograms of waits, in seconds: who does not wait is in the first.
pub const WAIT_SECONDS: [f64; 12] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What an operator asks. Metrics are shown by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Clients,
    Refusals,
    Saturation,
    Engine,
    Fleet,
    Gpus,
    Store,
    Usage,
    Features,
    Traces,
    Process,
}

impl Question {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Clients => "What do clients get, and how fast?",
            Self::Refusals => "Who is refused, and why?",
            Self::Saturation => "What will saturate next?",
            Self::Engine => "How does the engine do?",
            Self::Fleet => "Which models are served, by how many?",
            Self::Gpus => "Are the GPUs well?",
            Self::Store => "Is the store there, and are limits shared?",
            Self::Usage => "Is all usage kept?",
            Self::Features => "How are these features used?",
            Self::Traces => "Do traces arrive?",
            Self::Process => "Is the process well?",
        }
    }
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric, as people are told of it.
#[derive(Debug, Clone)]
pub struct Described {
    /// As samples have it: of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    pub kind: Kind,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub question: Question,
    /// Each label, and what it can be.
    pub labels: Vec<(&'static str, String)>,
}

/// A metric that says of itself what it is.
pub trait Telling {
    /// Its type.
    const KIND: Kind;

    /// Its labels, and what each can be.
    fn labels() -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl<N, A> Telling for Counter<N, A> {
    const KIND: Kind = Kind::Counter;
}

impl<N, A> Telling for Gauge<N, A> {
    const KIND: Kind = Kind::Gauge;
}

impl Telling for Histogram {
    const KIND: Kind = Kind::Histogram;
}

impl<S: LabelSet, M: Telling, C: MetricConstructor<M>> Telling for Family<S, M, C> {
    const KIND: Kind = M::KIND;

    fn labels() -> Vec<(&'static str, String)> {
        S::labels()
    }
}

/// A gauge of what is no whole number.
pub type Ratio = Gauge<f64, AtomicU64>;

/// All metrics of one process.
pub struct Exposition {
    prefix: &'static str,
    registry: Registry,
    described: Vec<Described>,
    question: Question,
    looks: Vec<Box<dyn Fn() + Send + Sync>>,
    /// One at a time is shown: figures that are looked up must not change half-way.
    showing: Mutex<()>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Exposition").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Exposition {
    /// Those that every process has: what it is, and what it takes. `component` is what it is, `edge`; `prefix` is what its own
    /// metrics begin with, `cloudach_edge`.
    pub fn new(component: &'static str, prefix: &'static str) -> Self {
        let (registry, showing) = (Registry::default(), Mutex::default());
        let mut page =
            Self { prefix, registry, described: Vec::new(), question: Question::Process, looks: Vec::new(), showing };
        Process::register(&mut page, component);
        page
    }

    /// What comes from now on answers this.
    pub fn answering(&mut self, question: Question) -> &mut Self {
        self.question = question;
        self
    }

    /// Adds a metric of the process's own. Counters get `_total` behind their name.
    pub fn add<M: Telling + Metric + EncodeMetric + Clone>(
        &mut self,
        name: &str,
        help: &'static str,
        metric: &M,
    ) -> &mut Self {
        self.add_as(format!("{}_{name}", self.prefix), help, metric)
    }

    /// The same, of what is measured in `unit`, which comes behind the name.
    pub fn add_in<M: Telling + Metric + EncodeMetric + Clone>(
        &mut self,
        unit: &Unit,
        name: &str,
        help: &'static str,
        metric: &M,
    ) -> &mut Self {
        let name = format!("{}_{name}", self.prefix);
        self.describe::<M>(format!("{name}_{}", unit.as_str()), help);
        self.registry.register_with_unit(name, help, unit.clone(), metric.clone());
        self
    }

    /// Adds a metric under a whole name, that others have as well.
    fn add_as<M: Telling + Metric + EncodeMetric + Clone>(
        &mut self,
        name: String,
        help: &'static str,
        metric: &M,
    ) -> &mut Self {
        self.describe::<M>(name.clone(), help);
        self.registry.register(name, help, metric.clone());
        self
    }

    fn describe<M: Telling>(&mut self, name: String, help: &'static str) {
        let name = if M::KIND == Kind::Counter { name + "_total" } else { name };
        self.described.push(Described { name, kind: M::KIND, help, question: self.question, labels: M::labels() });
    }

    /// Runs each time before the metrics are shown: for figures that are looked up then.
    pub fn look(&mut self, look: impl Fn() + Send + Sync + 'static) {
        self.looks.push(Box::new(look));
    }

    /// Each metric.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// The page, as OpenMetrics has it.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn show(&self) -> Result<String, fmt::Error> {
        let _one = self.showing.lock();
        self.looks.iter().for_each(|look| look());
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use strum::{IntoStaticStr, VariantArray};

    use super::*;
    use crate::{label, label_set, metrics::label::Model};

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
    #[strum(serialize_all = "snake_case")]
    enum Outcome {
        Served,
        NotFound,
    }
    label!(Outcome);

    label_set! {
        struct Labels { model: Model, outcome: Outcome }
    }

    #[test]
    fn what_is_shown_is_what_is_described() {
        let (requests, seconds) = (Family::<Labels, Counter>::default(), Histogram::new([0.5]));
        let mut page = Exposition::new("test", "cloudach_test");
        page.answering(Question::Clients).add("requests", "Requests", &requests);
        page.add_in(&Unit::Seconds, "wait", "Waits", &seconds);
        let looked = Gauge::<i64>::default();
        page.answering(Question::Saturation).add("open", "Open ones", &looked);
        page.look(move || {
            looked.inc();
        });
        requests.get_or_create(&Labels { model: Model("m".to_owned()), outcome: Outcome::NotFound }).inc();
        seconds.observe(0.1);

        let shown = page.show().unwrap();
        for line in [
            "cloudach_test_requests_total{model=\"m\",outcome=\"not_found\"} 1",
            "cloudach_test_wait_seconds_bucket{le=\"0.5\"} 1",
            "cloudach_test_open 1",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
        }
        assert!(shown.contains("cloudach_build_info{component=\"test\",version=\""), "{shown}");
        assert!(page.show().unwrap().contains("cloudach_test_open 2"), "it is looked up each time");

        for described in page.described() {
            let kind = format!("{:?}", described.kind).to_lowercase();
            let family = described.name.trim_end_matches("_total");
            assert!(shown.contains(&format!("# TYPE {family} {kind}\n")), "{described:?} in\n{shown}");
        }
        let types = shown.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(types, page.described().len(), "nothing is shown that is not described");
        let requests = page.described().iter().find(|one| one.name == "cloudach_test_requests_total").unwrap();
        assert_eq!(requests.labels[1], ("outcome", "`served`, `not_found`".to_owned()));
        assert_eq!(requests.question, Question::Clients);
    }
}

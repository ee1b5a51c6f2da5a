//! Every metric of the sidecar, by name.

use std::fmt;

use cloudach_proto::v1::{DeathCause, ErrorCode, Failed};
use cloudach_service::trace::TraceMetrics;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    death,
    gpu::{self, Action, Snapshot},
};

/// From 10 ms to some 20 minutes.
const SECONDS: [f64; 12] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1200.0];

/// The sidecar's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) traces: TraceMetrics,
    /// Requests in the engine or on their way into it.
    pub(crate) requests_running: Gauge,
    requests: Family<OutcomeLabel, Counter>,
    /// From the first to the last event.
    pub(crate) request_seconds: Histogram,
    tokens: Family<TokensLabel, Counter>,
    /// 1 while the engine is ready.
    pub(crate) engine_up: Gauge,
    /// How often the engine's process was started again.
    pub(crate) engine_restarts: Counter,
    deaths: Family<CauseLabel, Counter>,
    gpu_memory_used: Family<GpuLabel, Gauge>,
    gpu_memory_total: Family<GpuLabel, Gauge>,
    gpu_utilization: Family<GpuLabel, Gauge>,
    gpu_temperature: Family<GpuLabel, Gauge>,
    gpu_uncorrected: Family<GpuLabel, Gauge>,
    gpu_faulty: Family<GpuLabel, Gauge>,
    gpu_xids: Family<ActionLabel, Counter>,
    /// Routers that this sidecar is attached to now.
    pub(crate) routers_attached: Gauge,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Finished,
    /// The caller left.
    Abandoned,
    /// Refused before the engine did anything, by the engine or here.
    Refused,
    /// The engine or the way to it died.
    Lost,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tokens {
    Prompt,
    Cached,
    Completion,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// Which causes there are is the contract's to say: some ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cause(DeathCause);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: Cause,
}

/// By the driver's numbers: there are as many as this machine has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GpuLabel {
    gpu: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    asks_for: &'static str,
}

impl EncodeLabelValue for Cause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        death::name(self.0).as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokensLabel {
    kind: Tokens,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Finished => "finished",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Failed => "failed",
        };
        name.encode(encoder)
    }
}

impl EncodeLabelValue for Tokens {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Prompt => "prompt",
            Self::Cached => "cached",
            Self::Completion => "completion",
        };
        name.encode(encoder)
    }
}

impl Outcome {
    pub(crate) fn of(failed: &Failed) -> Self {
        match failed.code() {
            ErrorCode::ReplicaLost => Self::Lost,
            ErrorCode::InvalidRequest
            | ErrorCode::Unsupported
            | ErrorCode::ContextLengthExceeded
            | ErrorCode::ModelNotFound
            | ErrorCode::ModelUnavailable
            | ErrorCode::Overloaded
            | ErrorCode::ShuttingDown => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            traces: TraceMetrics::default(),
            requests_running: Gauge::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(SECONDS),
            tokens: Family::default(),
            engine_up: Gauge::default(),
            engine_restarts: Counter::default(),
            deaths: Family::default(),
            gpu_memory_used: Family::default(),
            gpu_memory_total: Family::default(),
            gpu_utilization: Family::default(),
            gpu_temperature: Family::default(),
            gpu_uncorrected: Family::default(),
            gpu_faulty: Family::default(),
            gpu_xids: Family::default(),
            routers_attached: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A registry with all of them.
    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("cloudach_sidecar");
        self.traces.register(&mut registry);
        let help = "Requests in the engine or on their way into it";
        registry.register("requests_running", help, self.requests_running.clone());
        registry.register("requests", "Requests by how they ended", self.requests.clone());
        let help = "How long requests took, from taking them to their last event";
        registry.register("request_seconds", help, self.request_seconds.clone());
        registry.register("tokens", "Tokens as the engine counts them", self.tokens.clone());
        registry.register("engine_up", "1 while the engine is ready", self.engine_up.clone());
        let help = "How often the engine's process was started again";
        registry.register("engine_restarts", help, self.engine_restarts.clone());
        registry.register("engine_deaths", "How often the engine has died, by cause", self.deaths.clone());
        let mut of_gpu = |name: &str, help: &str, gauge: &Family<GpuLabel, Gauge>| {
            registry.register(name, help, gauge.clone());
        };
        of_gpu("gpu_memory_used_bytes", "Memory that is taken, by whomever", &self.gpu_memory_used);
        of_gpu("gpu_memory_total_bytes", "Memory that there is", &self.gpu_memory_total);
        of_gpu("gpu_utilization_percent", "Share of the last moments in which it worked", &self.gpu_utilization);
        of_gpu("gpu_temperature_celsius", "Its temperature", &self.gpu_temperature);
        let help = "Memory errors that ECC did not correct, since the driver was loaded";
        of_gpu("gpu_uncorrected_errors", help, &self.gpu_uncorrected);
        of_gpu("gpu_needs_reset", "1 when it is of no use before it was reset", &self.gpu_faulty);
        registry.register("gpu_xids", "Errors that the driver told, by what they ask for", self.gpu_xids.clone());
        let help = "Routers that this sidecar is attached to";
        registry.register("routers_attached", help, self.routers_attached.clone());
        registry
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn count_xid(&self, action: Action) {
        self.gpu_xids.get_or_create(&ActionLabel { asks_for: action.name() }).inc();
    }

    pub(crate) fn show_gpus(&self, gpus: &[Snapshot]) {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for gpu in gpus {
            let label = GpuLabel { gpu: gpu.index };
            self.gpu_memory_used.get_or_create(&label).set(bytes(gpu.memory_used));
            self.gpu_memory_total.get_or_create(&label).set(bytes(gpu.memory_total));
            let needs_reset = gpu::fault(gpu).is_some_and(|fault| fault.needs_reset);
            self.gpu_faulty.get_or_create(&label).set(needs_reset.into());
            // What it does not tell is not made up.
            let told = [
                (&self.gpu_utilization, gpu.utilization.map(i64::from)),
                (&self.gpu_temperature, gpu.temperature.map(i64::from)),
                (&self.gpu_uncorrected, gpu.uncorrected.map(bytes)),
            ];
            for (family, value) in told {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            }
        }
    }

    pub(crate) fn count_death(&self, cause: DeathCause) {
        self.deaths.get_or_create(&CauseLabel { cause: Cause(cause) }).inc();
    }

    /// How many there were so far.
    pub(crate) fn tokens(&self, kind: Tokens) -> u64 {
        self.tokens.get_or_create(&TokensLabel { kind }).get()
    }

    pub(crate) fn add_tokens(&self, kind: Tokens, tokens: u32) {
        if tokens > 0 {
            self.tokens.get_or_create(&TokensLabel { kind }).inc_by(u64::from(tokens));
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn names_are_as_documented() {
        let metrics = Metrics::default();
        metrics.count(Outcome::Lost);
        metrics.count_death(DeathCause::GpuMemory);
        metrics.count_xid(Action::ResetGpu);
        let gpu = Snapshot { index: 3, memory_used: 5, memory_total: 9, temperature: Some(60), ..Snapshot::default() };
        metrics.show_gpus(&[gpu]);
        metrics.add_tokens(Tokens::Completion, 3);
        let mut page = String::new();
        text::encode(&mut page, &metrics.registry()).unwrap();
        assert!(!page.contains("gpu_utilization_percent{"), "what a GPU does not tell is not made up");
        for line in [
            "cloudach_sidecar_requests_running 0",
            "cloudach_sidecar_requests_total{outcome=\"lost\"} 1",
            "cloudach_sidecar_request_seconds_count 0",
            "cloudach_sidecar_tokens_total{kind=\"completion\"} 3",
            "cloudach_sidecar_engine_up 0",
            "cloudach_sidecar_engine_restarts_total 0",
            "cloudach_sidecar_engine_deaths_total{cause=\"gpu_memory\"} 1",
            "cloudach_sidecar_gpu_memory_used_bytes{gpu=\"3\"} 5",
            "cloudach_sidecar_gpu_memory_total_bytes{gpu=\"3\"} 9",
            "cloudach_sidecar_gpu_temperature_celsius{gpu=\"3\"} 60",
            "cloudach_sidecar_gpu_needs_reset{gpu=\"3\"} 0",
            "cloudach_sidecar_gpu_xids_total{asks_for=\"reset_gpu\"} 1",
            "cloudach_sidecar_routers_attached 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}

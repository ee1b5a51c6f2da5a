//! Every metric of the sidecar, by name. `docs/metrics.md` is written from it.

mod gpu;

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{DeathCause, ErrorCode, Failed};
use cloudach_service::{
    label, label_set,
    metrics::{Exposition, FIRST_TOKEN_SECONDS, Question, REQUEST_SECONDS, Ratio, TOKEN_SECONDS},
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

use self::gpu::GpuMetrics;
use crate::{
    death,
    gpu::{Action, Snapshot},
    sidecar::Sidecar,
};

/// The sidecar's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) traces: TraceMetrics,
    /// Requests in the engine or on their way into it.
    pub(crate) requests_running: Gauge,
    requests: Family<OutcomeLabel, Counter>,
    /// From the first to the last event.
    pub(crate) request_seconds: Histogram,
    /// From taking a request to its first token.
    pub(crate) first_token: Histogram,
    /// Between a request's tokens.
    pub(crate) per_token: Histogram,
    tokens: Family<TokensLabel, Counter>,
    /// Those that are generated: counted with each, without looking for the counter.
    generated: Counter,
    /// 1 while the engine is ready.
    pub(crate) engine_up: Gauge,
    /// How often the engine's process was started again. Of one that is managed, routers say when it is loaded again.
    pub(crate) engine_restarts: Counter,
    deaths: Family<CauseLabel, Counter>,
    running: Gauge,
    waiting: Gauge,
    kv_cache: Ratio,
    requests_limit: Gauge,
    gpus: GpuMetrics,
    /// Routers that this sidecar is attached to now.
    pub(crate) routers_attached: Gauge,
    routers: Gauge,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Tokens {
    Prompt,
    Cached,
    Completion,
}

label!(Outcome, Tokens);

named! {
    /// Which causes there are is the contract's to say.
    struct Cause(String) = causes().map(|cause| format!("`{}`", death::name(cause))).collect::<Vec<_>>().join(", ");
}

fn causes() -> impl Iterator<Item = DeathCause> {
    // The first is none.
    (1..).map_while(|number| DeathCause::try_from(number).ok())
}

label_set! {
    struct OutcomeLabel { outcome: Outcome }
    struct TokensLabel { kind: Tokens }
    struct CauseLabel { cause: Cause }
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
        let tokens = Family::<TokensLabel, Counter>::default();
        let deaths = Family::<CauseLabel, Counter>::default();
        // Told from the start, so that the first one shows as a change.
        for cause in causes() {
            deaths.get_or_create(&CauseLabel { cause: Cause(death::name(cause)) }).inc_by(0);
        }
        Self {
            generated: tokens.get_or_create_owned(&TokensLabel { kind: Tokens::Completion }),
            tokens,
            traces: TraceMetrics::default(),
            requests_running: Gauge::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(REQUEST_SECONDS),
            first_token: Histogram::new(FIRST_TOKEN_SECONDS),
            per_token: Histogram::new(TOKEN_SECONDS),
            engine_up: Gauge::default(),
            engine_restarts: Counter::default(),
            deaths,
            running: Gauge::default(),
            waiting: Gauge::default(),
            kv_cache: Ratio::default(),
            requests_limit: Gauge::default(),
            gpus: GpuMetrics::default(),
            routers_attached: Gauge::default(),
            routers: Gauge::default(),
        }
    }
}

/// The page as it is without an engine: for its description.
pub fn page() -> Exposition {
    let mut page = Metrics::default().page();
    ReloadMetrics::default().register(&mut page);
    TlsMetrics::default().register(&mut page);
    page
}

impl Metrics {
    /// A page with all of them. What is looked up is as it was last.
    pub(crate) fn page(&self) -> Exposition {
        let mut page = Exposition::new("sidecar", "cloudach_sidecar");
        self.traces.register(&mut page);
        page.answering(Question::Engine)
            .add("engine_up", "1 while the engine is ready", &self.engine_up)
            .add(
                "engine_restarts",
                "How often the sidecar has started its engine again; a managed one is loaded again by routers",
                &self.engine_restarts,
            )
            .add("engine_deaths", "How often the engine has died, by cause", &self.deaths)
            .add("requests", "Requests by how they ended", &self.requests)
            .add(
                "request_seconds",
                "How long requests took, from taking them to their last event",
                &self.request_seconds,
            )
            .add_in(
                &Unit::Seconds,
                "time_to_first_token",
                "From taking a request to the engine's first token",
                &self.first_token,
            )
            .add_in(
                &Unit::Seconds,
                "time_per_output_token",
                "The mean time between a finished request's tokens, once for each request, at its end",
                &self.per_token,
            )
            .add("tokens", "Tokens as the engine counts them", &self.tokens);
        page.answering(Question::Saturation)
            .add("requests_running", "Requests in the engine or on their way into it", &self.requests_running)
            .add("requests_limit", "Requests that may be: `limits.max_requests`", &self.requests_limit)
            .add("engine_requests_running", "Requests in the engine's batch", &self.running)
            .add("engine_requests_waiting", "Requests in the engine's queue, or held back from it", &self.waiting)
            .add("kv_cache_usage_ratio", "Share of the engine's KV cache that is in use", &self.kv_cache);
        self.gpus.register(page.answering(Question::Gpus));
        page.answering(Question::Fleet)
            .add("routers_attached", "Routers that this sidecar is attached to", &self.routers_attached)
            .add("routers", "Routers that this sidecar is told of", &self.routers);
        page
    }

    /// The page of a sidecar that has so many routers and takes so many requests.
    pub(crate) fn page_of(&self, sidecar: &Arc<Sidecar>, routers: usize, requests: usize) -> Exposition {
        self.routers.set(signed(routers as u64));
        self.requests_limit.set(signed(requests as u64));
        let mut page = self.page();
        let (sidecar, running, waiting, kv_cache) =
            (Arc::downgrade(sidecar), self.running.clone(), self.waiting.clone(), self.kv_cache.clone());
        page.look(move || {
            let Some(load) = sidecar.upgrade().map(|sidecar| sidecar.load()) else { return };
            running.set(load.running.into());
            waiting.set(load.waiting.into());
            kv_cache.set(load.kv_cache_usage.into());
        });
        page
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn count_xid(&self, action: Action) {
        self.gpus.count_xid(action);
    }

    pub(crate) fn show_gpus(&self, gpus: &[Snapshot]) {
        self.gpus.show(gpus);
    }

    pub(crate) fn count_death(&self, cause: DeathCause) {
        self.deaths.get_or_create(&CauseLabel { cause: Cause(death::name(cause)) }).inc();
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

    /// So many tokens were generated. Called with every event: no lock, and nothing is looked for.
    pub(crate) fn generated(&self, tokens: u64) {
        self.generated.inc_by(tokens);
    }

    /// A request has finished, so long after its first token, with so many.
    pub(crate) fn finished(&self, since_first_token: Duration, tokens: u32) {
        if let Some(behind) = tokens.checked_sub(1).filter(|&behind| behind > 0) {
            self.per_token.observe(since_first_token.as_secs_f64() / f64::from(behind));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let metrics = Metrics::default();
        metrics.count(Outcome::Lost);
        metrics.count_death(DeathCause::GpuMemory);
        metrics.count_xid(Action::ResetGpu);
        let gpu = Snapshot { index: 3, memory_used: 5, memory_total: 9, temperature: Some(60), ..Snapshot::default() };
        metrics.show_gpus(&[gpu]);
        metrics.generated(3);
        metrics.finished(Duration::from_millis(40), 3);
        metrics.finished(Duration::from_millis(40), 1);
        let page = metrics.page().show().unwrap();
        assert!(!page.contains("gpu_utilization_percent{"), "what a GPU does not tell is not made up");
        for line in [
            "cloudach_sidecar_requests_running 0",
            "cloudach_sidecar_requests_total{outcome=\"lost\"} 1",
            "cloudach_sidecar_request_seconds_count 0",
            "cloudach_sidecar_tokens_total{kind=\"completion\"} 3",
            "cloudach_sidecar_engine_up 0",
            "cloudach_sidecar_time_per_output_token_seconds_bucket{le=\"0.025\"} 1",
            "cloudach_sidecar_time_per_output_token_seconds_count 1",
            "cloudach_sidecar_gpu_throttled{gpu=\"3\",reason=\"sw_thermal_slowdown\"} 0",
            "cloudach_sidecar_engine_restarts_total 0",
            "cloudach_sidecar_engine_deaths_total{cause=\"gpu_memory\"} 1",
            "cloudach_sidecar_engine_deaths_total{cause=\"watchdog\"} 0",
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

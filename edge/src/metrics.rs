//! Every metric of the edge.

use std::time::Duration;

use cloudach_service::trace::TraceMetrics;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde::{Deserialize, Serialize};

use crate::{access::jwt::Refusal, usage::Record};

/// Bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The endpoints that engines answer.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, EncodeLabelValue,
)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    #[default]
    ChatCompletions,
    Completions,
    Messages,
    Embeddings,
    Responses,
    Rerank,
    Score,
    Tokenize,
    Detokenize,
}

impl Endpoint {
    /// Whether it generates text.
    pub fn generates(self) -> bool {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Messages | Self::Responses => true,
            Self::Embeddings | Self::Rerank | Self::Score | Self::Tokenize | Self::Detokenize => false,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EncodeLabelValue)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is complete.
    Served,
    /// The client was told why not.
    Failed,
    /// The client left first.
    #[default]
    Abandoned,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: Endpoint,
    /// From the catalogue, never from a client.
    model: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

/// What the edge counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    prompt_tokens: Family<ModelLabel, Counter>,
    completion_tokens: Family<ModelLabel, Counter>,
    first_token: Family<ModelLabel, Histogram>,
    duration: Family<ModelLabel, Histogram>,
    /// Requests in progress.
    pub open: Gauge,
    /// Connections of clients.
    pub connections: Gauge,
    pub store: StoreMetrics,
    pub limits: LimitMetrics,
    pub usage: UsageMetrics,
    pub idempotency: IdempotencyMetrics,
    pub issuers: IssuerMetrics,
    pub tokens: TokenMetrics,
    pub mirrors: MirrorMetrics,
    pub fallbacks: FallbackMetrics,
    pub batches: BatchMetrics,
    pub traces: TraceMetrics,
}

/// What becomes of a line of a batch, each time that it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum BatchLine {
    Completed,
    Failed,
    /// There was no room for it: it is asked again later.
    Later,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    outcome: BatchLine,
}

/// How batches are run.
#[derive(Debug, Clone, Default)]
pub struct BatchMetrics {
    lines: Family<BatchLabels, Counter>,
    /// Batches that this edge is at.
    pub open: Gauge,
}

impl BatchMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("batch_lines", "Lines of batches that were asked, by outcome", metrics.lines.clone());
        registry.register("batches_open", "Batches that this edge is at", metrics.open.clone());
        metrics
    }

    /// Counts one.
    pub fn count(&self, outcome: BatchLine) {
        self.lines.get_or_create(&BatchLabels { outcome }).inc();
    }
}

/// What becomes of a copy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Mirrored {
    Served,
    Failed,
    /// It was not made: too many ran.
    Dropped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MirrorLabels {
    /// That was asked as well.
    model: String,
    outcome: Mirrored,
}

/// What becomes of copies of requests.
#[derive(Debug, Clone, Default)]
pub struct MirrorMetrics(Family<MirrorLabels, Counter>);

impl MirrorMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("mirrored", "Copies of requests, by what became of them", metrics.0.clone());
        metrics
    }

    /// Counts one.
    pub fn count(&self, model: &str, outcome: Mirrored) {
        self.0.get_or_create(&MirrorLabels { model: model.to_owned(), outcome }).inc();
    }
}

/// Requests that their model had no place for, and that were asked of the next one of their route.
#[derive(Debug, Clone, Default)]
pub struct FallbackMetrics(Family<ModelLabel, Counter>);

impl FallbackMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "fallbacks",
            "Requests that went on to the next model of their route, by the one that had no place for them",
            metrics.0.clone(),
        );
        metrics
    }

    /// Counts one.
    pub fn count(&self, model: &str) {
        self.0.get_or_create(&ModelLabel { model: model.to_owned() }).inc();
    }
}

/// What becomes of requests with an idempotency key, and of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdempotentLabels {
    what: Idempotent,
}

/// What is counted of idempotency keys.
#[derive(Debug, Clone, Default)]
pub struct IdempotencyMetrics(Family<IdempotentLabels, Counter>);

impl IdempotencyMetrics {
    /// Counts one.
    pub fn count(&self, what: Idempotent) {
        self.0.get_or_create(&IdempotentLabels { what }).inc();
    }

    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Requests with an idempotency key, and their answers, by what became of them";
        registry.register("idempotency", help, metrics.0.clone());
        metrics
    }
}

/// What is counted of usage records.
#[derive(Debug, Clone, Default)]
pub struct UsageMetrics {
    /// Records that the store has.
    pub kept: Counter,
    /// Bytes of records that the store does not have yet.
    pub waiting: Gauge,
    /// 1: the store did not take records when it was given some last.
    pub away: Gauge,
    /// Records that are lost.
    pub lost: Counter,
}

impl UsageMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("usage_kept", "Usage records that the store has", metrics.kept.clone());
        let help = "Usage records that the store does not have yet";
        registry.register_with_unit("usage_waiting", help, Unit::Bytes, metrics.waiting.clone());
        registry.register("usage_spooling", "1 while the store takes no usage records", metrics.away.clone());
        registry.register("usage_lost", "Usage records that are lost: the spool was full", metrics.lost.clone());
        metrics
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    /// Its name in the configuration.
    issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    issuer: String,
    answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    refusal: Refusal,
}

/// What is counted of the issuers of tokens.
#[derive(Debug, Clone, Default)]
pub struct IssuerMetrics {
    keys: Family<IssuerLabel, Gauge>,
    away: Family<IssuerLabel, Gauge>,
    fetches: Family<FetchLabels, Counter>,
}

/// What is counted of tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenMetrics {
    let_in: Family<IssuerLabel, Counter>,
    refused: Family<RefusalLabel, Counter>,
}

impl IssuerMetrics {
    /// Whether the issuer's keys could not be fetched when that was tried last.
    pub fn away(&self, issuer: &str, is_away: bool) {
        self.away.get_or_create(&IssuerLabel { issuer: issuer.to_owned() }).set(is_away.into());
    }

    /// So many of its keys are known.
    pub fn keys(&self, issuer: &str, keys: usize) {
        let gauge = self.keys.get_or_create(&IssuerLabel { issuer: issuer.to_owned() });
        gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// Counts a fetch of its keys.
    pub fn fetched(&self, issuer: &str, has_keys: bool) {
        let answer = if has_keys { Answer::Answered } else { Answer::Failed };
        self.fetches.get_or_create(&FetchLabels { issuer: issuer.to_owned(), answer }).inc();
    }

    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("issuer_keys", "Keys of an issuer by which tokens are checked", metrics.keys.clone());
        registry.register("issuer_away", "1 while an issuer's keys cannot be fetched", metrics.away.clone());
        registry.register("issuer_fetches", "Fetches of an issuer's keys", metrics.fetches.clone());
        metrics
    }
}

impl TokenMetrics {
    /// Counts a request whose token was good.
    pub fn let_in(&self, issuer: &str) {
        self.let_in.get_or_create(&IssuerLabel { issuer: issuer.to_owned() }).inc();
    }

    /// Counts one whose token was not.
    pub fn refused(&self, refusal: Refusal) {
        self.refused.get_or_create(&RefusalLabel { refusal }).inc();
    }

    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("tokens_let_in", "Requests let in by a token, by its issuer", metrics.let_in.clone());
        registry.register("tokens_refused", "Requests refused for their token, by the reason", metrics.refused.clone());
        metrics
    }
}

fn traced(registry: &mut Registry) -> TraceMetrics {
    let metrics = TraceMetrics::default();
    metrics.register(registry);
    metrics
}

/// Bounds of the histogram of calls, in seconds.
const CALL_SECONDS: [f64; 8] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];

/// What is asked of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
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

/// How a call to Redis went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Answer {
    Answered,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: Call,
    answer: Answer,
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

/// What is counted of limits.
#[derive(Debug, Clone, Default)]
pub struct LimitMetrics {
    /// 1: the store was away when it was asked last, and limits are this edge's share.
    pub alone: Gauge,
    /// Requests that were decided on by this edge's share.
    pub by_share: Counter,
    /// Settlements that the store has not confirmed yet.
    pub pending: Gauge,
    /// Settlements that never reached the store.
    pub lost: Counter,
    /// Soft budgets that were passed.
    pub soft_budgets: Counter,
    /// Requests that were refused again without asking the store.
    pub refused_unasked: Counter,
}

impl StoreMetrics {
    /// Counts a call to Redis.
    pub fn called(&self, call: Call, answered: bool, time: Duration) {
        let answer = if answered { Answer::Answered } else { Answer::Failed };
        self.calls.get_or_create(&CallLabels { call, answer }).observe(time.as_secs_f64());
    }

    /// The metrics, shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Family::new_with_constructor((|| Histogram::new(CALL_SECONDS)) as fn() -> Histogram);
        let metrics = Self { up: Gauge::default(), edges: Gauge::default(), calls };
        registry.register("store_up", "1 while the store can be asked", metrics.up.clone());
        registry.register("store_edges", "Edges that share the store", metrics.edges.clone());
        registry.register_with_unit(
            "store_call_duration",
            "Round trips to Redis, by what was asked",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        metrics
    }
}

impl LimitMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("limits_by_share", "1 while limits are this edge's share of them", metrics.alone.clone());
        registry.register(
            "limits_decided_by_share",
            "Requests decided on by this edge's share of the limits",
            metrics.by_share.clone(),
        );
        registry.register("settlements_pending", "Settlements the store has not confirmed", metrics.pending.clone());
        registry.register("settlements_lost", "Settlements that never reached the store", metrics.lost.clone());
        let help = "Requests refused again before the time that the store named, without asking it";
        registry.register("limits_refused_unasked", help, metrics.refused_unasked.clone());
        registry.register("soft_budgets_passed", "Soft budgets that were passed", metrics.soft_budgets.clone());
        metrics
    }
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub fn new() -> (Self, Registry) {
        let histogram = || Histogram::new(SECONDS);
        let mut registry = Registry::with_prefix("cloudach_edge");
        let metrics = Self {
            store: StoreMetrics::register(&mut registry),
            limits: LimitMetrics::register(&mut registry),
            usage: UsageMetrics::register(&mut registry),
            idempotency: IdempotencyMetrics::register(&mut registry),
            issuers: IssuerMetrics::register(&mut registry),
            tokens: TokenMetrics::register(&mut registry),
            mirrors: MirrorMetrics::register(&mut registry),
            fallbacks: FallbackMetrics::register(&mut registry),
            batches: BatchMetrics::register(&mut registry),
            traces: traced(&mut registry),
            requests: Family::default(),
            prompt_tokens: Family::default(),
            completion_tokens: Family::default(),
            first_token: Family::new_with_constructor(histogram),
            duration: Family::new_with_constructor(histogram),
            open: Gauge::default(),
            connections: Gauge::default(),
        };
        registry.register("requests", "Requests that ended, by outcome", metrics.requests.clone());
        registry.register("prompt_tokens", "Prompt tokens as clients are told", metrics.prompt_tokens.clone());
        registry.register(
            "completion_tokens",
            "Completion tokens as clients are told",
            metrics.completion_tokens.clone(),
        );
        registry.register_with_unit(
            "time_to_first_token",
            "From the request's arrival to its first token",
            Unit::Seconds,
            metrics.first_token.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the request's arrival to its end",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("requests_open", "Requests in progress", metrics.open.clone());
        registry.register("connections_open", "Connections of clients", metrics.connections.clone());
        (metrics, registry)
    }

    /// Counts a request that has ended.
    pub fn ended(&self, record: &Record) {
        let label = ModelLabel { model: record.model.clone() };
        let labels = RequestLabels { endpoint: record.endpoint, model: record.model.clone(), outcome: record.outcome };
        self.requests.get_or_create(&labels).inc();
        self.prompt_tokens.get_or_create(&label).inc_by(record.shown.prompt_tokens);
        self.completion_tokens.get_or_create(&label).inc_by(record.shown.completion_tokens);
        self.duration.get_or_create(&label).observe(record.duration.as_secs_f64());
        if let Some(first_token) = record.first_token {
            self.first_token.get_or_create(&label).observe(first_token.as_secs_f64());
        }
    }
}

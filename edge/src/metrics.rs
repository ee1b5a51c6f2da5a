//! Every metric of the edge: this lists them, each folder's file is one idea of what is counted. `docs/metrics.md` is written
//! from it.

mod batches;
mod idempotency;
mod issuers;
mod limits;
mod requests;
mod routes;
mod store;
mod tenants;
mod usage;

use cloudach_service::{
    metrics::{Exposition, Question},
    reload::ReloadMetrics,
    tls::TlsMetrics,
    trace::TraceMetrics,
};
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;

pub use self::{
    batches::{BatchLine, BatchMetrics},
    idempotency::{IdempotencyMetrics, Idempotent},
    issuers::{IssuerMetrics, TokenMetrics},
    limits::LimitMetrics,
    requests::{Endpoint, Open, Outcome},
    routes::{FallbackMetrics, MirrorMetrics, Mirrored},
    store::{Call, StoreMetrics},
    usage::UsageMetrics,
};
use self::{requests::RequestMetrics, tenants::TenantMetrics};
use crate::{config::Limits, error::Refusal, usage::Record};

/// What metrics tell.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Tenants that have figures of their own: the first that ask after this edge has started. The others are counted together,
    /// as `other`. Each takes a dozen series. 0: all are.
    pub tenants: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { tenants: 50 }
    }
}

/// The page as it is when an edge starts: for its description.
pub fn page() -> Exposition {
    let (_, mut page) = Metrics::new(MetricsConfig::default(), &Limits::default(), 0);
    ReloadMetrics::default().register(&mut page);
    TlsMetrics::default().register(&mut page);
    page
}

/// What the edge counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: RequestMetrics,
    tenants: TenantMetrics,
    /// Requests in progress.
    pub open: Gauge,
    /// Answers that are being streamed.
    pub streams: Gauge,
    /// Connections of clients.
    pub connections: Gauge,
    /// Routers that take requests of this edge.
    pub routers: Gauge,
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

impl Metrics {
    /// The metrics, and the page that shows them.
    pub fn new(config: MetricsConfig, limits: &Limits, routers: usize) -> (Self, Exposition) {
        let mut page = Exposition::new("edge", "cloudach_edge");
        let metrics = Self {
            requests: RequestMetrics::register(page.answering(Question::Clients)),
            tenants: TenantMetrics::register(page.answering(Question::Clients), config.tenants),
            open: Gauge::default(),
            streams: Gauge::default(),
            connections: Gauge::default(),
            routers: Gauge::default(),
            store: StoreMetrics::register(page.answering(Question::Store)),
            limits: LimitMetrics::register(&mut page),
            usage: UsageMetrics::register(page.answering(Question::Usage)),
            idempotency: IdempotencyMetrics::register(page.answering(Question::Features)),
            issuers: IssuerMetrics::register(page.answering(Question::Refusals)),
            tokens: TokenMetrics::register(page.answering(Question::Refusals)),
            mirrors: MirrorMetrics::register(page.answering(Question::Features)),
            fallbacks: FallbackMetrics::register(page.answering(Question::Features)),
            batches: BatchMetrics::register(page.answering(Question::Features)),
            traces: TraceMetrics::default(),
        };
        metrics.traces.register(&mut page);
        let at_most = |most: usize| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(most).unwrap_or(i64::MAX));
            gauge
        };
        page.answering(Question::Saturation)
            .add("requests_open", "Requests in progress", &metrics.open)
            .add("requests_limit", "Requests that may be: `limits.requests`", &at_most(limits.requests))
            .add("streams_open", "Answers that are being streamed", &metrics.streams)
            .add("connections_open", "Connections of clients", &metrics.connections)
            .add("connections_limit", "Connections that may be: `limits.connections`", &at_most(limits.connections));
        page.answering(Question::Fleet)
            .add("routers_connected", "Routers that take requests of this edge", &metrics.routers)
            .add("routers", "Routers that this edge is told of", &at_most(routers));
        (metrics, page)
    }

    /// Counts a request that has ended.
    pub fn ended(&self, record: &Record) {
        self.requests.ended(record);
        self.tenants.ended(record);
    }

    /// Counts a request that came to no record. `tenant`: whose it was, where that is known.
    pub fn refused(&self, refusal: &Refusal, tenant: Option<&str>) {
        self.requests.refused(refusal);
        if let Some(tenant) = tenant {
            self.tenants.refused(tenant, refusal.status);
        }
    }
}

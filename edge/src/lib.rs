//! The edge: everything that OpenAI clients see, and nothing that a GPU sees.
//!
//! It keeps no state that a restart would lose. HTTP statuses and error bodies are decided in [`error`] alone.

pub mod access;
pub mod admin;
mod answer;
pub mod batches;
mod best_of;
pub mod catalog;
mod choice;
pub mod config;
mod context;
mod conversation;
pub mod conversations;
mod error;
mod fallback;
pub mod files;
mod generations;
mod http;
pub mod idempotency;
pub mod metrics;
mod mirror;
mod names;
mod offers;
mod prices;
mod prompt;
mod reading;
mod reply;
pub mod responses;
mod sse;
pub mod store;
pub mod texts;
mod tokens;
mod trace;
mod trail;
mod turn;
mod unary;
mod upstream;
pub mod usage;
mod work;

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use cloudach_service::{
    admin::{self as admin_port, AdminError},
    grpc::{Dial, GrpcError},
    metrics::Exposition,
    reload::Live,
    stop::{Running, Stop},
    tls::{Certificates, Role, TlsConfig, TlsError, TlsMetrics},
    tools,
    trace::{TraceError, Tracer},
};

use tokio::net::TcpListener;
use tracing::info;

use crate::{
    access::{
        admission::Admission,
        jwt::issuers::{IssuerError, Issuers},
        keys::ConfiguredKeys,
        known::KnownKeys,
        limiter::Limiter,
        pepper::{Pepper, PepperError},
    },
    admin::Admin,
    batches::Batches,
    catalog::Catalog,
    config::{Config, InvalidConfig},
    conversations::Conversations,
    files::Files,
    http::accept::{self, ListenError},
    idempotency::Idempotency,
    metrics::Metrics,
    mirror::Mirrors,
    offers::Offers,
    reading::schemas::Schemas,
    responses::Responses,
    store::{Store, StoreError},
    texts::{Texts, config::InvalidTexts},
    tokens::Remembered,
    upstream::Upstream,
    usage::{Record, keeper::Keeper, spool::SpoolError},
    work::Work,
};

/// Why the edge could not run.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error(transparent)]
    Texts(#[from] InvalidTexts),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What every request of this edge may use. Clones share it.
#[derive(Debug, Clone)]
pub struct Edge(Arc<Parts>);

/// See [`Edge`].
#[derive(Debug)]
pub struct Parts {
    known: Arc<KnownKeys>,
    /// None: there are none.
    issuers: Option<Arc<Issuers>>,
    limiter: Limiter,
    keeper: Keeper<Record>,
    idempotency: Idempotency,
    responses: Responses,
    files: Files,
    batches: Batches,
    store: Store,
    conversations: Conversations,
    admission: Admission,
    catalog: Catalog,
    mirrors: Mirrors,
    upstream: Upstream,
    metrics: Metrics,
    work: Work,
    counted: Arc<Remembered>,
    offers: Arc<Offers>,
    schemas: Arc<Schemas>,
    tracer: Tracer,
    texts: Texts,
    config: Config,
    running: Running,
}

impl Deref for Edge {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Runs an edge until `stop`.
///
/// # Errors
/// When an address cannot be listened on or dialled.
pub async fn run(config: Live<Config>, stop: Stop) -> Result<(), EdgeError> {
    start(config).await?.run(stop).await;
    Ok(())
}

/// An edge that listens and follows the routers.
pub struct Started {
    edge: Edge,
    listener: TcpListener,
}

/// Opens an edge.
///
/// # Errors
/// When an address cannot be listened on or dialled.
pub async fn start(live: Live<Config>) -> Result<Started, EdgeError> {
    let config = Config::clone(&live.now());
    config.check()?;
    let running = Running::default();
    let (metrics, mut page) = Metrics::new(config.metrics, &config.limits, config.routers.len());
    live.metrics().register(&mut page);
    let certificates = match &config.tls {
        Some(tls) => Some(certificates(tls.clone(), &live, &mut page, &running)?),
        None => None,
    };
    let listener = accept::bind(config.listen).await?;
    let ways = config.routers.iter().map(|router| Dial::to(router, certificates.as_ref()));
    let ways = ways.collect::<Result<Vec<_>, _>>()?;
    let upstream = Upstream::connect(&config.routers, &ways, &running);
    let catalog = Catalog::follow(&ways, config.limits.load_time, &running);
    let (connected, routers) = (upstream.count(), metrics.routers.clone());
    page.look(move || {
        routers.set(i64::try_from(connected()).unwrap_or(i64::MAX));
    });
    let tracer = Tracer::start(&config.tracing, "cloudach-edge", &[], &metrics.traces, &running)?;
    let store = Store::open(&config.store, metrics.store.clone(), &running).await?;
    let pepper = Pepper::open(&config.store)?;
    let configured = ConfiguredKeys::new(&config.keys, config.rate_limits);
    let known = KnownKeys::new(configured, pepper, store.clone(), config.rate_limits, &config.store);
    let known = Arc::new(known);
    let (following, changes) = (known.clone(), store.changes());
    let follow = async move { following.follow(changes).await };
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(follow));
    let issuers = Issuers::start(
        &config.issuers,
        config.rate_limits,
        (store.clone(), &config.store),
        (&metrics.issuers, &metrics.tokens),
        &running,
    )?;
    let following = take_anew(live, known.clone(), issuers.clone());
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(following));
    if let Some(address) = config.admin {
        let api = config.admin_api.as_ref();
        let api = api.map(|api| Admin::new(api, store.clone(), known.pepper().clone()).routes()).unwrap_or_default();
        let token = config.admin_api.as_ref().map(|api| (*api.token_sha256.as_bytes()).into());
        let api = api.merge(tools::routes(&tracer, token));
        let admin = admin_port::bind_with(address, running.ready.clone(), page, api, running.kill.clone()).await?;
        running.background.spawn(admin);
    }
    let usage = metrics.usage.clone();
    let keeper = Keeper::start(&config.usage, &config.store, store.clone(), usage, &running)?;
    let idempotency =
        Idempotency::start(config.idempotency.clone(), store.clone(), metrics.idempotency.clone(), &running);
    let responses = Responses::new(config.responses.clone(), store.clone());
    let conversations = Conversations::new(config.conversations.clone(), store.clone());
    let files = Files::new(config.files.clone(), store.clone());
    let batches = Batches::new(config.batches.clone(), store.clone());
    let limiter = Limiter::start(store.clone(), metrics.limits.clone(), &running);

    let edge = Edge(Arc::new(Parts {
        known,
        issuers,
        limiter,
        keeper,
        idempotency,
        responses,
        files,
        batches,
        store,
        conversations,
        admission: Admission::new(config.limits.requests),
        catalog,
        mirrors: Mirrors::new(metrics.mirrors.clone()),
        upstream,
        metrics,
        work: Work::new(running.background.clone()),
        counted: Arc::new(Remembered::new()?),
        offers: Arc::new(Offers::new()?),
        schemas: Arc::new(Schemas::new()?),
        tracer,
        texts: Texts::new(&config.trace_texts, running.background.clone())?,
        config,
        running,
    }));
    Ok(Started { edge, listener })
}

/// The certificates towards routers, which are followed.
fn certificates(
    tls: TlsConfig,
    live: &Live<Config>,
    page: &mut Exposition,
    running: &Running,
) -> Result<Arc<Certificates>, TlsError> {
    let metrics = TlsMetrics::default();
    metrics.register(page);
    let certificates = Certificates::open(tls, Role::Edge, metrics, live.metrics().clone())?;
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(certificates.clone().follow()));
    Ok(certificates)
}

/// Takes keys and limits anew when the configuration changes.
async fn take_anew(mut live: Live<Config>, known: Arc<KnownKeys>, issuers: Option<Arc<Issuers>>) {
    loop {
        let config = live.changed().await;
        known.reconfigure(ConfiguredKeys::new(&config.keys, config.rate_limits), config.rate_limits);
        if let Some(issuers) = &issuers {
            issuers.reconfigure(config.rate_limits);
        }
        info!(keys = config.keys.len(), "keys and limits taken anew");
    }
}

impl Started {
    /// Where clients reach it: with the port that was chosen when port 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What it knows of the models.
    pub fn catalog(&self) -> Catalog {
        self.edge.catalog.clone()
    }

    /// Serves clients until `stop`.
    pub async fn run(self, stop: Stop) {
        let running = self.edge.running.clone();
        running.background.spawn(accept::serve(self.listener, self.edge.clone()));
        running.background.spawn(batches::runner::serve(self.edge.clone()));
        running.until(&stop, &self.edge.config.drain).await;
    }
}

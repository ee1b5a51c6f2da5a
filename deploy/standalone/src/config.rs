//! The configuration of the one-process form: one file for edge, router and sidecars together.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use cloudach_edge::{
    access::{jwt::config::IssuerConfig, keys::KeyConfig},
    admin::AdminApi,
    batches::config::BatchesConfig,
    config::{Isolation, Limits, Links, Stream},
    conversations::config::ConversationsConfig,
    files::config::FilesConfig,
    idempotency::config::IdempotencyConfig,
    metrics::MetricsConfig,
    responses::config::ResponsesConfig,
    store::config::StoreConfig,
    texts::config::TraceTexts,
    usage::config::UsageConfig,
};
use cloudach_router::{
    catalogue::{Catalogue, Names},
    config::{Placement, Queue, Relay, Source},
};
use cloudach_service::{
    address::Address, admin_token::AdminAccess, logs::Level, reload::Settings, stop::Drain, trace::config::Tracing,
};
use cloudach_sidecar::config::EngineConfig;
use ipnet::IpNet;
use serde::Deserialize;

/// Everything the process is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients reach the gateway.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` of the edge are served. Absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// See the edge's configuration.
    #[serde(default)]
    pub admin_api: Option<AdminApi>,
    /// How much is logged: `info`, `debug`, or `cloudach_edge=debug,info`. Taken anew while the process runs. `CLOUDACH_LOG`, where
    /// it is set, goes before it.
    #[serde(default)]
    pub log: Option<Level>,
    /// Who may ask, beside the trial key. Taken anew while the process runs.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// See the edge's configuration.
    #[serde(default)]
    pub issuers: Vec<IssuerConfig>,
    /// What is said of the models. Those of `engines` need not be named. Taken anew while the process runs.
    #[serde(default)]
    pub catalogue: Catalogue,
    /// The engines, each with a sidecar of its own.
    pub engines: Vec<Engine>,
    /// See the edge's configuration.
    #[serde(default)]
    pub rate_limits: cloudach_edge::access::limits::Limits,
    /// See the edge's configuration.
    #[serde(default)]
    pub store: StoreConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// See the edge's configuration.
    #[serde(default)]
    pub usage: UsageConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub idempotency: IdempotencyConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub responses: ResponsesConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub files: FilesConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub batches: BatchesConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub conversations: ConversationsConfig,
    /// See the edge's configuration.
    #[serde(default)]
    pub isolation: Isolation,
    /// See the edge's configuration.
    #[serde(default)]
    pub limits: Limits,
    /// See the edge's configuration.
    #[serde(default)]
    pub links: Links,
    /// See the edge's configuration.
    #[serde(default)]
    pub stream: Stream,
    /// See the edge's configuration.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// Where the router serves its own metrics, and what `cloudach fleet` and `cloudach models` show. Absent: nowhere.
    pub router_admin: Option<SocketAddr>,
    /// See the router's configuration.
    #[serde(default)]
    pub relay: Relay,
    /// See the router's configuration.
    #[serde(default)]
    pub queue: Queue,
    /// See the router's configuration.
    #[serde(default)]
    pub placement: Placement,
    /// Traces of requests, for all three services.
    #[serde(default)]
    pub tracing: Tracing,
    /// See the edge's configuration.
    #[serde(default)]
    pub trace_texts: TraceTexts,
    /// How the process stops.
    #[serde(default)]
    pub drain: Drain,
}

/// An engine and the model it serves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The name that clients use. Absent: the catalogue's models are loaded here as they are needed, within `managed`.
    pub model: Option<String>,
    /// See the sidecar's configuration.
    pub managed: Option<cloudach_sidecar::config::Managed>,
    /// The name by which the engine knows it. Default: the first one that the engine lists.
    pub served_name: Option<String>,
    /// See the sidecar's configuration.
    pub engine: EngineConfig,
    /// See the sidecar's configuration.
    #[serde(default)]
    pub gpu: cloudach_sidecar::config::GpuWatch,
    /// See the sidecar's configuration.
    #[serde(default)]
    pub limits: cloudach_sidecar::config::Limits,
}

/// What is remembered of traces where the configuration does not say: hundreds of requests.
const RECENT_BYTES: usize = 4 * 1024 * 1024;
impl Settings for Config {
    fn log(&self) -> Option<&Level> {
        self.log.as_ref()
    }

    fn problem(&self) -> Option<String> {
        if self.engines.is_empty() {
            return Some("it names no engine".to_owned());
        }
        let services = self.clone().services(Path::new("/"));
        let catalogue = Names::load(&services.router.catalogue).err().map(|problem| problem.to_string());
        let sidecars = services.sidecars.iter().find_map(Settings::problem);
        services.edge.problem().or(sidecars).or(catalogue)
    }

    fn fixed(&self) -> String {
        let (keys, catalogue, log) = (Vec::new(), Catalogue::default(), None);
        let rate_limits = cloudach_edge::access::limits::Limits::default();
        format!("{:?}", Self { keys, rate_limits, catalogue, log, ..self.clone() })
    }
}

/// `127.0.0.1:8080`
pub fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 8080).into()
}

/// The three services' configurations.
pub struct Services {
    pub edge: cloudach_edge::config::Config,
    pub router: cloudach_router::config::Config,
    pub sidecars: Vec<cloudach_sidecar::config::Config>,
}

impl Config {
    /// Splits it into the services' own. They meet at sockets in `dir`, which only this user may enter.
    pub fn services(mut self, dir: &Path) -> Services {
        // A clone remembers together with what it is a clone of: one process, one memory of traces.
        self.tracing.recent_bytes.get_or_insert(RECENT_BYTES);
        let access = self.admin_api.as_ref();
        let access = access.map(|api| AdminAccess { token_sha256: (*api.token_sha256.as_bytes()).into() });
        let router = Address::Unix(dir.join("router.sock"));
        let mut catalogue = self.catalogue;
        for model in self.engines.iter().filter_map(|engine| engine.model.as_ref()) {
            catalogue.models.entry(model.clone()).or_default();
        }
        // Only the edge waits for load balancers; the others follow it.
        let drain = Drain { settle: std::time::Duration::ZERO, ..self.drain.clone() };
        let sidecars = self.engines.into_iter().enumerate().map(|(index, engine)| cloudach_sidecar::config::Config {
            replica: Some(format!("engine-{index}")),
            listen: Address::Unix(dir.join(format!("sidecar-{index}.sock"))),
            advertise: None,
            routers: vec![router.clone()],
            tls: None,
            log: None,
            admin: None,
            admin_api: None,
            model: engine.model,
            managed: engine.managed,
            served_name: engine.served_name,
            engine: engine.engine,
            gpu: engine.gpu,
            limits: engine.limits,
            tracing: self.tracing.clone(),
            drain: drain.clone(),
        });
        Services {
            sidecars: sidecars.collect(),
            router: cloudach_router::config::Config {
                listen: router.clone(),
                admin: self.router_admin,
                tls: None,
                log: None,
                admin_api: access,
                catalogue: Source::Here(catalogue),
                relay: self.relay,
                queue: self.queue,
                placement: self.placement,
                tracing: self.tracing.clone(),
                drain: drain.clone(),
            },
            edge: cloudach_edge::config::Config {
                listen: self.listen,
                admin: self.admin,
                admin_api: self.admin_api,
                routers: vec![router],
                tls: None,
                log: None,
                keys: self.keys,
                issuers: self.issuers,
                rate_limits: self.rate_limits,
                store: self.store,
                trusted_proxies: self.trusted_proxies,
                usage: self.usage,
                idempotency: self.idempotency,
                responses: self.responses,
                files: self.files,
                batches: self.batches,
                conversations: self.conversations,
                isolation: self.isolation,
                limits: self.limits,
                links: self.links,
                stream: self.stream,
                metrics: self.metrics,
                tracing: self.tracing,
                trace_texts: self.trace_texts,
                drain: self.drain,
            },
        }
    }
}

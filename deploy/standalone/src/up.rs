//! `cloudach up`: composes edge, router and sidecars in one process and stops them in order.

use std::{
    env,
    io::{IsTerminal, Write, stderr},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use cloudach_edge::access::keys::{KeyConfig, KeyHash};
use cloudach_router::catalogue::Catalogue;
use cloudach_service::{
    config::{self, ConfigError},
    descriptors, logs,
    reload::{self, Live},
    stop::Stop,
};
use cloudach_sidecar::config::{Dialect, EngineConfig, EngineUrl};
use futures_util::future::join_all;

use crate::{
    admin_token,
    config::{Config, Engine, Services, default_listen},
    progress,
};

/// The trial key's variable.
const KEY_VARIABLE: &str = "CLOUDACH_API_KEY";

/// Where `cloudach top`, `trace`, `fleet` and `models` look where nothing else is said.
const EDGE_ADMIN: u16 = 9080;
const ROUTER_ADMIN: u16 = 9001;

/// Either flags for engines that already run, or a file.
#[derive(Debug, Args)]
pub struct Up {
    /// An engine that already runs, `http://host:port` or `unix:/path`. Repeat it for several replicas.
    #[arg(long = "engine-url", required_unless_present = "config", requires = "model")]
    engine_urls: Vec<EngineUrl>,
    /// The name by which clients ask for the engines' model.
    #[arg(long, conflicts_with = "config")]
    model: Option<String>,
    /// What the engines speak: `vllm` or `llama_cpp`.
    #[arg(long, default_value = "vllm", conflicts_with = "config")]
    dialect: Dialect,
    /// Where clients reach the gateway. [default: 127.0.0.1:8080, or what the file says]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where `cloudach top` and `cloudach trace` look. [default: 127.0.0.1:9080 where nobody has it, or what the file says]
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Where `cloudach top`, `cloudach fleet` and `cloudach models` look. [default: 127.0.0.1:9001 where nobody has it, or what
    /// the file says]
    #[arg(long)]
    router_admin: Option<SocketAddr>,
    /// Take everything from this file (YAML).
    #[arg(long, conflicts_with = "engine_urls")]
    config: Option<PathBuf>,
}

/// Why the gateway could not run.
#[derive(Debug, thiserror::Error)]
enum UpError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} names no engine")]
    NoEngine(PathBuf),
    #[error("cannot make a place for the services to meet: {0}")]
    Place(std::io::Error),
    #[error("cannot keep the admin token: {0}")]
    AdminToken(std::io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("the system gives no random bytes for a key: {0}")]
    Random(#[from] getrandom::Error),
    #[error("edge: {0}")]
    Edge(#[from] cloudach_edge::EdgeError),
    #[error("router: {0}")]
    Router(#[from] cloudach_router::RouterError),
    #[error("sidecar: {0}")]
    Sidecar(#[from] cloudach_sidecar::SidecarError),
}

/// The key that a newcomer uses.
enum TrialKey {
    /// Made for this run.
    Made(String),
    /// From the environment; its owner knows it.
    Given(String),
    /// The file names its own keys.
    None,
}

impl Up {
    /// Runs until a signal.
    pub fn run(self) -> ExitCode {
        // A person watches: progress is shown in words, and the log keeps to what is wrong.
        logs::start_with_default(if stderr().is_terminal() { "warn" } else { "info" });
        descriptors::raise();
        let ended = self.up();
        logs::flush();
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr(), "cloudach up: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn up(self) -> Result<(), UpError> {
        let (listen, admin, router_admin) = (self.listen, self.admin, self.router_admin);
        let (written, mut config) = self.into_config()?;
        logs::usually(config.log.as_ref());
        let key = trial_key(&config)?;
        let trial = match &key {
            TrialKey::Made(key) | TrialKey::Given(key) => Some(KeyConfig::new("trial", KeyHash::of(key))),
            TrialKey::None => None,
        };
        let file = written.map(|(path, text)| (path, text, config.clone()));
        config.admin_api = admin_token::admin_api(&config).map_err(UpError::AdminToken)?;
        let admin_api = config.admin_api.clone();
        // What the command line and this run add to what is written.
        let complete = move |mut config: Config| {
            config.listen = listen.unwrap_or(config.listen);
            config.admin = admin.or(config.admin);
            config.router_admin = router_admin.or(config.router_admin);
            config.keys.extend(trial.clone());
            config.admin_api.clone_from(&admin_api);
            config
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(UpError::Runtime)?;
        let stop = Stop::default();
        let composed = compose(complete(config), key, file, complete, stop.clone());
        runtime.block_on(stop.on_signals(composed)).map_err(UpError::Signals)?
    }

    /// The configuration, and the file that it is from.
    fn into_config(self) -> Result<(Option<(PathBuf, String)>, Config), UpError> {
        match self.config {
            Some(path) => {
                let text = config::text(&path)?;
                let invalid = |reason| ConfigError::Invalid { path: path.clone(), reason };
                let config: Config = config::parse(&text).map_err(invalid)?;
                if config.engines.is_empty() {
                    return Err(UpError::NoEngine(path));
                }
                Ok((Some((path, text)), config))
            }
            None => {
                let mut config = from_flags(self.engine_urls, &self.model.unwrap_or_default(), self.dialect);
                config.admin = self.admin.or_else(|| free(EDGE_ADMIN));
                config.router_admin = self.router_admin.or_else(|| free(ROUTER_ADMIN));
                Ok((None, config))
            }
        }
    }
}

fn from_flags(urls: Vec<EngineUrl>, model: &str, dialect: Dialect) -> Config {
    let engine = |url| Engine {
        model: Some(model.to_owned()),
        managed: None,
        served_name: None,
        engine: EngineConfig::attach(dialect, url),
        gpu: cloudach_sidecar::config::GpuWatch::default(),
        limits: cloudach_sidecar::config::Limits::default(),
    };
    Config {
        listen: default_listen(),
        admin: None,
        admin_api: None,
        router_admin: None,
        log: None,
        keys: Vec::new(),
        issuers: Vec::new(),
        catalogue: Catalogue::default(),
        engines: urls.into_iter().map(engine).collect(),
        rate_limits: cloudach_edge::access::limits::Limits::default(),
        store: cloudach_edge::store::config::StoreConfig::default(),
        trusted_proxies: Vec::new(),
        usage: cloudach_edge::usage::config::UsageConfig::default(),
        idempotency: cloudach_edge::idempotency::config::IdempotencyConfig::default(),
        responses: cloudach_edge::responses::config::ResponsesConfig::default(),
        files: cloudach_edge::files::config::FilesConfig::default(),
        batches: cloudach_edge::batches::config::BatchesConfig::default(),
        conversations: cloudach_edge::conversations::config::ConversationsConfig::default(),
        isolation: cloudach_edge::config::Isolation::default(),
        limits: cloudach_edge::config::Limits::default(),
        links: cloudach_edge::config::Links::default(),
        stream: cloudach_edge::config::Stream::default(),
        metrics: cloudach_edge::metrics::MetricsConfig::default(),
        relay: cloudach_router::config::Relay::default(),
        queue: cloudach_router::config::Queue::default(),
        placement: cloudach_router::config::Placement::default(),
        tracing: cloudach_service::trace::config::Tracing::default(),
        trace_texts: cloudach_edge::texts::config::TraceTexts::default(),
        drain: cloudach_service::stop::Drain::default(),
    }
}

/// A port of this machine, if nobody has it.
fn free(port: u16) -> Option<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => Some(address),
        Err(error) => {
            let _ = writeln!(
                stderr(),
                "no admin address, so `cloudach top` and `cloudach trace` find nothing here: {address}: {error}"
            );
            None
        }
    }
}

fn trial_key(config: &Config) -> Result<TrialKey, UpError> {
    if let Ok(key) = env::var(KEY_VARIABLE)
        && !key.is_empty()
    {
        return Ok(TrialKey::Given(key));
    }
    if !config.keys.is_empty() {
        return Ok(TrialKey::None);
    }
    let random = [getrandom::u64()?, getrandom::u64()?];
    Ok(TrialKey::Made(format!("sk-cloudach-{:016x}{:016x}", random[0], random[1])))
}

/// Runs the three services. They stop in the order of a request's way: edge, router, sidecars.
async fn compose(
    config: Config,
    key: TrialKey,
    file: Option<(PathBuf, String, Config)>,
    complete: impl Fn(Config) -> Config,
    stop: Stop,
) -> Result<(), UpError> {
    let place = tempfile::Builder::new().prefix("cloudach-").tempdir().map_err(UpError::Place)?;
    let model = config.engines.iter().find_map(|engine| engine.model.clone());
    let model = model.or_else(|| config.catalogue.models.keys().next().cloned()).unwrap_or_default();
    let Services { edge, router, sidecars } = config.services(place.path());
    let (stop_edge, stop_router, stop_sidecars) = (stop.separate(), stop.separate(), stop.separate());

    let ((edges, edge), (routers, router)) = (Live::of(edge), Live::of(router));
    let dir = place.path();
    let following = async {
        let Some((path, text, config)) = file else { return std::future::pending().await };
        let (follow, mut live) = reload::follow(path, text, config);
        let hand_on = async {
            loop {
                let Services { edge, router, .. } = complete(Config::clone(&*live.changed().await)).services(dir);
                edges.send_replace(Arc::new(edge));
                routers.send_replace(Arc::new(router));
            }
        };
        tokio::select! {
            never = follow => match never {},
            () = hand_on => {}
        }
    };
    let edge = cloudach_edge::start(edge).await?;
    let catalog = edge.catalog();
    let base_url = format!("http://{}", edge.address().map_err(UpError::Place)?);
    let edge = async {
        edge.run(stop_edge.clone()).await;
        stop_router.ask();
    };
    // A service that ends on its own takes the others with it, the edge first.
    let router = async {
        let ended = cloudach_router::run(router, stop_router.clone()).await;
        stop_edge.ask();
        stop_sidecars.ask();
        ended
    };
    let sidecars = sidecars.into_iter().map(|config| {
        let (stop_edge, stop_sidecars) = (stop_edge.clone(), stop_sidecars.clone());
        Box::pin(async move {
            let ended = cloudach_sidecar::run(config.into(), stop_sidecars).await;
            stop_edge.ask();
            ended
        })
    });
    let services = async { tokio::join!(edge, Box::pin(router), join_all(sidecars)) };
    let welcome = async {
        progress::until_ready(&catalog).await;
        let key = match &key {
            TrialKey::Made(key) => key.as_str(),
            // Its owner knows it, and it is not printed.
            TrialKey::Given(_) => "$CLOUDACH_API_KEY",
            TrialKey::None => "YOUR_KEY",
        };
        progress::print_welcome(&base_url, &model, key);
        std::future::pending::<()>().await;
    };
    tokio::pin!(services, welcome, following);
    let ((), router, sidecars) = tokio::select! {
        ended = &mut services => ended,
        () = stop.asked() => {
            stop_edge.ask();
            services.await
        }
        () = &mut welcome => services.await,
        () = &mut following => services.await,
    };
    router?;
    sidecars.into_iter().collect::<Result<(), _>>().map_err(UpError::from)
}

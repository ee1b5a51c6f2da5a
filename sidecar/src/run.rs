//! Puts a sidecar together, runs it, and takes it apart in order.

use std::{net::SocketAddr, sync::Arc};

use cloudach_proto::{
    DESCRIPTORS, inference,
    session::server::Stopping,
    v1::{Gpu, Hello},
};
use cloudach_service::{
    address::Address,
    admin::{self, AdminError},
    admin_token::AdminAccess,
    grpc::{self, Dial, GrpcError, Listener},
    metrics::Exposition,
    reload::Live,
    stop::{Running, Stop},
    tls::{Certificates, Role, TlsError, TlsMetrics},
    tools,
    trace::{TraceError, Tracer},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tracing::error;

use crate::{
    attach::{Commands, stay_attached},
    config::{Config, InvalidConfig},
    engine::Engine,
    flight::Flights,
    gpu::{self, Gpus},
    keeper::{Patience, keep},
    metrics::Metrics,
    process::EngineProcess,
    readiness,
    sidecar::Sidecar,
    state::{Draining, States},
    supervise,
};

/// Why a sidecar could not run.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// This program cannot own engines.
    #[error(transparent)]
    Unable(#[from] supervise::Unable),
    /// Inference cannot be served.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// The admin port cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Traces cannot be sent as is asked for.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Runs one sidecar until it is asked to stop, and returns when all of it has ended, the engine it started included.
///
/// # Errors
/// When it cannot start: an address in use, a configuration that makes no sense.
pub async fn run(live: Live<Config>, stop: Stop) -> Result<(), SidecarError> {
    let mut config = Config::clone(&live.now());
    config.check()?;
    if config.managed.as_ref().is_some_and(|managed| managed.gpus.is_empty()) {
        let found = gpu::found(&config).await;
        config.managed.iter_mut().for_each(|managed| managed.gpus.clone_from(&found));
    }
    if config.engine.command.is_some() {
        supervise::able()?;
    }
    let listener = Listener::bind(&config.listen).await?;
    let address = config.advertise.clone().unwrap_or_else(|| listener.address().clone());
    let replica = config.replica.clone().unwrap_or_else(|| default_name(listener.address()));
    let running = Running::default();
    let metrics = Arc::new(Metrics::default());
    let more = [("service.instance.id", replica.clone())];
    let tracer = Tracer::start(&config.tracing, "cloudach-sidecar", &more, &metrics.traces, &running)?;
    let sidecar = Arc::new(assemble(&config, replica.clone(), metrics, tracer));

    let mut page = sidecar.metrics.page_of(&sidecar, config.routers.len(), config.limits.max_requests);
    live.metrics().register(&mut page);
    let certificates = match &config.tls {
        Some(tls) => {
            let metrics = TlsMetrics::default();
            metrics.register(&mut page);
            Some(Certificates::open(tls.clone(), Role::Sidecar, metrics, live.metrics().clone())?)
        }
        None => None,
    };
    if let Some(certificates) = &certificates {
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(certificates.clone().follow()));
    }
    running.ready.set(readiness::ENGINE_READY, false);
    if let Some(admin) = config.admin {
        open_admin(admin, config.admin_api, page, &sidecar, &running).await?;
    }
    let (server, health) = grpc::server(DESCRIPTORS)?;
    let stopping =
        Stopping { drain: running.drain.clone(), hand_over: running.hand_over.clone(), kill: running.kill.clone() };
    let services = server.add_service(inference::service(sidecar.clone(), running.requests.clone(), stopping));

    let background = &running.background;
    let kill = &running.kill;
    background.spawn(serve(listener, services, certificates.clone(), stop.clone(), kill.clone()));
    background.spawn(kill.clone().run_until_cancelled_owned(readiness::tell(sidecar.clone(), running.clone(), health)));
    background.spawn(kill.clone().run_until_cancelled_owned(drain_with(
        sidecar.clone(),
        stop.clone(),
        running.clone(),
    )));
    let patience = Patience { startup: config.engine.startup_timeout, hung: config.engine.hung_after };
    let keeping = sidecar.clone();
    background.spawn(kill.clone().run_until_cancelled_owned(async move { keep(&keeping, patience).await }));
    let (owning, end) = (sidecar.clone(), kill.clone());
    background.spawn(async move {
        if let Some(process) = &owning.process {
            process.run(&owning, &end).await;
        }
    });
    background.spawn(kill.clone().run_until_cancelled_owned(gpu::watch(sidecar.clone(), config.clone())));
    let commands = Arc::new(Commands::new(background.clone(), kill.clone()));
    for router in config.routers {
        let hello = Hello {
            replica: replica.clone(),
            address: address.to_string(),
            dialect: config.engine.dialect.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            managed: config.managed.is_some(),
            gpus: config.managed.iter().flat_map(|managed| &managed.gpus).map(placed_gpu).collect(),
            sleeps: config.managed.as_ref().is_some_and(|managed| managed.sleeps),
        };
        let way = Dial::to(&router, certificates.as_ref())?;
        let attached = stay_attached(sidecar.clone(), commands.clone(), router, way, hello);
        background.spawn(kill.clone().run_until_cancelled_owned(attached));
    }

    running.until(&stop, &config.drain).await;
    Ok(())
}

/// Serves until `end`. Without a listener there is no sidecar: when it breaks, the rest is stopped.
async fn serve(
    listener: Listener,
    services: Router,
    certificates: Option<Arc<Certificates>>,
    stop: Stop,
    end: CancellationToken,
) {
    if let Err(error) = listener.serve(services, certificates, end).await {
        error!(%error, "the gRPC server failed");
        stop.ask();
    }
}

fn assemble(config: &Config, replica: String, metrics: Arc<Metrics>, tracer: Tracer) -> Sidecar {
    Sidecar {
        replica,
        managed: config.managed.clone(),
        command: config.engine.command.clone().unwrap_or_default(),
        grace: config.drain.grace,
        engine: Engine::new(config),
        process: EngineProcess::new(&config.engine, config.managed.is_some()),
        gpus: Gpus::default(),
        states: States::new(config.model.clone()),
        flights: Arc::new(Flights::new(config.limits.max_requests, metrics.clone())),
        engine_suspected: Notify::new(),
        broken_off: watch::Sender::default(),
        figures: watch::Sender::default(),
        metrics,
        tracer,
    }
}

fn placed_gpu(gpu: &crate::config::Gpu) -> Gpu {
    Gpu { id: gpu.id.clone(), memory_mib: gpu.memory_mib }
}

/// Unique on this host by its address, and in the fleet by the host's name.
fn default_name(listen: &Address) -> String {
    let host = rustix::system::uname();
    format!("{}-{listen}", host.nodename().to_string_lossy())
}

async fn open_admin(
    address: SocketAddr,
    access: Option<AdminAccess>,
    page: Exposition,
    sidecar: &Sidecar,
    running: &Running,
) -> Result<(), AdminError> {
    let shown = tools::routes(&sidecar.tracer, access.map(|access| access.token_sha256));
    let serving = admin::bind_with(address, running.ready.clone(), page, shown, running.kill.clone()).await?;
    running.background.spawn(serving);
    Ok(())
}

/// Tells routers of a stop as soon as it is wished for, and refuses new work once the settle time is over.
async fn drain_with(sidecar: Arc<Sidecar>, stop: Stop, running: Running) {
    stop.asked().await;
    sidecar.states.leave(Draining::Announced);
    running.drain.cancelled().await;
    sidecar.states.leave(Draining::Refusing);
}

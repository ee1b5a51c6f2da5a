//! The router: owns the catalogue and the fleet, picks a replica for every request and carries its stream.
//!
//! It knows nothing of OpenAI or HTTP: requests and events are those of the contract.

mod admin;
mod attach;
pub mod catalogue;
pub mod config;
pub mod fleet;
pub mod metrics;
mod outliers;
pub mod pick;
pub mod picker;
pub mod placement;
mod queue;
mod relay;
mod reload;
pub mod routes;
mod watch;

use std::sync::Arc;

use cloudach_proto::{
    DESCRIPTORS, inference,
    session::server::Stopping,
    v1::{catalog_server::CatalogServer, fleet_server::FleetServer},
};
use cloudach_service::{
    admin::{AdminError, bind_with},
    grpc::{self, GrpcError, Listener, ServingStatus},
    metrics::Exposition,
    reload::Live,
    stop::{Running, Stop},
    tls::{Certificates, Only, Role, TlsConfig, TlsError, TlsMetrics, config::InvalidTls},
    tools,
    trace::{TraceError, Tracer},
};
use tonic::service::interceptor::InterceptedService;
use tracing::info;

use crate::{
    attach::Attach,
    catalogue::{CatalogueError, Current, Names},
    config::Config,
    fleet::Fleet,
    metrics::{Looked, Metrics},
    picker::Picker,
    placement::{
        conduct::Placement,
        leader::{Leader, LeaderError},
    },
    queue::Queues,
    relay::{Relay, hedges::Hedges},
    reload::Followers,
    watch::Watch,
};

/// Why the router could not run.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Leader(#[from] LeaderError),
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    InvalidTls(#[from] InvalidTls),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Runs a router until `stop`.
///
/// # Errors
/// When the catalogue is unusable or an address cannot be listened on.
pub async fn run(live: Live<Config>, stop: Stop) -> Result<(), RouterError> {
    let config = Config::clone(&live.now());
    let (names, text) = Names::load_text(&config.catalogue)?;
    let current = Current::new(names.clone());
    let fleet = Arc::new(Fleet::default());
    // Without randomness prompts can be made that are taken for one another: a worse pick, and no more.
    let picker =
        Arc::new(Picker::new(current.clone(), fleet.clone(), getrandom::u64().unwrap_or_default(), config.relay.eject));
    let models = names.models().map(|(model, _)| model);
    let queues = Arc::new(Queues::new(models, picker.clone(), config.queue));
    let (metrics, mut page) = Metrics::new(picker.outliers());
    live.metrics().register(&mut page);
    let running = Running::default();
    let certificates = match &config.tls {
        Some(tls) => Some(certificates(tls, &live, &mut page, &running)?),
        None => None,
    };
    let tracer = Tracer::start(&config.tracing, "cloudach-router", &[], &metrics.traces, &running)?;
    let leader = Leader::of(&config.placement)?;
    let rules = config.placement.rules();
    let placement = Arc::new(Placement::new(&names, rules, config.placement.settle, metrics.clone()));

    let listener = Listener::bind(&config.listen).await?;
    let leads = leader.begin(&running);
    if let Some(address) = config.admin {
        let shown = admin::routes(current.clone(), fleet.clone(), placement.clone(), queues.clone());
        let token = config.admin_api.map(|access| access.token_sha256);
        let shown = shown.merge(tools::routes(&tracer, token));
        let (names, fleet, placement) = (current.clone(), fleet.clone(), placement.clone());
        let (queues, leads) = (queues.clone(), leads.clone());
        metrics::register_fleet(&mut page, Looked { names, fleet, queues, placement, leads });
        let admin = bind_with(address, running.ready.clone(), page, shown, running.kill.clone()).await?;
        running.background.spawn(admin);
    }
    info!(models = names.models().count(), "catalogue loaded");

    let serving = queues.clone();
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(async move { serving.serve().await }));
    let conducting = placement.clone().conduct(fleet.clone(), leads);
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(conducting));
    let models = names.models().map(|(model, _)| model);
    let hedges = Arc::new(Hedges::new(models, config.relay.hedge, metrics.clone()));
    let followers = Followers {
        names: current.clone(),
        queues: queues.clone(),
        hedges: hedges.clone(),
        placement: placement.clone(),
        fleet: fleet.clone(),
    };
    let following = reload::follow(live, text, followers);
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(following));
    let relay = Relay {
        names: current.clone(),
        fleet: fleet.clone(),
        placement: placement.clone(),
        config: config.relay,
        metrics,
        picker,
        queues,
        hedges,
        tracer,
    };
    let stopping =
        Stopping { drain: running.drain.clone(), hand_over: running.hand_over.clone(), kill: running.kill.clone() };
    let (server, health) = grpc::server(DESCRIPTORS)?;
    let watch =
        Watch { names: current, fleet: fleet.clone(), placement: placement.clone(), kill: running.kill.clone() };
    let attach = Attach { fleet, placement, running: running.clone(), certificates: certificates.clone() };
    let inference = inference::service(Arc::new(relay), running.requests.clone(), stopping);
    let only = |role| Only::new(role, certificates.clone());
    let services = server
        .add_service(InterceptedService::new(inference, only(Role::Edge)))
        .add_service(CatalogServer::with_interceptor(watch, only(Role::Edge)))
        .add_service(FleetServer::with_interceptor(attach, only(Role::Sidecar)));
    health.set_service_status(inference::SERVICE_NAME, ServingStatus::Serving).await;

    let (asked, drain) = (stop.clone(), running.kill.clone());
    running.background.spawn(drain.run_until_cancelled_owned(async move {
        asked.asked().await;
        health.set_service_status(inference::SERVICE_NAME, ServingStatus::NotServing).await;
    }));

    let serving = listener.serve(services, certificates, running.kill.clone());
    let stopped = running.until(&stop, &config.drain);
    let (served, ()) = tokio::join!(serving, stopped);
    Ok(served?)
}

/// The certificates towards edges and sidecars, which are followed.
fn certificates(
    tls: &TlsConfig,
    live: &Live<Config>,
    page: &mut Exposition,
    running: &Running,
) -> Result<Arc<Certificates>, RouterError> {
    tls.check()?;
    let metrics = TlsMetrics::default();
    metrics.register(page);
    let certificates = Certificates::open(tls.clone(), Role::Router, metrics, live.metrics().clone())?;
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(certificates.clone().follow()));
    Ok(certificates)
}

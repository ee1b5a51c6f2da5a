//! The router: owns the catalogue and the fleet, picks a replica for every request and carries its stream.
//!
//! It knows nothing of OpenAI or HTTP: requests and events are those of the contract.

mod admin;
mod attach;
pub mod catalogue;
pub mod config;
mod fleet;
mod metrics;
mod outliers;
mod pick;
mod picker;
mod placement;
mod queue;
mod relay;
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
    stop::{Running, Stop},
    tools,
    trace::{TraceError, Tracer},
};
use tracing::info;

use crate::{
    attach::Attach,
    catalogue::{CatalogueError, Names},
    config::Config,
    fleet::Fleet,
    metrics::Metrics,
    picker::Picker,
    placement::{
        conduct::Placement,
        leader::{Leader, LeaderError},
    },
    queue::Queues,
    relay::{Relay, hedges::Hedges},
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
}

/// Runs a router until `stop`.
///
/// # Errors
/// When the catalogue is unusable or an address cannot be listened on.
pub async fn run(config: Config, stop: Stop) -> Result<(), RouterError> {
    let names = Names::load(&config.catalogue)?;
    let fleet = Arc::new(Fleet::default());
    // Without randomness prompts can be made that are taken for one another: a worse pick, and no more.
    let picker =
        Arc::new(Picker::new(names.clone(), fleet.clone(), getrandom::u64().unwrap_or_default(), config.relay.eject));
    let models = names.models().map(|(model, _)| model);
    let queues = Arc::new(Queues::new(models, picker.clone(), config.queue));
    let (metrics, registry) = Metrics::new(fleet.clone(), queues.clone(), picker.outliers());
    let running = Running::default();
    let tracer = Tracer::start(&config.tracing, "cloudach-router", &[], &metrics.traces, &running)?;
    let leader = Leader::of(&config.placement)?;
    let rules = config.placement.rules();
    let placement = Arc::new(Placement::new(&names, rules, config.placement.settle, metrics.clone()));

    let listener = Listener::bind(&config.listen).await?;
    if let Some(address) = config.admin {
        let shown = admin::routes(names.clone(), fleet.clone(), placement.clone(), queues.clone());
        let token = config.admin_api.map(|access| access.token_sha256);
        let shown = shown.merge(tools::routes(&tracer, token));
        let admin = bind_with(address, running.ready.clone(), registry, shown, running.kill.clone()).await?;
        running.background.spawn(admin);
    }
    info!(models = names.models().count(), "catalogue loaded");

    let serving = queues.clone();
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(async move { serving.serve().await }));
    let conducting = placement.clone().conduct(fleet.clone(), leader.begin(&running));
    running.background.spawn(running.kill.clone().run_until_cancelled_owned(conducting));
    let models = names.models().map(|(model, _)| model);
    let hedges = Hedges::new(models, config.relay.hedge, metrics.clone());
    let relay = Relay {
        names: names.clone(),
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
    let services = server
        .add_service(inference::service(Arc::new(relay), running.requests.clone(), stopping))
        .add_service(CatalogServer::new(Watch {
            names,
            fleet: fleet.clone(),
            placement: placement.clone(),
            kill: running.kill.clone(),
        }))
        .add_service(FleetServer::new(Attach { fleet, placement, running: running.clone() }));
    health.set_service_status(inference::SERVICE_NAME, ServingStatus::Serving).await;

    let (asked, drain) = (stop.clone(), running.kill.clone());
    running.background.spawn(drain.run_until_cancelled_owned(async move {
        asked.asked().await;
        health.set_service_status(inference::SERVICE_NAME, ServingStatus::NotServing).await;
    }));

    let serving = listener.serve(services, running.kill.clone());
    let stopped = running.until(&stop, &config.drain);
    let (served, ()) = tokio::join!(serving, stopped);
    Ok(served?)
}

//! What the parts of one running sidecar share.

use std::{sync::Arc, time::Duration};

use cloudach_service::trace::Tracer;
use tokio::sync::{Notify, watch};

use crate::{
    config::Managed,
    engine::{Engine, Figures},
    flight::Flights,
    gpu::Gpus,
    metrics::Metrics,
    process::EngineProcess,
    state::States,
};

/// One sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    /// This replica's name in the fleet.
    pub(crate) replica: String,
    /// What routers may load, when this sidecar is managed,
    pub(crate) managed: Option<Managed>,
    /// and the engine's command for it.
    pub(crate) command: Vec<String>,
    /// How long requests may run on when their model is unloaded.
    pub(crate) grace: Duration,
    pub(crate) engine: Engine,
    /// The engine's process, when this sidecar owns it.
    pub(crate) process: Option<EngineProcess>,
    /// What it works on.
    pub(crate) gpus: Gpus,
    pub(crate) states: States,
    pub(crate) flights: Arc<Flights>,
    /// Rung when a request found the engine gone.
    pub(crate) engine_suspected: Notify,
    /// Changes when the engine hangs: whatever runs in it is lost.
    pub(crate) hung: watch::Sender<u64>,
    /// What the engine last said about its load.
    pub(crate) figures: watch::Sender<Figures>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Tracer,
}

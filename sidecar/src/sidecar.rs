//! What the parts of one running sidecar share.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    engine::{Engine, Figures},
    flight::Flights,
    metrics::Metrics,
    process::EngineProcess,
    state::States,
};

/// One sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    /// This replica's name in the fleet.
    pub(crate) replica: String,
    /// The catalogue's name of the model.
    pub(crate) model: String,
    pub(crate) engine: Engine,
    /// The engine's process, when this sidecar owns it.
    pub(crate) process: Option<EngineProcess>,
    pub(crate) states: States,
    pub(crate) flights: Arc<Flights>,
    /// Adapters that were loaded into this engine. Bounded by what the engine accepts.
    pub(crate) adapters: Mutex<HashSet<String>>,
    /// Rung when a request found the engine gone.
    pub(crate) engine_suspected: Notify,
    /// What the engine last said about its load.
    pub(crate) figures: watch::Sender<Figures>,
    pub(crate) metrics: Arc<Metrics>,
}

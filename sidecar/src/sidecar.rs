//! What the parts of one running sidecar share.

use std::{sync::Arc, time::Duration};

use cloudach_proto::v1::{ErrorCode, Failed};
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

/// Why everything that runs in the engine is over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum BrokenOff {
    /// The engine hangs: nothing will come of it.
    #[default]
    Hung,
    /// The model is unloaded, and they have had their time.
    Unloaded,
}

impl BrokenOff {
    fn failed(self) -> Failed {
        match self {
            Self::Hung => Failed::retryable(ErrorCode::ReplicaLost, "the engine was lost: it hangs"),
            Self::Unloaded => Failed::retryable(ErrorCode::ShuttingDown, "the model is unloaded here; try another"),
        }
    }
}

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
    /// Told when whatever runs in the engine is over.
    pub(crate) broken_off: watch::Sender<BrokenOff>,
    /// What the engine last said about its load.
    pub(crate) figures: watch::Sender<Figures>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Tracer,
}

impl Sidecar {
    /// Comes when everything is broken off that is in the engine from now on.
    pub(crate) fn breaks_off(&self) -> impl Future<Output = Failed> + use<> {
        let mut broken_off = self.broken_off.subscribe();
        async move {
            if broken_off.changed().await.is_err() {
                // The sidecar has gone, and with it whoever waits for this.
                std::future::pending::<()>().await;
            }
            let why = *broken_off.borrow();
            why.failed()
        }
    }
}

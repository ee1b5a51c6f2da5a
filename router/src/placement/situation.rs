//! What the planner looks at: models, replicas, needs and troubles at one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    decision::{Action, Decision},
    need::Need,
    spec::Spec,
    troubles::Troubles,
};

/// Time since the router started.
pub type Moment = Duration;

/// Everything that a plan is made from.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// The models that have a place in the catalogue.
    pub models: BTreeMap<String, Spec>,
    pub replicas: BTreeMap<String, Replica>,
    pub needs: BTreeMap<String, Need>,
    pub troubles: Troubles,
    pub now: Moment,
}

/// A sidecar that is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    pub dialect: String,
    /// It takes commands: it is managed, and is not about to stop.
    pub obeys: bool,
    /// Its engine can sleep.
    pub sleeps: bool,
    pub gpus: Vec<Gpu>,
    pub holds: Option<Holding>,
    /// Requests that it has.
    pub requests: u32,
    /// A command is under way; it gets no other.
    pub busy: bool,
}

/// A GPU. Sidecars that name the same one share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    pub id: String,
    pub memory_mib: u64,
}

/// The model that a replica has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub model: String,
    pub phase: Phase,
    /// Since when it is in this phase.
    pub since: Moment,
    pub adapters: BTreeSet<String>,
}

/// What becomes of the model. What was ordered counts as begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Ready,
    Waking,
    Loading,
    Draining,
    FallingAsleep,
    Sleeping,
    Unloading,
    /// Unloaded out of its sleep.
    UnloadingAsleep,
    Failed,
}

impl Situation {
    /// Takes what was ordered as begun: the replica is busy with it.
    pub fn begin(&mut self, decision: &Decision) {
        let Some(replica) = self.replicas.get_mut(&decision.replica) else { return };
        replica.busy = true;
        let held = replica.holds.take().filter(|held| held.model == decision.model);
        let phase = match (&decision.action, &held) {
            (Action::Load, Some(Holding { phase: Phase::Draining, .. })) => Phase::Ready,
            (Action::Load, _) => Phase::Loading,
            (Action::Wake, _) => Phase::Waking,
            (Action::Sleep, _) => Phase::FallingAsleep,
            (Action::Drain, _) => Phase::Draining,
            (Action::Unload, Some(Holding { phase: Phase::Sleeping, .. })) => Phase::UnloadingAsleep,
            (Action::Unload, _) => Phase::Unloading,
            (Action::LoadAdapter { .. } | Action::UnloadAdapter { .. }, _) => Phase::Ready,
        };
        let since = held.as_ref().filter(|held| held.phase == phase).map_or(self.now, |held| held.since);
        let adapters = held.map(|held| held.adapters).unwrap_or_default();
        replica.holds = Some(Holding { model: decision.model.clone(), phase, since, adapters });
    }
}

impl Phase {
    /// It answers requests, or will.
    pub fn is_awake(self) -> bool {
        matches!(self, Self::Ready | Self::Waking | Self::Loading)
    }
}

impl Replica {
    pub fn phase_of(&self, model: &str) -> Option<Phase> {
        self.holds.as_ref().filter(|holding| holding.model == model).map(|holding| holding.phase)
    }

    /// Nothing is loaded here, and nothing occupies memory.
    pub fn is_empty(&self) -> bool {
        self.holds.as_ref().is_none_or(|holding| holding.phase == Phase::Failed)
    }

    /// Whether the model could run here, were nothing else there.
    pub fn fits(&self, spec: &Spec) -> bool {
        spec.fits(&self.dialect, self.gpus.iter().map(|gpu| gpu.memory_mib))
    }

    /// The GPUs that the model takes here.
    pub fn first_gpus(&self, spec: &Spec) -> &[Gpu] {
        &self.gpus[..self.gpus.len().min(spec.gpus as usize)]
    }
}

//! The memory of the fleet's GPUs, and who has how much of it.

use std::collections::BTreeMap;

use super::{
    situation::{Gpu, Phase, Replica, Situation},
    spec::Spec,
};

/// What is free on each GPU, in MiB.
#[derive(Debug, Clone, Default)]
pub struct Room {
    free: BTreeMap<String, u64>,
    /// What was given out beyond what there is: a GPU that is over its memory has to lose this first.
    over: BTreeMap<String, u64>,
}

/// What a replica occupies: so much of each of these GPUs.
#[derive(Debug, Clone, Copy)]
pub struct Footprint<'a> {
    pub gpus: &'a [Gpu],
    pub mib: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Each(u64),
    /// Nobody knows how much, so it is all.
    Whole,
}

impl Room {
    /// The room that is left by what replicas occupy, where `phase` says what becomes of them.
    pub fn of(situation: &Situation, becomes: impl Fn(Phase) -> Option<Phase>) -> Self {
        let mut room = Self::default();
        for gpu in situation.replicas.values().flat_map(|replica| &replica.gpus) {
            let free = room.free.entry(gpu.id.clone()).or_insert(gpu.memory_mib);
            // Two sidecars that differ on the same GPU: the smaller figure is safe.
            *free = gpu.memory_mib.min(*free);
        }
        for replica in situation.replicas.values() {
            let Some(holding) = &replica.holds else { continue };
            if let Some(phase) = becomes(holding.phase) {
                room.take(footprint(replica, &holding.model, phase, &situation.models));
            }
        }
        room
    }

    /// Whether so much is free on each of these.
    pub fn has(&self, gpus: &[Gpu], mib: u64) -> bool {
        gpus.iter().all(|gpu| self.free.get(&gpu.id).is_some_and(|free| *free >= mib))
    }

    pub fn take(&mut self, of: Footprint<'_>) {
        for gpu in of.gpus {
            let wanted = of.mib.of(gpu);
            let free = self.free.entry(gpu.id.clone()).or_default();
            let taken = wanted.min(*free);
            *free -= taken;
            *self.over.entry(gpu.id.clone()).or_default() += wanted - taken;
        }
    }

    pub fn give(&mut self, of: Footprint<'_>) {
        for gpu in of.gpus {
            let given = of.mib.of(gpu);
            let over = self.over.entry(gpu.id.clone()).or_default();
            let paid = given.min(*over);
            *over -= paid;
            *self.free.entry(gpu.id.clone()).or_default() += given - paid;
        }
    }
}

impl Amount {
    fn of(self, gpu: &Gpu) -> u64 {
        match self {
            Self::Each(mib) => mib,
            Self::Whole => gpu.memory_mib,
        }
    }
}

/// What `replica` occupies with `model` in this phase.
pub fn footprint<'a>(
    replica: &'a Replica,
    model: &str,
    phase: Phase,
    models: &BTreeMap<String, Spec>,
) -> Footprint<'a> {
    match (models.get(model), phase) {
        (_, Phase::Failed) => Footprint { gpus: &[], mib: Amount::Each(0) },
        (Some(spec), Phase::Sleeping | Phase::UnloadingAsleep) => {
            Footprint { gpus: replica.first_gpus(spec), mib: Amount::Each(spec.asleep()) }
        }
        (Some(spec), _) => Footprint { gpus: replica.first_gpus(spec), mib: Amount::Each(spec.memory_mib) },
        (None, _) => Footprint { gpus: &replica.gpus, mib: Amount::Whole },
    }
}

/// What everything occupies that is there now.
pub fn now(phase: Phase) -> Option<Phase> {
    Some(phase)
}

/// What it will occupy once what is under way has come to its end.
pub fn later(phase: Phase) -> Option<Phase> {
    match phase {
        Phase::Draining | Phase::Unloading | Phase::UnloadingAsleep | Phase::Failed => None,
        Phase::FallingAsleep => Some(Phase::Sleeping),
        phase => Some(phase),
    }
}

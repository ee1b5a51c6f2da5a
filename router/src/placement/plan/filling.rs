//! What is done so that a model gets a replica that it lacks, the quickest first.

use std::collections::BTreeSet;

use super::Planner;
use crate::placement::{
    decision::Action,
    need::{Need, Rank},
    room::{self, Room, footprint},
    situation::{Phase, Replica},
    spec::Spec,
    troubles::What,
};

/// A replica that a model lacks.
pub(super) struct Shortage<'a> {
    pub(super) model: &'a str,
    pub(super) spec: &'a Spec,
    pub(super) need: &'a Need,
    pub(super) rank: Rank,
    pub(super) reason: String,
}

impl<'a> Planner<'a> {
    pub(super) fn fill_shortages(&mut self) {
        let mut shortages = Vec::new();
        for (model, spec) in &self.at.models {
            let need = self.need(model);
            for number in self.awake(model)..need.wanted(spec) {
                let rank = need.rank(number, spec, self.rules, self.at.now);
                let reason = match rank {
                    Rank::Minimum => format!("at least {} of it are to be awake", spec.min),
                    _ if number == 0 => "a client asks for it".to_owned(),
                    _ => format!("its requests need {} replicas", need.now),
                };
                shortages.push(Shortage { model, spec, need, rank, reason });
            }
        }
        // The neediest first; among equals who has waited longest.
        let waited = |shortage: &Shortage<'_>| shortage.need.unmet_since.unwrap_or(self.at.now);
        shortages.sort_by(|a, b| b.rank.cmp(&a.rank).then(waited(a).cmp(&waited(b))).then(a.model.cmp(b.model)));
        // Where one replica of a model finds no place, no other does.
        let mut stuck = BTreeSet::new();
        for shortage in &shortages {
            if !stuck.contains(shortage.model) && !self.fill(shortage) {
                stuck.insert(shortage.model);
            }
        }
    }

    /// Does what brings the replica closer, the quickest first.
    pub(super) fn fill(&mut self, wanted: &Shortage<'a>) -> bool {
        self.take_back(wanted)
            || self.wake(wanted)
            || self.load(wanted)
            || self.wait_for_room(wanted)
            || self.make_room(wanted)
    }

    /// A replica that is being drained has all it needs.
    pub(super) fn take_back(&mut self, wanted: &Shortage<'a>) -> bool {
        let found = self.replicas().find(|(name, replica)| {
            replica.phase_of(wanted.model) == Some(Phase::Draining)
                && self.commandable(name, replica)
                && !self.promised.contains(name)
                && !self.blocked(name, &What::Load(wanted.model.to_owned()))
                // It has its room now, and was to give it to another.
                && self.later.has(replica.first_gpus(wanted.spec), wanted.spec.memory_mib)
        });
        let Some((name, replica)) = found else { return false };
        self.later.take(footprint(replica, wanted.model, Phase::Ready, &self.at.models));
        self.decide(name, wanted.model, Action::Load, format!("taken back: {}", wanted.reason));
        true
    }

    pub(super) fn wake(&mut self, wanted: &Shortage<'a>) -> bool {
        let rise = wanted.spec.memory_mib - wanted.spec.asleep();
        let found = self.sleeping(wanted).find(|(_, replica)| {
            let gpus = replica.first_gpus(wanted.spec);
            self.room.has(gpus, rise) && self.later.has(gpus, rise)
        });
        let Some((name, replica)) = found else { return false };
        self.rise(replica, wanted, |planner| &mut planner.room);
        self.rise(replica, wanted, |planner| &mut planner.later);
        self.decide(name, wanted.model, Action::Wake, wanted.reason.clone());
        true
    }

    pub(super) fn load(&mut self, wanted: &Shortage<'a>) -> bool {
        let found = self
            .replicas()
            .filter(|(name, replica)| {
                let gpus = replica.first_gpus(wanted.spec);
                self.commandable(name, replica)
                    && replica.is_empty()
                    && self.may_load(name, replica, wanted)
                    && self.room.has(gpus, wanted.spec.memory_mib)
                    && self.later.has(gpus, wanted.spec.memory_mib)
            })
            .min_by_key(|(name, replica)| (waste(replica), *name));
        let Some((name, replica)) = found else { return false };
        let taken = footprint(replica, wanted.model, Phase::Loading, &self.at.models);
        self.room.take(taken);
        self.later.take(taken);
        self.decide(name, wanted.model, Action::Load, wanted.reason.clone());
        true
    }

    /// Something is on its way out, and the model has its place then.
    pub(super) fn wait_for_room(&mut self, wanted: &Shortage<'a>) -> bool {
        let rise = wanted.spec.memory_mib - wanted.spec.asleep();
        let asleep = self.sleeping(wanted).find(|(_, replica)| self.later.has(replica.first_gpus(wanted.spec), rise));
        if let Some((name, replica)) = asleep {
            self.promised.insert(name);
            self.rise(replica, wanted, |planner| &mut planner.later);
            return true;
        }
        let freed = self
            .replicas()
            .filter(|(name, replica)| {
                let leaves = replica.holds.as_ref().is_none_or(|holding| room::later(holding.phase).is_none());
                let goes = self.decisions.iter().any(|decision| decision.replica == *name && decision.action.ends());
                replica.obeys
                    && (goes || leaves && !self.decided.contains(name))
                    && self.may_load(name, replica, wanted)
                    && self.later.has(replica.first_gpus(wanted.spec), wanted.spec.memory_mib)
            })
            .min_by_key(|(name, replica)| (waste(replica), *name));
        let Some((name, replica)) = freed else { return false };
        self.promised.insert(name);
        self.later.take(footprint(replica, wanted.model, Phase::Loading, &self.at.models));
        true
    }

    /// Sleeping replicas of the model that may be woken.
    pub(super) fn sleeping(&self, wanted: &Shortage<'a>) -> impl Iterator<Item = (&'a str, &'a Replica)> {
        self.replicas().filter(|(name, replica)| {
            replica.phase_of(wanted.model) == Some(Phase::Sleeping)
                && self.commandable(name, replica)
                && !self.promised.contains(name)
                && !self.blocked(name, &What::Wake)
        })
    }

    /// Whether the model could be loaded there, were there room.
    pub(super) fn may_load(&self, name: &str, replica: &Replica, wanted: &Shortage<'_>) -> bool {
        replica.fits(wanted.spec)
            && !self.promised.contains(name)
            && !self.blocked(name, &What::Load(wanted.model.to_owned()))
    }

    /// The model takes awake what it took asleep and more.
    pub(super) fn rise(&mut self, replica: &'a Replica, wanted: &Shortage<'a>, room: impl Fn(&mut Self) -> &mut Room) {
        let models = &self.at.models;
        room(self).give(footprint(replica, wanted.model, Phase::Sleeping, models));
        room(self).take(footprint(replica, wanted.model, Phase::Waking, models));
    }
}

/// How much more than the model needs would be occupied: small models go where big ones cannot.
pub(super) fn waste(replica: &Replica) -> (usize, u64) {
    (replica.gpus.len(), replica.gpus.iter().map(|gpu| gpu.memory_mib).max().unwrap_or(0))
}

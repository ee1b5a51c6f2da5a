//! Who has to go so that a model that is needed more finds room.

use super::{
    Planner,
    filling::{Shortage, waste},
};
use crate::placement::{
    need::Rank,
    room::footprint,
    situation::{Holding, Phase, Replica},
    troubles::What,
};

/// A replica that has to let go of its model.
struct Victim<'a> {
    name: &'a str,
    replica: &'a Replica,
    holding: &'a Holding,
    /// It is put to sleep instead of unloaded.
    softly: bool,
}

impl<'a> Planner<'a> {
    /// Begins to free the place that costs the least, and promises it to the model. False: there is none.
    pub(super) fn make_room(&mut self, wanted: &Shortage<'a>) -> bool {
        // A model that fails to load is given no one's place.
        if self.at.troubles.troubled(wanted.model, self.at.now) {
            return false;
        }
        let cheapest = self
            .replicas()
            .filter_map(|(name, replica)| Some((name, replica, self.victims(name, replica, wanted)?)))
            .min_by_key(|(name, replica, victims)| {
                let neediest = victims.iter().map(|victim| self.rank(victim.name)).max();
                (neediest, victims.iter().filter(|victim| !victim.softly).count(), victims.len(), waste(replica), *name)
            });
        let Some((name, replica, victims)) = cheapest else { return false };
        for victim in victims {
            let reason = format!("makes room for {}: {}", wanted.model, wanted.reason);
            self.release(victim.name, victim.replica, victim.holding, victim.softly, reason);
        }
        self.promised.insert(name);
        if self.wakes(name, replica, wanted) {
            self.rise(replica, wanted, |planner| &mut planner.later);
        } else {
            self.later.take(footprint(replica, wanted.model, Phase::Loading, &self.at.models));
        }
        true
    }

    /// Who has to go for the model to run on `replica`. `None`: it cannot.
    fn victims(&self, name: &'a str, replica: &'a Replica, wanted: &Shortage<'a>) -> Option<Vec<Victim<'a>>> {
        if !self.commandable(name, replica) || !self.may_load(name, replica, wanted) {
            return None;
        }
        let models = &self.at.models;
        let mut room = self.later.clone();
        let mut first = Vec::new();
        let wakes = self.wakes(name, replica, wanted);
        if let Some(holding) = replica.holds.as_ref().filter(|holding| holding.phase != Phase::Failed) {
            // Its own model awake is no room for another of the same.
            if !wakes {
                let own_sleeper = holding.model == wanted.model && holding.phase == Phase::Sleeping;
                if holding.model == wanted.model && !own_sleeper || !self.gives_way(name, replica, holding, wanted) {
                    return None;
                }
                first.push(Victim { name, replica, holding, softly: false });
            }
            room.give(footprint(replica, &holding.model, holding.phase, models));
        }
        let gpus = replica.first_gpus(wanted.spec);
        let mut sharing: Vec<_> = self
            .replicas()
            .filter(|(other, sharing)| {
                *other != name && sharing.gpus.iter().any(|gpu| gpus.iter().any(|wanted| wanted.id == gpu.id))
            })
            .filter_map(|(other, sharing)| Some((other, sharing, sharing.holds.as_ref()?)))
            .filter(|(other, sharing, holding)| self.gives_way(other, sharing, holding, wanted))
            .collect();
        sharing.sort_by_key(|(other, ..)| (self.rank(other), *other));
        [true, false].into_iter().find_map(|softly| {
            let mut room = room.clone();
            let mut victims = Vec::new();
            for (name, replica, holding) in &sharing {
                if room.has(gpus, wanted.spec.memory_mib) {
                    break;
                }
                let softly = softly && self.can_sleep(name, replica) && replica.requests == 0;
                if softly && holding.phase == Phase::Sleeping {
                    continue;
                }
                room.give(footprint(replica, &holding.model, holding.phase, models));
                if softly && holding.phase == Phase::Ready {
                    room.take(footprint(replica, &holding.model, Phase::Sleeping, models));
                }
                let softly = softly && holding.phase == Phase::Ready;
                victims.push(Victim { name, replica, holding, softly });
            }
            let enough = room.has(gpus, wanted.spec.memory_mib);
            enough.then(|| {
                let own = first.iter().map(|own| Victim { ..*own });
                own.chain(victims).collect()
            })
        })
    }

    /// The model sleeps there, and can be woken.
    fn wakes(&self, name: &str, replica: &Replica, wanted: &Shortage<'_>) -> bool {
        replica.phase_of(wanted.model) == Some(Phase::Sleeping) && !self.blocked(name, &What::Wake)
    }

    /// Whether what `name` holds may have to go for the model that is wanted.
    fn gives_way(&self, name: &str, replica: &Replica, holding: &Holding, wanted: &Shortage<'_>) -> bool {
        if !self.commandable(name, replica) || self.promised.contains(name) || self.blocked(name, &What::Release) {
            return false;
        }
        let rank = self.rank(name);
        let now = self.at.now;
        let settled = match holding.phase {
            Phase::Sleeping => true,
            Phase::Ready | Phase::Loading => now.saturating_sub(holding.since) >= self.rules.hold,
            _ => false,
        };
        let waited = || wanted.need.unmet_since.is_some_and(|since| now.saturating_sub(since) >= self.rules.hold);
        settled && rank < wanted.rank && (rank < Rank::Held || waited())
    }

    /// How much what `name` holds is needed as it is. What sleeps serves nobody.
    fn rank(&self, name: &str) -> Rank {
        let holding = self.at.replicas.get(name).and_then(|replica| replica.holds.as_ref());
        if holding.is_none_or(|holding| holding.phase == Phase::Sleeping) {
            return Rank::Idle;
        }
        self.standing.get(name).map_or(Rank::Idle, |(_, rank)| *rank)
    }
}

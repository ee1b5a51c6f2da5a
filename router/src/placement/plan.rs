//! The planner: a pure function from what is there and what is needed to what is to be done now.
//!
//! It is asked again and again, and each time starts from what it sees: a plan is never remembered. What it starts is
//! counted as begun the next time, so that asking twice gives nothing twice. Nothing is loaded into room that is still
//! occupied; who has to go for it goes first. `docs/decisions/0016-placement-by-rank.md` says which rules there are, and why.

mod making_room;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tables;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    decision::{Action, Decision},
    need::{Need, Rank},
    room::{self, Room, footprint},
    situation::{Holding, Moment, Phase, Replica, Situation},
    spec::Spec,
    troubles::What,
};

/// How patient the planner is: see the configuration's `placement`.
#[derive(Debug, Clone)]
pub struct Rules {
    pub hold: Duration,
    pub drain: Duration,
    pub remembered: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        crate::config::Placement::default().rules()
    }
}

/// What is to be done now, each replica at most one thing.
pub fn plan(situation: &Situation, rules: &Rules) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = Vec::new();
    let mut begun = situation.clone();
    // What is decided can change what else is to be done. Each round makes a replica busy at least, or drain; what drains
    // is looked at again, and is busy after that.
    loop {
        let more = decide(&begun, rules);
        if more.is_empty() {
            return decisions;
        }
        for decision in more {
            begun.begin(&decision);
            let earlier = decisions.iter().position(|earlier| earlier.replica == decision.replica);
            let earlier = earlier.map(|index| decisions.remove(index));
            if let Some(replica) = begun.replicas.get_mut(&decision.replica) {
                replica.busy = earlier.is_some() || decision.action != Action::Drain;
            }
            // What was to be drained and is needed after all stays as it is.
            if earlier.is_none() || decision.action != Action::Load {
                decisions.push(decision);
            }
        }
    }
}

/// What is to be done in one round.
fn decide(situation: &Situation, rules: &Rules) -> Vec<Decision> {
    let mut planner = Planner::new(situation, rules);
    planner.end_what_has_no_place();
    planner.fill_shortages();
    planner.end_what_is_too_much();
    planner.let_go_of_the_idle();
    planner.finish_drains();
    planner.tend_adapters();
    planner.decisions
}

struct Planner<'a> {
    at: &'a Situation,
    rules: &'a Rules,
    /// What is free now, less what this plan has given out.
    room: Room,
    /// What will be free once all that is under way has come to its end, less what this plan has promised.
    later: Room,
    /// Which of its model's replicas each is, from 0, and how much it is needed.
    standing: BTreeMap<&'a str, (u32, Rank)>,
    /// Replicas that this plan has decided on,
    decided: BTreeSet<&'a str>,
    /// or promised to a model that waits for them to be free.
    promised: BTreeSet<&'a str>,
    decisions: Vec<Decision>,
}

/// A replica that a model lacks.
struct Shortage<'a> {
    model: &'a str,
    spec: &'a Spec,
    need: &'a Need,
    rank: Rank,
    reason: String,
}

static NO_NEED: Need = Need { now: 0, last: Vec::new(), unmet_since: None };

impl<'a> Planner<'a> {
    fn new(at: &'a Situation, rules: &'a Rules) -> Self {
        let mut planner = Self {
            at,
            rules,
            room: Room::of(at, room::now),
            later: Room::of(at, room::later),
            standing: BTreeMap::new(),
            decided: BTreeSet::new(),
            promised: BTreeSet::new(),
            decisions: Vec::new(),
        };
        for (model, spec) in &at.models {
            for (number, (name, _)) in (0..).zip(planner.held(model)) {
                let rank = planner.need(model).rank(number, spec, rules, at.now);
                planner.standing.insert(name, (number, rank));
            }
        }
        planner
    }

    fn need(&self, model: &str) -> &'a Need {
        self.at.needs.get(model).unwrap_or(&NO_NEED)
    }

    /// The model's replicas that are awake, then those that sleep; the ones that are most worth keeping first.
    fn held(&self, model: &str) -> Vec<(&'a str, &'a Replica)> {
        let order = |(name, replica): &(&'a str, &'a Replica)| {
            let (phase, since) =
                replica.holds.as_ref().map_or((None, Moment::ZERO), |holding| (Some(holding.phase), holding.since));
            let asleep = !phase.is_some_and(Phase::is_awake);
            // Those that take no commands cannot be let go of.
            (asleep, replica.obeys, phase, std::cmp::Reverse(replica.requests), since, *name)
        };
        let mut held: Vec<_> = self
            .replicas()
            .filter(|(_, replica)| {
                let phase = replica.phase_of(model);
                phase.is_some_and(|phase| phase.is_awake() || matches!(phase, Phase::Sleeping | Phase::FallingAsleep))
            })
            .collect();
        held.sort_by_key(order);
        held
    }

    fn awake(&self, model: &str) -> u32 {
        let awake = self.replicas().filter(|(_, replica)| replica.phase_of(model).is_some_and(Phase::is_awake)).count();
        u32::try_from(awake).unwrap_or(u32::MAX)
    }

    fn replicas(&self) -> impl Iterator<Item = (&'a str, &'a Replica)> + use<'a> {
        self.at.replicas.iter().map(|(name, replica)| (name.as_str(), replica))
    }

    /// Whether this plan may still command it.
    fn commandable(&self, name: &str, replica: &Replica) -> bool {
        replica.obeys && !replica.busy && !self.decided.contains(name)
    }

    fn blocked(&self, name: &str, what: &What) -> bool {
        self.at.troubles.blocks(name, what, self.at.now)
    }

    fn decide(&mut self, replica: &'a str, model: &str, action: Action, reason: impl Into<String>) {
        self.decided.insert(replica);
        self.decisions.push(Decision {
            replica: replica.to_owned(),
            model: model.to_owned(),
            action,
            reason: reason.into(),
        });
    }

    fn end_what_has_no_place(&mut self) {
        for (name, replica) in self.replicas() {
            let Some(holding) = replica.holds.as_ref().filter(|_| self.commandable(name, replica)) else { continue };
            if !self.at.models.contains_key(&holding.model) {
                self.release(name, replica, holding, false, "the catalogue gives the model no place");
            }
        }
    }

    /// Replicas beyond the maximum.
    fn end_what_is_too_much(&mut self) {
        for (model, spec) in &self.at.models {
            let stays = |planner: &Self, name: &str| {
                !planner.decisions.iter().any(|decision| decision.replica == name && decision.action.ends())
            };
            let held = self
                .held(model)
                .into_iter()
                .filter(|(_, replica)| replica.phase_of(model).is_some_and(Phase::is_awake));
            let staying: Vec<_> = held.filter(|(name, _)| stays(self, name)).collect();
            for (name, replica) in staying.into_iter().skip(spec.max as usize) {
                let Some(holding) = replica.holds.as_ref().filter(|_| self.commandable(name, replica)) else {
                    continue;
                };
                self.release(name, replica, holding, false, format!("the model has at most {} replicas", spec.max));
            }
        }
    }

    fn fill_shortages(&mut self) {
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
    fn fill(&mut self, wanted: &Shortage<'a>) -> bool {
        self.take_back(wanted)
            || self.wake(wanted)
            || self.load(wanted)
            || self.wait_for_room(wanted)
            || self.make_room(wanted)
    }

    /// A replica that is being drained has all it needs.
    fn take_back(&mut self, wanted: &Shortage<'a>) -> bool {
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

    fn wake(&mut self, wanted: &Shortage<'a>) -> bool {
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

    fn load(&mut self, wanted: &Shortage<'a>) -> bool {
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
    fn wait_for_room(&mut self, wanted: &Shortage<'a>) -> bool {
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
    fn sleeping(&self, wanted: &Shortage<'a>) -> impl Iterator<Item = (&'a str, &'a Replica)> {
        self.replicas().filter(|(name, replica)| {
            replica.phase_of(wanted.model) == Some(Phase::Sleeping)
                && self.commandable(name, replica)
                && !self.promised.contains(name)
                && !self.blocked(name, &What::Wake)
        })
    }

    /// Whether the model could be loaded there, were there room.
    fn may_load(&self, name: &str, replica: &Replica, wanted: &Shortage<'_>) -> bool {
        replica.fits(wanted.spec)
            && !self.promised.contains(name)
            && !self.blocked(name, &What::Load(wanted.model.to_owned()))
    }

    /// The model takes awake what it took asleep and more.
    fn rise(&mut self, replica: &'a Replica, wanted: &Shortage<'a>, room: impl Fn(&mut Self) -> &mut Room) {
        let models = &self.at.models;
        room(self).give(footprint(replica, wanted.model, Phase::Sleeping, models));
        room(self).take(footprint(replica, wanted.model, Phase::Waking, models));
    }

    /// Replicas that nobody has needed for the times that the catalogue names.
    fn let_go_of_the_idle(&mut self) {
        for (name, replica) in self.replicas() {
            let Some(holding) = &replica.holds else { continue };
            let (Some(spec), Some((number, rank))) =
                (self.at.models.get(&holding.model), self.standing.get(name).copied())
            else {
                continue;
            };
            let quiet = replica.requests == 0 && matches!(holding.phase, Phase::Ready | Phase::Sleeping);
            // A model that lacks a replica lets go of none.
            let lacks = self.awake(&holding.model) < self.need(&holding.model).wanted(spec);
            if !self.commandable(name, replica) || !quiet || lacks || rank > Rank::Held || self.promised.contains(name)
            {
                continue;
            }
            // One that was never needed is idle for as long as it has been there.
            let needed = self.need(&holding.model).last_needed(number).unwrap_or_default();
            let begun = if holding.phase == Phase::Sleeping { needed } else { needed.max(holding.since) };
            let idle = self.at.now.saturating_sub(begun);
            let over = |limit: Option<Duration>| limit.filter(|limit| idle >= *limit);
            if let Some(limit) = over(spec.unload_after) {
                self.release(
                    name,
                    replica,
                    holding,
                    false,
                    format!("not needed for {}", humantime::format_duration(limit)),
                );
            } else if let Some(limit) = over(spec.sleep_after)
                && holding.phase == Phase::Ready
                && self.can_sleep(name, replica)
            {
                self.release(
                    name,
                    replica,
                    holding,
                    true,
                    format!("not needed for {}", humantime::format_duration(limit)),
                );
            }
        }
    }

    fn can_sleep(&self, name: &str, replica: &Replica) -> bool {
        replica.sleeps && !self.blocked(name, &What::Sleep)
    }

    /// What drains is unloaded when its requests are done, or their time is over.
    fn finish_drains(&mut self) {
        for (name, replica) in self.replicas() {
            let Some(holding) = replica.holds.as_ref().filter(|_| self.commandable(name, replica)) else { continue };
            if holding.phase != Phase::Draining || self.blocked(name, &What::Release) {
                continue;
            }
            if replica.requests == 0 {
                self.decide(name, &holding.model, Action::Unload, "it is drained");
            } else if self.at.now.saturating_sub(holding.since) >= self.rules.drain {
                let reason = format!("{} requests are not done, and their time is over", replica.requests);
                self.decide(name, &holding.model, Action::Unload, reason);
            }
        }
    }

    /// Begins to let go of the model; `softly`: it is put to sleep.
    fn release(
        &mut self,
        name: &'a str,
        replica: &'a Replica,
        holding: &'a Holding,
        softly: bool,
        reason: impl Into<String>,
    ) {
        let what = if softly { What::Sleep } else { What::Release };
        let nothing_to_do = !matches!(holding.phase, Phase::Ready | Phase::Sleeping | Phase::Loading);
        if nothing_to_do || self.blocked(name, &what) {
            return;
        }
        let models = &self.at.models;
        self.later.give(footprint(replica, &holding.model, holding.phase, models));
        let action = match holding.phase {
            Phase::Ready if replica.requests > 0 => Action::Drain,
            Phase::Ready if softly => {
                self.later.take(footprint(replica, &holding.model, Phase::Sleeping, models));
                Action::Sleep
            }
            _ => Action::Unload,
        };
        self.decide(name, &holding.model, action, reason);
    }

    /// Ready replicas have the adapters that the catalogue names, and no others.
    fn tend_adapters(&mut self) {
        for (name, replica) in self.replicas() {
            let Some(holding) = replica.holds.as_ref().filter(|_| self.commandable(name, replica)) else { continue };
            let Some(spec) = self.at.models.get(&holding.model).filter(|_| holding.phase == Phase::Ready) else {
                continue;
            };
            let free = |adapter: &str| !self.blocked(name, &What::Adapter(adapter.to_owned()));
            let missing =
                spec.adapters.iter().find(|(adapter, _)| !holding.adapters.contains(*adapter) && free(adapter));
            let extra = holding.adapters.iter().find(|adapter| !spec.adapters.contains_key(*adapter) && free(adapter));
            if let Some((adapter, path)) = missing {
                let action = Action::LoadAdapter { name: adapter.clone(), path: path.clone() };
                self.decide(name, &holding.model, action, "the catalogue names it for this model");
            } else if let Some(adapter) = extra {
                let action = Action::UnloadAdapter { name: adapter.clone() };
                self.decide(name, &holding.model, action, "the catalogue does not name it for this model");
            }
        }
    }
}

/// How much more than the model needs would be occupied: small models go where big ones cannot.
fn waste(replica: &Replica) -> (usize, u64) {
    (replica.gpus.len(), replica.gpus.iter().map(|gpu| gpu.memory_mib).max().unwrap_or(0))
}

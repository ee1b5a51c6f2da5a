//! The planner: a pure function from what is there and what is needed to what is to be done now.
//!
//! It is asked again and again, and each time starts from what it sees: a plan is never remembered. What it starts is
//! counted as begun the next time, so that asking twice gives nothing twice. Nothing is loaded into room that is still
//! occupied; who has to go for it goes first. `docs/decisions/0017-placement-by-rank.md` says which rules there are, and why.

mod filling;
mod letting_go;
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
    room::{self, Room},
    situation::{Moment, Phase, Replica, Situation},
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
    /// The replicas that have each model: there may be thousands of both.
    having: BTreeMap<&'a str, Vec<(&'a str, &'a Replica)>>,
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

static NO_NEED: Need = Need { now: 0, last: Vec::new(), unmet_since: None };

impl<'a> Planner<'a> {
    fn new(at: &'a Situation, rules: &'a Rules) -> Self {
        let mut planner = Self {
            at,
            rules,
            having: BTreeMap::new(),
            room: Room::of(at, room::now),
            later: Room::of(at, room::later),
            standing: BTreeMap::new(),
            decided: BTreeSet::new(),
            promised: BTreeSet::new(),
            decisions: Vec::new(),
        };
        for (name, replica) in planner.replicas() {
            if let Some(holding) = &replica.holds {
                planner.having.entry(&holding.model).or_default().push((name, replica));
            }
        }
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
            .having(model)
            .filter(|(_, replica)| {
                let phase = replica.phase_of(model);
                phase.is_some_and(|phase| phase.is_awake() || matches!(phase, Phase::Sleeping | Phase::FallingAsleep))
            })
            .collect();
        held.sort_by_key(order);
        held
    }

    fn awake(&self, model: &str) -> u32 {
        let is_awake = |replica: &Replica| replica.phase_of(model).is_some_and(Phase::is_awake);
        let awake = self.having(model).filter(|(_, replica)| is_awake(replica)).count();
        u32::try_from(awake).unwrap_or(u32::MAX)
    }

    fn having(&self, model: &str) -> impl Iterator<Item = (&'a str, &'a Replica)> {
        self.having.get(model).into_iter().flatten().copied()
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

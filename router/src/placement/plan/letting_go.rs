//! Who is let go of: what has no place, what is too much, what nobody needs, and what is drained.

use std::time::Duration;

use super::Planner;
use crate::placement::{
    decision::Action,
    need::Rank,
    room::footprint,
    situation::{Holding, Phase, Replica},
    troubles::What,
};

impl<'a> Planner<'a> {
    pub(super) fn end_what_has_no_place(&mut self) {
        for (name, replica) in self.replicas() {
            let Some(holding) = replica.holds.as_ref().filter(|_| self.commandable(name, replica)) else { continue };
            if !self.at.models.contains_key(&holding.model) {
                self.release(name, replica, holding, false, "the catalogue gives the model no place");
            }
        }
    }

    /// Replicas beyond the maximum.
    pub(super) fn end_what_is_too_much(&mut self) {
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

    /// Replicas that nobody has needed for the times that the catalogue names.
    pub(super) fn let_go_of_the_idle(&mut self) {
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

    pub(super) fn can_sleep(&self, name: &str, replica: &Replica) -> bool {
        replica.sleeps && !self.blocked(name, &What::Sleep)
    }

    /// What drains is unloaded when its requests are done, or their time is over.
    pub(super) fn finish_drains(&mut self) {
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
    pub(super) fn release(
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
}

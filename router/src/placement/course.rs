//! What the planner has to remember between two plans: since when things are as they are, what was ordered and has not ended,
//! and what went wrong. Values in, values out: the time comes with each call.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cloudach_proto::v1::ModelPhase;

use super::{
    decision::{Action, Decision},
    need::{Asked, Need},
    plan::Rules,
    situation::{Gpu, Holding, Moment, Phase, Replica, Situation},
    spec::Spec,
    troubles::{Troubles, What},
};

/// How long a command may be under way. Moving weights may take 5 minutes.
const ENDS_WITHIN: Duration = Duration::from_secs(6 * 60);

/// The course of things.
#[derive(Debug, Default)]
pub struct Course {
    held: BTreeMap<String, Held>,
    under_way: BTreeMap<String, Order>,
    needs: BTreeMap<String, Need>,
    troubles: Troubles,
    orders: u64,
}

/// What is seen of a replica.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub dialect: String,
    pub managed: bool,
    pub sleeps: bool,
    pub gpus: Vec<Gpu>,
    /// Requests can be sent to it.
    pub connected: bool,
    /// It is about to stop.
    pub leaving: bool,
    pub model: String,
    pub phase: ModelPhase,
    pub adapters: BTreeSet<String>,
    pub requests: u32,
}

/// What the replicas of one model come to.
#[derive(Debug, Clone, Copy, Default)]
struct Here {
    requests: u32,
    ready: u32,
}

impl Here {
    fn add(&mut self, seen: &Seen) {
        self.requests = self.requests.saturating_add(seen.requests);
        self.ready += u32::from(seen.connected && seen.phase == ModelPhase::Ready);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    model: String,
    phase: Option<Phase>,
    since: Moment,
}

#[derive(Debug, Clone)]
struct Order {
    id: u64,
    decision: Decision,
    at: Moment,
}

/// A command that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub decision: Decision,
    pub why: String,
}

impl Course {
    /// How things stand, for the planner; and the commands whose time is over.
    pub fn stand(
        &mut self,
        models: &BTreeMap<String, Spec>,
        seen: &BTreeMap<String, Seen>,
        asked: &BTreeMap<String, Asked>,
        rules: &Rules,
        now: Moment,
    ) -> (Situation, Vec<Failed>) {
        self.held.retain(|name, _| seen.contains_key(name));
        self.under_way.retain(|name, _| seen.contains_key(name));
        self.troubles.keep(|name| seen.contains_key(name));
        self.needs.retain(|model, _| models.contains_key(model));
        let overdue: Vec<_> =
            self.under_way.iter().filter(|(_, order)| now.saturating_sub(order.at) >= ENDS_WITHIN).collect();
        let overdue: Vec<_> = overdue.into_iter().map(|(name, order)| (name.clone(), order.id)).collect();
        let why = || format!("no answer within {}", humantime::format_duration(ENDS_WITHIN));
        let failed = overdue.iter().filter_map(|(name, id)| self.ended(name, *id, Err(why()), now)).collect();

        let mut at = Situation { models: models.clone(), now, ..Situation::default() };
        for (name, seen) in seen {
            self.follow(name, seen, rules, now);
            at.replicas.insert(name.clone(), self.replica(name, seen));
        }
        let mut here: BTreeMap<&str, Here> = BTreeMap::new();
        for seen in seen.values() {
            here.entry(&seen.model).or_default().add(seen);
        }
        for (model, spec) in models {
            let Here { requests, ready } = here.remove(model.as_str()).unwrap_or_default();
            let mut asked = asked.get(model).copied().unwrap_or_default();
            // Other routers send requests as well: replicas know of those.
            asked.open = asked.open.max(requests);
            if asked.open > 0 {
                asked.last = Some(now);
            }
            let need = self.needs.entry(model.clone()).or_default();
            need.renew(asked, ready, spec, rules, now);
        }
        at.needs = self.needs.clone();
        at.troubles = self.troubles.clone();
        for order in self.under_way.values() {
            at.begin(&order.decision);
        }
        (at, failed)
    }

    /// How many replicas requests need of the model now.
    pub fn need(&self, model: &str) -> Option<&Need> {
        self.needs.get(model)
    }

    /// Whether the model has just failed to load.
    pub fn is_troubled(&self, model: &str, now: Moment) -> bool {
        self.troubles.troubled(model, now)
    }

    /// What was ordered of the replica and has not ended.
    pub fn under_way(&self, replica: &str) -> Option<&Decision> {
        self.under_way.get(replica).map(|order| &order.decision)
    }

    /// A command was sent: the number that its outcome will bear.
    pub fn ordered(&mut self, decision: Decision, now: Moment) -> u64 {
        self.orders += 1;
        let id = self.orders;
        self.under_way.insert(decision.replica.clone(), Order { id, decision, at: now });
        id
    }

    /// A command has ended. One that nobody waits for any more changes nothing.
    pub fn ended(&mut self, replica: &str, id: u64, outcome: Result<(), String>, now: Moment) -> Option<Failed> {
        if self.under_way.get(replica)?.id != id {
            return None;
        }
        let Order { decision, .. } = self.under_way.remove(replica)?;
        let what = what(&decision);
        match outcome {
            Err(why) => {
                self.troubles.note(replica, what, now);
                Some(Failed { decision, why })
            }
            Ok(()) => {
                // A load has only begun: how it ends is seen.
                if decision.action != Action::Load {
                    self.troubles.forget(replica, &what);
                }
                None
            }
        }
    }

    /// The replica has gone, or come anew: what was ordered of it before is over.
    pub fn left(&mut self, replica: &str) {
        self.under_way.remove(replica);
    }

    /// Takes note of what has changed at a replica.
    fn follow(&mut self, name: &str, seen: &Seen, rules: &Rules, now: Moment) {
        let phase = phase(seen);
        let before = self.held.get(name);
        if before.is_some_and(|held| held.phase == phase && held.model == seen.model) {
            return;
        }
        let load = || What::Load(seen.model.clone());
        if phase == Some(Phase::Failed) && seen.managed {
            // One that ran for long was well: its end says nothing about the next load.
            let was_well = before.is_some_and(|held| {
                matches!(held.phase, Some(Phase::Ready | Phase::Sleeping))
                    && now.saturating_sub(held.since) >= rules.hold
            });
            if was_well {
                self.troubles.forget(name, &load());
            }
            self.troubles.note(name, load(), now);
        }
        self.held.insert(name.to_owned(), Held { model: seen.model.clone(), phase, since: now });
    }

    fn replica(&self, name: &str, seen: &Seen) -> Replica {
        let holds = phase(seen).map(|phase| Holding {
            model: seen.model.clone(),
            phase,
            since: self.held.get(name).map_or(Moment::ZERO, |held| held.since),
            adapters: seen.adapters.clone(),
        });
        Replica {
            dialect: seen.dialect.clone(),
            obeys: seen.managed && !seen.leaving,
            sleeps: seen.sleeps,
            gpus: seen.gpus.clone(),
            holds,
            requests: seen.requests,
            busy: false,
        }
    }
}

/// The planner's word for what a replica says.
fn phase(seen: &Seen) -> Option<Phase> {
    match seen.phase {
        _ if seen.model.is_empty() => None,
        ModelPhase::Unspecified | ModelPhase::Unloaded => None,
        ModelPhase::Loading => Some(Phase::Loading),
        ModelPhase::Ready => Some(Phase::Ready),
        ModelPhase::Sleeping => Some(Phase::Sleeping),
        ModelPhase::Draining => Some(Phase::Draining),
        ModelPhase::Failed => Some(Phase::Failed),
    }
}

fn what(decision: &Decision) -> What {
    match &decision.action {
        Action::Load => What::Load(decision.model.clone()),
        Action::Wake => What::Wake,
        Action::Sleep => What::Sleep,
        Action::Drain | Action::Unload => What::Release,
        Action::LoadAdapter { name, .. } | Action::UnloadAdapter { name } => What::Adapter(name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn seen(model: &str, phase: ModelPhase) -> BTreeMap<String, Seen> {
        let (dialect, model) = ("vllm".into(), model.into());
        [("r".into(), Seen { dialect, managed: true, model, phase, connected: true, ..Seen::default() })].into()
    }

    fn models() -> BTreeMap<String, Spec> {
        [("m".into(), cloudach_service::config::parse("{source: m, gpus: 0}").unwrap())].into()
    }

    fn stand(course: &mut Course, seen: &BTreeMap<String, Seen>, now: u64) -> (Situation, Vec<Failed>) {
        course.stand(&models(), seen, &BTreeMap::new(), &Rules::default(), seconds(now))
    }

    fn load() -> Decision {
        Decision { replica: "r".into(), model: "m".into(), action: Action::Load, reason: "why".into() }
    }

    #[test]
    fn what_was_ordered_counts_as_begun_until_it_has_ended() {
        let mut course = Course::default();
        let nothing = seen("", ModelPhase::Unloaded);
        let id = course.ordered(load(), seconds(1));
        let replica = stand(&mut course, &nothing, 2).0.replicas["r"].clone();
        assert!(replica.busy && replica.phase_of("m") == Some(Phase::Loading));
        // Another's outcome, then its own, twice.
        assert_eq!(course.ended("r", id + 1, Err("no".into()), seconds(3)), None);
        assert!(stand(&mut course, &nothing, 3).0.replicas["r"].busy);
        assert_eq!(course.ended("r", id, Ok(()), seconds(3)), None);
        assert_eq!(course.ended("r", id, Ok(()), seconds(3)), None);
        let replica = stand(&mut course, &seen("m", ModelPhase::Loading), 4).0.replicas["r"].clone();
        assert!(!replica.busy && replica.holds.unwrap().since == seconds(4));
    }

    #[test]
    fn what_is_refused_or_never_ends_is_not_tried_again_at_once() {
        let mut course = Course::default();
        let nothing = seen("", ModelPhase::Unloaded);
        let blocked = |at: &Situation| at.troubles.blocks("r", &What::Load("m".into()), at.now);
        let id = course.ordered(load(), seconds(1));
        let failed = course.ended("r", id, Err("no such file".into()), seconds(2)).unwrap();
        assert_eq!((failed.decision, failed.why.as_str()), (load(), "no such file"));
        assert!(blocked(&stand(&mut course, &nothing, 3).0));
        assert!(!blocked(&stand(&mut course, &nothing, 8).0));
        course.ordered(load(), seconds(10));
        assert_eq!(stand(&mut course, &nothing, 369).1, []);
        let (at, failed) = stand(&mut course, &nothing, 370);
        assert_eq!(failed[0].why, "no answer within 6m");
        assert!(blocked(&at) && !at.replicas["r"].busy);
        // Who comes anew is told anew.
        course.ordered(load(), seconds(400));
        course.left("r");
        assert!(!stand(&mut course, &nothing, 401).0.replicas["r"].busy);
    }

    #[test]
    fn a_replica_that_fails_again_and_again_is_left_alone_for_longer() {
        let mut course = Course::default();
        let mut now = 0;
        let mut fails = |course: &mut Course, ran: u64| {
            stand(course, &seen("m", ModelPhase::Ready), now);
            now += ran;
            let at = stand(course, &seen("m", ModelPhase::Failed), now).0;
            let blocked = |after: u64| at.troubles.blocks("r", &What::Load("m".into()), seconds(now + after));
            (0..1000).find(|after| !blocked(*after)).unwrap()
        };
        assert_eq!([1, 1, 1].map(|ran| fails(&mut course, ran)), [5, 10, 20]);
        assert_eq!(fails(&mut course, 300), 5);
    }

    #[test]
    fn requests_of_other_routers_are_needs_as_well() {
        let mut course = Course::default();
        let mut busy = seen("m", ModelPhase::Ready);
        busy.get_mut("r").unwrap().requests = 3;
        let at = stand(&mut course, &busy, 7).0;
        assert_eq!((at.needs["m"].now, at.needs["m"].last[0]), (1, seconds(7)));
        assert_eq!(at.needs["m"].unmet_since, None);
    }
}

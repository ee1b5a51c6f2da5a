//! What holds for every plan, over random fleets that carry it out well, badly and late.

use std::{collections::BTreeMap, time::Duration};

use proptest::{prelude::*, sample::select};

use super::{Rules, plan};
use crate::placement::{
    decision::{Action, Decision},
    need::{Asked, Need, Rank},
    situation::{Gpu, Holding, Phase, Replica, Situation},
    spec::Spec,
    troubles::What,
};

const STEP: Duration = Duration::from_secs(20);

fn rules() -> Rules {
    let seconds = Duration::from_secs;
    Rules { hold: seconds(60), drain: seconds(60), remembered: seconds(30) }
}

fn spec() -> impl Strategy<Value = Spec> {
    let after = || prop::option::of((1..120u64).prop_map(Duration::from_secs));
    let dialect = prop::sample::select(vec!["vllm", "vllm", "vllm", "llama_cpp"]);
    (dialect, 0..=2u32, 1..80u64, 0..=2u32, 1..=3u32, after(), after(), any::<bool>()).prop_map(
        |(dialect, gpus, memory, min, max, sleep_after, unload_after, adapter)| Spec {
            source: "m".into(),
            dialect: dialect.into(),
            arguments: Vec::new(),
            gpus,
            memory_mib: memory * 1024,
            asleep_mib: None,
            min: min.min(max),
            max,
            requests_per_replica: 4,
            sleep_after,
            unload_after,
            adapters: if adapter && dialect == "vllm" { [("a".into(), "/a".into())].into() } else { BTreeMap::new() },
        },
    )
}

fn holding() -> impl Strategy<Value = Option<Holding>> {
    let phases = vec![Phase::Ready, Phase::Loading, Phase::Draining, Phase::Sleeping, Phase::Failed];
    // The last name is of no model in the catalogue.
    prop::option::of((0..5usize, select(phases), 0..1000u64)).prop_map(|held| {
        held.map(|(model, phase, since)| Holding {
            model: format!("m{model}"),
            phase,
            since: Duration::from_secs(since),
            adapters: Default::default(),
        })
    })
}

fn replica() -> impl Strategy<Value = Replica> {
    let dialect = select(vec!["vllm", "vllm", "vllm", "llama_cpp"]);
    (dialect, prop::bool::weighted(0.85), prop::bool::weighted(0.7), 0..5usize, 0..=3usize, holding(), 0..4u32)
        .prop_map(|(dialect, obeys, sleeps, first, count, mut holds, requests)| {
            // One that does not obey and drains is about to leave the fleet, and is not there for ever.
            if let Some(held) = holds.as_mut().filter(|held| !obeys && held.phase == Phase::Draining) {
                held.phase = Phase::Ready;
            }
            let memory = [8, 24, 24, 80, 80, 48, 16, 96];
            let gpu = |number: usize| Gpu { id: format!("g{number}"), memory_mib: memory[number] * 1024 };
            let serves = holds.as_ref().is_some_and(|held| matches!(held.phase, Phase::Ready | Phase::Draining));
            Replica {
                dialect: dialect.into(),
                obeys,
                sleeps: sleeps && dialect == "vllm",
                gpus: (first..first + count).map(gpu).collect(),
                holds,
                requests: if serves { requests } else { 0 },
                busy: false,
            }
        })
}

fn situation() -> impl Strategy<Value = Situation> {
    let need = (0..=3u32, prop::collection::vec(0..1000u64, 0..3), prop::option::of(0..1000u64));
    let models = prop::collection::vec((spec(), need), 1..=4);
    (models, prop::collection::vec(replica(), 0..=6)).prop_map(|(models, replicas)| {
        let now = Duration::from_secs(1000);
        let mut at = Situation { now, ..Situation::default() };
        for (number, (spec, (needed, last, unmet))) in models.into_iter().enumerate() {
            let last: Vec<_> = last.into_iter().map(Duration::from_secs).collect();
            let needed = needed.min(spec.max);
            let mut need = Need { now: needed, last, unmet_since: unmet.map(Duration::from_secs) };
            need.last.resize((needed as usize).max(need.last.len()), now);
            need.last[..needed as usize].fill(now);
            at.needs.insert(format!("m{number}"), need);
            at.models.insert(format!("m{number}"), spec);
        }
        at.replicas =
            replicas.into_iter().enumerate().map(|(number, replica)| (format!("r{number}"), replica)).collect();
        at
    })
}

/// How a command ends.
#[derive(Debug, Clone, Copy)]
struct Fate {
    steps: u8,
    fails: bool,
}

/// A fleet that carries out what is planned.
struct World {
    at: Situation,
    open: BTreeMap<String, u32>,
    under_way: Vec<(Decision, Fate)>,
}

impl World {
    fn new(at: Situation) -> Self {
        let open = at.needs.iter().map(|(model, need)| (model.clone(), need.now * 4)).collect();
        Self { at, open, under_way: Vec::new() }
    }

    fn pass(&mut self, time: Duration, rules: &Rules, mut fate: impl FnMut() -> Fate) -> Vec<Decision> {
        self.at.now += time;
        self.end_what_is_due();
        self.renew_needs(rules);
        let decisions = plan(&self.at, rules);
        check(&self.at, &decisions, rules);
        for decision in &decisions {
            begin(&mut self.at, decision);
            self.under_way.push((decision.clone(), fate()));
        }
        assert_eq!(plan(&self.at, rules), [], "what was begun is planned again");
        decisions
    }

    fn renew_needs(&mut self, rules: &Rules) {
        for (model, spec) in &self.at.models {
            let ready =
                self.at.replicas.values().filter(|replica| replica.phase_of(model) == Some(Phase::Ready)).count();
            let open = self.open.get(model).copied().unwrap_or(0);
            let last = (open > 0).then_some(self.at.now);
            let need = self.at.needs.entry(model.clone()).or_default();
            need.renew(Asked { open, last }, u32::try_from(ready).unwrap(), spec, rules, self.at.now);
        }
        for replica in self.at.replicas.values_mut() {
            let Some(held) = &replica.holds else { continue };
            let open = self.open.get(&held.model).copied().unwrap_or(0);
            // What is drained ends after a while.
            replica.requests = match held.phase {
                Phase::Ready => open.min(4),
                Phase::Draining => replica.requests.saturating_sub(1),
                _ => 0,
            };
        }
    }

    fn end_what_is_due(&mut self) {
        let now = self.at.now;
        for (decision, fate) in std::mem::take(&mut self.under_way) {
            if fate.steps > 0 {
                self.under_way.push((decision, Fate { steps: fate.steps - 1, ..fate }));
                continue;
            }
            let replica = self.at.replicas.get_mut(&decision.replica).unwrap();
            replica.busy = false;
            let Some(held) = replica.holds.as_mut().filter(|held| held.model == decision.model) else { continue };
            let what = what(&decision);
            let troubles = &mut self.at.troubles;
            let name = &decision.replica;
            if fate.fails {
                troubles.note(name, what, now)
            } else {
                troubles.forget(name, &what)
            }
            let next = match (&decision.action, fate.fails) {
                (Action::Load, false) if held.phase == Phase::Loading => Phase::Ready,
                (Action::Load, true) if held.phase == Phase::Loading => Phase::Failed,
                (Action::Wake, false) => Phase::Ready,
                (Action::Wake, true) | (Action::Sleep, false) => Phase::Sleeping,
                (Action::Sleep, true) => Phase::Ready,
                (Action::Unload, false) => {
                    replica.holds = None;
                    continue;
                }
                (Action::Unload, true) => Phase::Draining,
                (Action::LoadAdapter { name, .. }, false) => {
                    held.adapters.insert(name.clone());
                    continue;
                }
                _ => continue,
            };
            (held.phase, held.since) = (next, now);
            if next != Phase::Sleeping && next != Phase::Ready {
                held.adapters.clear();
            }
        }
        // A load that was begun before the test comes to its end as well.
        for (name, replica) in &mut self.at.replicas {
            let ordered = self.under_way.iter().any(|(decision, _)| decision.replica == *name);
            let Some(held) = replica.holds.as_mut().filter(|_| !ordered) else { continue };
            if held.phase == Phase::Loading && now.saturating_sub(held.since) > Duration::from_secs(200) {
                (held.phase, held.since) = (Phase::Ready, now);
            }
        }
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

/// A load and a drain are answered at once, and take their time then.
fn begin(at: &mut Situation, decision: &Decision) {
    at.begin(decision);
    let replica = at.replicas.get_mut(&decision.replica).unwrap();
    let loads = replica.phase_of(&decision.model) == Some(Phase::Loading);
    replica.busy = decision.action != Action::Drain && !loads;
}

/// What is occupied of a GPU, counted anew.
fn used(at: &Situation, gpu: &str) -> u64 {
    at.replicas
        .values()
        .filter_map(|replica| {
            let held = replica.holds.as_ref()?;
            match at.models.get(&held.model) {
                Some(spec) => {
                    replica.gpus.iter().take(spec.gpus as usize).any(|own| own.id == gpu).then(|| match held.phase {
                        Phase::Failed => 0,
                        Phase::Sleeping | Phase::UnloadingAsleep => spec.asleep(),
                        _ => spec.memory_mib,
                    })
                }
                None => {
                    let own = replica.gpus.iter().find(|own| own.id == gpu);
                    own.map(|own| if held.phase == Phase::Failed { 0 } else { own.memory_mib })
                }
            }
        })
        .sum()
}

fn awake(at: &Situation, model: &str) -> u32 {
    let awake = at.replicas.values().filter(|replica| replica.phase_of(model).is_some_and(Phase::is_awake)).count();
    u32::try_from(awake).unwrap()
}

/// How much a replica of the model is needed at the most that the model does not have.
fn lacking(at: &Situation, model: &str, rules: &Rules) -> Option<Rank> {
    let (spec, need) = (&at.models[model], &at.needs[model]);
    let awake = awake(at, model);
    (awake < need.wanted(spec)).then(|| need.rank(awake, spec, rules, at.now))
}

/// What must hold of each plan.
fn check(at: &Situation, decisions: &[Decision], rules: &Rules) {
    let mut after = at.clone();
    decisions.iter().for_each(|decision| begin(&mut after, decision));
    let mut seen = std::collections::BTreeSet::new();
    let mut between = at.clone();
    for decision in decisions {
        assert!(seen.insert(&decision.replica), "two commands for one replica: {decisions:?}");
        assert!(!decision.reason.is_empty());
        let replica = &at.replicas[&decision.replica];
        assert!(replica.obeys && !replica.busy, "{decision} is told to one that does not listen");
        assert!(!at.troubles.blocks(&decision.replica, &what(decision), at.now), "{decision} is too early");
        let phase = replica.phase_of(&decision.model);
        match decision.action {
            Action::Load | Action::Wake => {
                let spec = &at.models[&decision.model];
                let others = replica
                    .holds
                    .as_ref()
                    .is_some_and(|held| held.model != decision.model && held.phase != Phase::Failed);
                assert!(!others, "{decision} is in the place of another");
                assert!(awake(&after, &decision.model) <= spec.max, "{decision} is one too many");
                for gpu in replica.gpus.iter().take(spec.gpus as usize).filter(|_| phase != Some(Phase::Draining)) {
                    assert!(used(&after, &gpu.id) <= gpu.memory_mib, "{decision} is over the memory of {}", gpu.id);
                }
            }
            Action::Sleep | Action::Unload | Action::Drain => {
                let expired =
                    phase == Some(Phase::Draining) && at.now - replica.holds.as_ref().unwrap().since >= rules.drain;
                let harsh = decision.action != Action::Drain && replica.requests > 0 && !expired;
                assert!(!harsh, "{decision} ends requests");
                if decision.reason.starts_with("makes room") && phase != Some(Phase::Sleeping) {
                    let most = at.models.keys().filter_map(|model| lacking(&between, model, rules)).max();
                    let (spec, need) = (&at.models[&decision.model], &at.needs[&decision.model]);
                    let least = need.rank(awake(&between, &decision.model).max(1) - 1, spec, rules, at.now);
                    assert!(most > Some(least), "{decision} is for a model that is needed no more");
                }
            }
            Action::LoadAdapter { .. } | Action::UnloadAdapter { .. } => assert_eq!(phase, Some(Phase::Ready)),
        }
        between.begin(decision);
    }
}

/// In a fleet at rest nothing is missing for which there is room.
fn check_at_rest(at: &Situation, rules: &Rules) {
    for (model, spec) in &at.models {
        let Some(rank) = lacking(at, model, rules) else { continue };
        for (name, replica) in &at.replicas {
            let fits = replica.obeys && replica.dialect == spec.dialect && replica.gpus.len() >= spec.gpus as usize;
            let asleep = if replica.phase_of(model) == Some(Phase::Sleeping) { spec.asleep() } else { 0 };
            let room = replica
                .gpus
                .iter()
                .take(spec.gpus as usize)
                .all(|gpu| used(at, &gpu.id) + spec.memory_mib <= gpu.memory_mib + asleep);
            let empty = replica.is_empty() || asleep > 0;
            assert!(!(fits && room && empty), "{model} lacks a replica ({rank:?}), and {name} is free");
        }
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..4u8, prop::bool::weighted(0.4)).prop_map(|(steps, fails)| Fate { steps, fails });
    prop::collection::vec(fate, 1..20)
}

/// Fleets that are followed for a while: each is a hundred plans. `PLACEMENT_FLEETS=10000` takes minutes.
fn simulations() -> u32 {
    std::env::var("PLACEMENT_FLEETS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_keeps_the_rules_and_is_made_once(at in situation()) {
        let decisions = plan(&at, &rules());
        check(&at, &decisions, &rules());
        let mut after = at;
        decisions.iter().for_each(|decision| begin(&mut after, decision));
        prop_assert_eq!(plan(&after, &rules()), []);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: simulations(), ..ProptestConfig::default() })]

    #[test]
    fn every_fleet_comes_to_rest(at in situation(), fates in fates()) {
        let (mut world, rules) = (World::new(at), rules());
        let mut fates = fates.into_iter().cycle();
        for _ in 0..15 {
            world.pass(STEP, &rules, || fates.next().unwrap());
        }
        // Now nothing fails any more. The longest pause is over after 5 minutes, and everything has its time again.
        let well = || Fate { steps: 1, fails: false };
        for _ in 0..20 {
            world.pass(STEP * 3, &rules, well);
        }
        for _ in 0..12 {
            let decisions = world.pass(STEP * 3, &rules, well);
            prop_assert!(decisions.is_empty(), "no rest: {:?}", decisions);
        }
        check_at_rest(&world.at, &rules);
    }

    #[test]
    fn demand_that_comes_and_goes_moves_a_replica_once_in_the_hold_time(
        at in situation(),
        demand in prop::collection::vec(prop::collection::vec(0..12u32, 4), 1..10),
    ) {
        let (mut world, rules) = (World::new(at), rules());
        for spec in world.at.models.values_mut() {
            (spec.sleep_after, spec.unload_after) = (None, None);
        }
        let mut loads: BTreeMap<String, u32> = BTreeMap::new();
        let steps = 60u32;
        for open in demand.iter().cycle().take(steps as usize) {
            for (number, open) in open.iter().enumerate() {
                world.open.insert(format!("m{number}"), *open);
            }
            for decision in world.pass(STEP, &rules, || Fate { steps: 0, fails: false }) {
                let taken_back = decision.reason.starts_with("taken back");
                if matches!(decision.action, Action::Load | Action::Wake) && !taken_back {
                    *loads.entry(decision.replica).or_default() += 1;
                }
            }
        }
        let most = 2 + steps * 20 / 60;
        prop_assert!(loads.values().all(|loads| *loads <= most), "{:?}", loads);
    }
}

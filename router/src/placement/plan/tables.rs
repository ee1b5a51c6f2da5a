//! One fleet and one need each, and what is to be done then.

use std::{collections::BTreeMap, time::Duration};

use super::{Rules, plan};
use crate::placement::{
    need::{Asked, Need},
    situation::{Gpu, Holding, Phase, Replica, Situation},
    spec::Spec,
    troubles::What,
};

const NOW: Duration = Duration::from_secs(10_000);

fn ago(seconds: u64) -> Duration {
    NOW - Duration::from_secs(seconds)
}

fn fleet() -> Situation {
    Situation { now: NOW, ..Situation::default() }
}

impl Situation {
    /// A model that takes 60 of a GPU's 80 GiB.
    fn model(mut self, name: &str, adjust: impl FnOnce(&mut Spec)) -> Self {
        let yaml = "{source: /m, memory_mib: 60000, asleep_mib: 5000}";
        let mut spec = cloudach_service::config::parse(yaml).unwrap();
        adjust(&mut spec);
        self.models.insert(name.into(), spec);
        self
    }

    /// A managed sidecar with this GPU.
    fn replica(mut self, name: &str, gpu: &str, holds: Option<(&str, Phase, u64)>) -> Self {
        let holds = holds.map(|(model, phase, since)| Holding {
            model: model.into(),
            phase,
            since: ago(since),
            adapters: Default::default(),
        });
        let gpus = vec![Gpu { id: gpu.into(), memory_mib: 80_000 }];
        let replica = Replica { dialect: "vllm".into(), obeys: true, sleeps: true, gpus, holds, ..Replica::default() };
        self.replicas.insert(name.into(), replica);
        self
    }

    fn with(mut self, name: &str, adjust: impl FnOnce(&mut Replica)) -> Self {
        adjust(self.replicas.get_mut(name).unwrap());
        self
    }

    /// Requests need so many replicas now, and have for so long that one that waits has waited enough.
    fn needs(mut self, model: &str, replicas: u32) -> Self {
        let last = vec![NOW; replicas as usize];
        self.needs.insert(model.into(), Need { now: replicas, last, unmet_since: Some(ago(1000)) });
        self
    }

    /// Nobody has needed it for so many seconds.
    fn unused(mut self, model: &str, seconds: u64) -> Self {
        self.needs.insert(model.into(), Need { now: 0, last: vec![ago(seconds)], unmet_since: None });
        self
    }

    fn failed(mut self, replica: &str, what: What, seconds: u64) -> Self {
        self.troubles.note(replica, what, ago(seconds));
        self
    }

    fn plan(&self) -> Vec<String> {
        plan(self, &Rules::default()).iter().map(ToString::to_string).collect()
    }
}

fn as_is(_: &mut Spec) {}

fn one(seconds: u64) -> Option<(&'static str, Phase, u64)> {
    Some(("a", Phase::Ready, seconds))
}

#[test]
fn what_is_asked_for_is_loaded() {
    let empty = fleet().model("a", as_is).replica("r1", "g1", None);
    assert_eq!(empty.plan(), [""; 0]);
    assert_eq!(empty.clone().needs("a", 1).plan(), ["load a on r1: a client asks for it"]);
    assert_eq!(empty.model("a", |spec| spec.min = 1).plan(), ["load a on r1: at least 1 of it are to be awake"]);
}

#[test]
fn more_requests_than_one_replica_is_to_have_load_another() {
    let two = fleet().model("a", |spec| spec.max = 2).replica("r1", "g1", one(10)).replica("r2", "g2", None);
    assert_eq!(two.clone().needs("a", 2).plan(), ["load a on r2: its requests need 2 replicas"]);
    assert_eq!(two.model("a", as_is).needs("a", 1).plan(), [""; 0]);
}

#[test]
fn small_models_leave_big_places_free() {
    let big = |replica: &mut Replica| replica.gpus.push(Gpu { id: "g9".into(), memory_mib: 80_000 });
    let at = fleet().model("a", as_is).replica("r1", "g1", None).with("r1", big).replica("r2", "g2", None);
    assert_eq!(at.needs("a", 1).plan(), ["load a on r2: a client asks for it"]);
}

#[test]
fn nothing_is_loaded_where_it_does_not_fit_or_nobody_obeys() {
    let at = fleet().model("a", as_is).needs("a", 1).replica("r1", "g1", None);
    let cases: [fn(&mut Replica); 5] = [
        |replica| replica.gpus[0].memory_mib = 59_999,
        |replica| replica.gpus.clear(),
        |replica| replica.dialect = "llama_cpp".into(),
        |replica| replica.obeys = false,
        |replica| replica.busy = true,
    ];
    for adjust in cases {
        assert_eq!(at.clone().with("r1", adjust).plan(), [""; 0]);
    }
}

#[test]
fn a_sleeping_replica_is_woken_before_one_is_loaded() {
    let at = fleet().model("a", as_is).replica("r1", "g1", None).replica("r2", "g2", Some(("a", Phase::Sleeping, 9)));
    assert_eq!(at.needs("a", 1).plan(), ["wake a on r2: a client asks for it"]);
}

#[test]
fn an_idle_model_gives_way_when_its_hold_is_over() {
    let both = |held| fleet().model("a", as_is).model("b", as_is).replica("r1", "g1", one(held)).needs("b", 1);
    let room = "makes room for b: a client asks for it";
    assert_eq!(both(1000).unused("a", 1000).plan(), [format!("unload a on r1: {room}")]);
    // It was loaded, or needed, too lately; or it is needed as much.
    assert_eq!(both(10).unused("a", 1000).plan(), [""; 0]);
    assert_eq!(both(1000).needs("a", 1).plan(), [""; 0]);
    let mut lately = both(1000).unused("a", 10);
    lately.needs.get_mut("b").unwrap().unmet_since = Some(ago(20));
    assert_eq!(lately.plan(), [""; 0]);
    // Who has waited for the hold time goes before who was needed within it.
    assert_eq!(both(1000).unused("a", 10).plan(), [format!("unload a on r1: {room}")]);
}

#[test]
fn a_second_replica_gives_way_to_a_first_one_and_is_drained() {
    let at = fleet().model("a", |spec| spec.max = 2).model("b", as_is).needs("a", 2).needs("b", 1);
    let at = at.replica("r1", "g1", one(900)).replica("r2", "g2", one(900)).with("r2", |replica| replica.requests = 2);
    let at = at.with("r1", |replica| replica.requests = 3);
    assert_eq!(at.plan(), ["drain a on r2: makes room for b: a client asks for it"]);
    let drained = |requests, since| {
        let draining = Some(("a", Phase::Draining, since));
        at.clone().replica("r2", "g2", draining).with("r2", |replica| replica.requests = requests).plan()
    };
    assert_eq!(drained(2, 10), [""; 0]);
    assert_eq!(drained(0, 10), ["unload a on r2: it is drained"]);
    assert_eq!(drained(2, 300), ["unload a on r2: 2 requests are not done, and their time is over"]);
}

#[test]
fn a_drain_is_taken_back_when_the_model_is_needed_again() {
    let at = fleet().model("a", as_is).replica("r1", "g1", Some(("a", Phase::Draining, 5))).needs("a", 1);
    assert_eq!(at.plan(), ["load a on r1: taken back: a client asks for it"]);
}

#[test]
fn on_a_shared_gpu_one_sleeps_so_that_the_other_has_room() {
    let at = fleet().model("a", as_is).model("b", as_is).replica("r1", "g1", one(900)).replica("r2", "g1", None);
    let at = at.unused("a", 900).needs("b", 1);
    assert_eq!(at.plan(), ["sleep a on r1: makes room for b: a client asks for it"]);
    let asleep = at.clone().replica("r1", "g1", Some(("a", Phase::Sleeping, 1)));
    assert_eq!(asleep.plan(), ["load b on r2: a client asks for it"]);
    let falling = at.clone().replica("r1", "g1", Some(("a", Phase::FallingAsleep, 1)));
    assert_eq!(falling.plan(), [""; 0]);
    // What is left of it is too much: it has to go altogether.
    let tight = at.clone().model("a", |spec| spec.asleep_mib = Some(30_000));
    assert_eq!(tight.plan(), ["unload a on r1: makes room for b: a client asks for it"]);
    let cannot = at.with("r1", |replica| replica.sleeps = false);
    assert_eq!(cannot.plan(), ["unload a on r1: makes room for b: a client asks for it"]);
}

#[test]
fn idle_replicas_sleep_and_are_unloaded_in_their_time() {
    let timed = |spec: &mut Spec| {
        (spec.sleep_after, spec.unload_after) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(600)));
    };
    let at = |phase| fleet().model("a", timed).replica("r1", "g1", Some(("a", phase, 5000)));
    assert_eq!(at(Phase::Ready).unused("a", 59).plan(), [""; 0]);
    assert_eq!(at(Phase::Ready).unused("a", 60).plan(), ["sleep a on r1: not needed for 1m"]);
    assert_eq!(at(Phase::Sleeping).unused("a", 599).plan(), [""; 0]);
    assert_eq!(at(Phase::Sleeping).unused("a", 600).plan(), ["unload a on r1: not needed for 10m"]);
    let busy = at(Phase::Ready).unused("a", 60).with("r1", |replica| replica.requests = 1);
    assert_eq!(busy.plan(), [""; 0]);
    let minimum = |spec: &mut Spec| (spec.min, spec.sleep_after) = (1, Some(Duration::from_secs(60)));
    assert_eq!(at(Phase::Ready).unused("a", 600).model("a", minimum).plan(), [""; 0]);
    let cannot = at(Phase::Ready).unused("a", 60).with("r1", |replica| replica.sleeps = false);
    assert_eq!(cannot.plan(), [""; 0]);
}

#[test]
fn what_failed_is_tried_elsewhere_and_here_after_a_while() {
    let at = |seconds| {
        let at = fleet().model("a", as_is).needs("a", 1).replica("r1", "g1", Some(("a", Phase::Failed, seconds)));
        at.failed("r1", What::Load("a".into()), seconds)
    };
    assert_eq!(at(4).plan(), [""; 0]);
    assert_eq!(at(4).replica("r2", "g2", None).plan(), ["load a on r2: a client asks for it"]);
    assert_eq!(at(5).plan(), ["load a on r1: a client asks for it"]);
    // A model that fails is given no one's place meanwhile.
    let other = at(4).model("b", as_is).unused("b", 900).replica("r2", "g2", Some(("b", Phase::Ready, 900)));
    assert_eq!(other.plan(), [""; 0]);
}

#[test]
fn the_catalogue_has_the_last_word() {
    let gone = fleet().replica("r1", "g1", one(10));
    assert_eq!(gone.plan(), ["unload a on r1: the catalogue gives the model no place"]);
    let many = fleet().model("a", as_is).replica("r1", "g1", one(10)).replica("r2", "g2", one(5)).needs("a", 1);
    assert_eq!(many.plan(), ["unload a on r2: the model has at most 1 replicas"]);
    let fixed = gone.with("r1", |replica| replica.obeys = false);
    assert_eq!(fixed.plan(), [""; 0]);
}

#[test]
fn adapters_are_the_same_on_every_replica() {
    let adapters = BTreeMap::from([("polite".into(), "/adapters/polite".into())]);
    let at = fleet().model("a", |spec| (spec.max, spec.adapters) = (2, adapters)).needs("a", 2);
    let at = at.replica("r1", "g1", one(10)).replica("r2", "g2", one(10));
    let at = at.with("r2", |replica| replica.holds.as_mut().unwrap().adapters = ["polite".into()].into());
    assert_eq!(at.plan(), ["load_adapter a on r1: the catalogue names it for this model"]);
    let none = at.model("a", |spec| spec.max = 2);
    assert_eq!(none.plan(), ["unload_adapter a on r2: the catalogue does not name it for this model"]);
}

#[test]
fn needs_follow_the_requests_and_are_remembered() {
    let rules = Rules::default();
    let spec: Spec = cloudach_service::config::parse("{source: m, gpus: 0, max: 3, requests_per_replica: 10}").unwrap();
    let mut need = Need::default();
    let mut needed = |open, last: Option<u64>, at: u64| {
        need.renew(Asked { open, last: last.map(Duration::from_secs) }, 0, &spec, &rules, Duration::from_secs(at));
        (need.now, need.last.iter().map(Duration::as_secs).collect::<Vec<_>>(), need.unmet_since.map(|at| at.as_secs()))
    };
    assert_eq!(needed(0, None, 1), (0, vec![], None));
    assert_eq!(needed(0, Some(5), 6), (1, vec![6], Some(6)));
    assert_eq!(needed(21, Some(10), 10), (3, vec![10, 10, 10], Some(6)));
    assert_eq!(needed(500, Some(11), 11), (3, vec![11, 11, 11], Some(6)));
    assert_eq!(needed(11, Some(12), 12), (2, vec![12, 12, 11], Some(6)));
    // The client was sent away and is waited for.
    assert_eq!(needed(0, Some(12), 41), (1, vec![41, 12, 11], Some(6)));
    assert_eq!(needed(0, Some(12), 42), (0, vec![41, 12, 11], None));
}

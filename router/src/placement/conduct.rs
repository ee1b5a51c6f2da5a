//! Carries plans out: looks at the fleet, asks the planner, sends commands, and follows what comes of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use cloudach_proto::v1::{
    CommandOutcome, Drain, LoadAdapter, LoadModel, RouterCommand, SleepModel, UnloadAdapter, UnloadModel, WakeModel,
    router_command::Command,
};
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::{
    course::{Course, Failed, Seen},
    decision::{Action, Decision},
    demand::{Asking, Demand},
    plan::{Rules, plan},
    spec::Spec,
};
use crate::{catalogue::Names, fleet::Fleet, metrics::Metrics};

/// How often is planned when nothing changes: times run out by themselves.
const PLAN_EVERY: Duration = Duration::from_secs(1);

/// Changes within this time share a plan: a fleet that starts changes many times at once.
const SETTLE: Duration = Duration::from_millis(20);

/// How deeply models sleep: 1 keeps the weights in the host's memory, and wakes within seconds.
const SLEEP_LEVEL: u32 = 1;

/// What is wanted of a model.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Replicas that requests need,
    pub needed: u32,
    /// and those that are to be awake.
    pub wanted: u32,
    /// How long there have been fewer.
    pub unmet: Option<Duration>,
}

/// The models of a catalogue that have a place.
#[derive(Debug)]
struct Placed {
    specs: BTreeMap<String, Spec>,
    /// Whose adapter each of them is.
    bases: HashMap<String, String>,
}

impl Placed {
    fn of(names: &Names) -> Self {
        let specs: BTreeMap<String, Spec> =
            names.models().filter_map(|(id, entry)| Some((id.to_owned(), entry.placement.clone()?))).collect();
        let adapters = |(id, spec): (&String, &Spec)| {
            spec.adapters.keys().map(|name| (name.clone(), id.clone())).collect::<Vec<_>>()
        };
        let bases = specs.iter().flat_map(adapters).collect();
        Self { specs, bases }
    }

    /// The model of this name, or that whose adapter it is.
    fn find(&self, name: &str) -> Option<(&String, &Spec)> {
        let of_adapter = || self.specs.get_key_value(self.bases.get(name)?);
        self.specs.get_key_value(name).or_else(of_adapter)
    }
}

/// Placement, for those who ask for models and those who report what has become of commands.
#[derive(Debug)]
pub struct Placement {
    models: ArcSwap<Placed>,
    demand: Demand,
    course: Mutex<Course>,
    rules: Rules,
    /// How long nothing is ordered after this router began to lead.
    settle: Duration,
    metrics: Arc<Metrics>,
}

impl Placement {
    pub fn new(names: &Names, rules: Rules, settle: Duration, metrics: Arc<Metrics>) -> Self {
        let models = Placed::of(names);
        let (demand, models) = (Demand::new(&models.specs), ArcSwap::from_pointee(models));
        Self { demand, models, course: Mutex::default(), rules, settle, metrics }
    }

    /// The catalogue is this one now.
    pub fn follow(&self, names: &Names) {
        let models = Placed::of(names);
        self.demand.follow(&models.specs);
        self.models.store(Arc::new(models));
        self.demand.stirred.notify_one();
    }

    /// A request needs this model: it is brought about, and kept while the guard lives. Readiness is told by the fleet.
    pub fn wanted(&self, model: &str) -> Asking {
        self.demand.ask(model)
    }

    /// A sidecar says what came of a command.
    pub fn outcome(&self, replica: &str, outcome: CommandOutcome) {
        let result = if outcome.done { Ok(()) } else { Err(outcome.detail) };
        let failed = self.course.lock().ended(replica, outcome.command_id, result, self.demand.now());
        failed.iter().for_each(|failed| self.tell(failed));
        self.demand.stirred.notify_one();
    }

    /// A replica has come anew, or has left.
    pub fn left(&self, replica: &str) {
        self.course.lock().left(replica);
    }

    /// For people: what was ordered of the replica and has not ended.
    pub fn under_way(&self, replica: &str) -> Option<String> {
        let course = self.course.lock();
        let decision = course.under_way(replica)?;
        Some(format!("{} {}: {}", decision.action.name(), decision.model, decision.reason))
    }

    /// For people: what is wanted of a model that is placed. An adapter is wanted as its model is.
    pub fn wish(&self, model: &str) -> Option<Wish> {
        let models = self.models.load();
        let (id, spec) = models.find(model)?;
        let course = self.course.lock();
        let need = course.need(id);
        Some(Wish {
            needed: need.map_or(0, |need| need.now),
            wanted: need.map_or(spec.min, |need| need.wanted(spec)),
            unmet: need.and_then(|need| need.unmet_since).map(|since| self.demand.now().saturating_sub(since)),
        })
    }

    /// Whether a replica of the model comes when it is asked for: one has the room, and none has just failed to load it.
    pub fn brings(&self, model: &str, fleet: &Fleet) -> bool {
        if !self.demand.counts(model) || self.fits_nowhere(model, fleet).is_some() {
            return false;
        }
        let models = self.models.load();
        models.find(model).is_some_and(|(id, _)| !self.course.lock().is_troubled(id, self.demand.now()))
    }

    /// For people: what the model needs, if no sidecar that obeys has that.
    pub fn fits_nowhere(&self, model: &str, fleet: &Fleet) -> Option<String> {
        let models = self.models.load();
        let spec = models.specs.get(model)?;
        let nowhere = !fleet.could_hold(spec);
        let Spec { dialect, gpus, memory_mib, .. } = spec;
        nowhere
            .then(|| format!("no managed sidecar has what it needs: {dialect}, {gpus} GPUs, {memory_mib} MiB of each"))
    }

    /// Plans whenever something changes, and every second, while this router leads. Never returns.
    pub async fn conduct(self: Arc<Self>, fleet: Arc<Fleet>, mut leads: watch::Receiver<Option<u64>>) {
        let mut changes = fleet.changes();
        let mut led = None;
        loop {
            let epoch = settled(&mut leads, &mut led, self.settle).await;
            self.step(&fleet, epoch);
            tokio::select! {
                Ok(()) = changes.changed() => {}
                Ok(()) = leads.changed() => {}
                () = self.demand.stirred.notified() => {}
                () = sleep(PLAN_EVERY) => {}
            }
            sleep(SETTLE).await;
        }
    }

    /// Makes one plan and sends it.
    fn step(&self, fleet: &Fleet, epoch: Option<u64>) {
        let replicas = fleet.replicas();
        let seen: BTreeMap<String, Seen> =
            replicas.iter().map(|replica| (replica.name.clone(), replica.seen())).collect();
        let now = self.demand.now();
        let mut course = self.course.lock();
        let (situation, failed) =
            course.stand(&self.models.load().specs, &seen, &self.demand.asked(), &self.rules, now);
        failed.iter().for_each(|failed| self.tell(failed));
        let Some(epoch) = epoch else { return };
        for decision in plan(&situation, &self.rules) {
            let Some(replica) = replicas.iter().find(|replica| replica.name == decision.replica) else { continue };
            let command = self.command(&decision);
            let reason = decision.reason.clone();
            info!(
                replica = decision.replica,
                model = decision.model,
                action = decision.action.name(),
                reason,
                "placement"
            );
            self.metrics.commanded(decision.action.name());
            let name = decision.replica.clone();
            let command_id = course.ordered(decision, now);
            if !replica.order(RouterCommand { epoch, command_id, command: Some(command), reason }) {
                let failed = course.ended(&name, command_id, Err("it does not read its commands".to_owned()), now);
                failed.iter().for_each(|failed| self.tell(failed));
            }
        }
    }

    fn command(&self, decision: &Decision) -> Command {
        let model = decision.model.clone();
        match &decision.action {
            Action::Load => {
                let models = self.models.load();
                let spec = models.specs.get(&model);
                Command::Load(LoadModel {
                    source: spec.map(|spec| spec.source.clone()).unwrap_or_default(),
                    arguments: spec.map(|spec| spec.arguments.clone()).unwrap_or_default(),
                    gpus: spec.map_or(0, |spec| spec.gpus),
                    model,
                })
            }
            Action::Wake => Command::Wake(WakeModel { model }),
            Action::Sleep => Command::Sleep(SleepModel { model, level: SLEEP_LEVEL }),
            Action::Drain => Command::Drain(Drain {}),
            Action::Unload => Command::Unload(UnloadModel { model }),
            Action::LoadAdapter { name, path } => {
                Command::LoadAdapter(LoadAdapter { model, adapter: name.clone(), path: path.clone() })
            }
            Action::UnloadAdapter { name } => Command::UnloadAdapter(UnloadAdapter { model, adapter: name.clone() }),
        }
    }

    fn tell(&self, failed: &Failed) {
        let Failed { decision, why } = failed;
        self.metrics.command_failed(decision.action.name());
        warn!(
            replica = decision.replica,
            model = decision.model,
            action = decision.action.name(),
            why,
            "not carried out"
        );
    }
}

/// The epoch to order with, once it has been the same for so long: sidecars that are there already say so within that time.
/// `led` is what it was before.
async fn settled(leads: &mut watch::Receiver<Option<u64>>, led: &mut Option<u64>, settle: Duration) -> Option<u64> {
    loop {
        let epoch = *leads.borrow_and_update();
        if epoch == *led {
            return epoch;
        }
        info!(epoch, "{}", if epoch.is_some() { "this router orders" } else { "another router orders" });
        *led = epoch;
        sleep(settle).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Whoever has ceased to lead while it waited orders nothing.
    #[tokio::test(start_paused = true)]
    async fn who_leads_is_looked_at_again_after_the_wait() {
        let settle = Duration::from_secs(10);
        for (before, meanwhile, after, waits) in [
            (None, None, None, 0),
            (Some(5), Some(5), Some(5), 1),
            (Some(5), None, None, 2),
            (Some(5), Some(7), Some(7), 2),
        ] {
            let (tell, mut leads) = watch::channel(before);
            let begun = Instant::now();
            let mut led = None;
            let changes = async {
                sleep(settle / 2).await;
                tell.send_if_modified(|now| std::mem::replace(now, meanwhile) != meanwhile);
            };
            let (epoch, ()) = tokio::join!(
                async {
                    let epoch = settled(&mut leads, &mut led, settle).await;
                    assert_eq!(begun.elapsed(), settle * waits, "{before:?}, then {meanwhile:?}");
                    epoch
                },
                changes
            );
            assert_eq!((epoch, led), (after, after), "{before:?}, then {meanwhile:?}");
        }
    }

    #[test]
    fn an_adapter_is_found_with_its_model() {
        let yaml = "models:\n  base: {placement: {source: /m, memory_mib: 5, adapters: {polite: /p}}}\n  other: {}\n";
        let placed = Placed::of(&Names::check(cloudach_service::config::parse(yaml).unwrap()).unwrap());
        let found = |name| placed.find(name).map(|(id, _)| id.as_str());
        assert_eq!([found("base"), found("polite"), found("other")], [Some("base"), Some("base"), None]);
    }
}

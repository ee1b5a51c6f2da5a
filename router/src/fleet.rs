//! The fleet: which replicas are attached, what they serve and how busy they are.

mod glance;
mod view;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use cloudach_proto::{
    session::client::Peer,
    v1::{
        Capabilities, ChatTemplate, DeathCause, GpuState, Hello, Load, ModelPhase, ModelState, ModelTraits,
        RouterCommand, SchemaWords,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tonic::Status;

use self::view::View;
pub use self::{glance::Glance, view::Serving};

use crate::{
    catalogue::Names,
    pick::{adapter::Residency, health::Health, prefix::Read},
    placement::{course::Seen, situation::Gpu, spec::Spec},
};

/// More adapters than an engine serves; what a replica says beyond that is not looked at.
const MOST_ADAPTERS: usize = 1000;

/// More models and adapters than a fleet serves; what replicas say of others is not kept.
const MOST_KNOWN: usize = 100_000;

/// More GPUs than a machine has; what a replica says beyond that is not looked at.
const MOST_GPUS: usize = 64;

/// A sidecar that is attached.
#[derive(Debug)]
pub struct Replica {
    pub name: String,
    pub peer: Peer,
    hello: Hello,
    /// Commands on their way to it.
    commands: mpsc::Sender<Result<RouterCommand, Status>>,
    /// What it last said of its model.
    model: Mutex<Option<ModelState>>,
    /// What it last said of how busy it is.
    load: Mutex<Load>,
    /// The adapters that it has ready, and how many it can have so.
    resident: Mutex<(Vec<String>, usize)>,
    /// What it last said of its GPUs.
    gpus: Mutex<Vec<GpuState>>,
    /// What each pick looks at.
    pub glance: Glance,
    /// What it has read.
    pub read: Read,
    /// How it does.
    health: Mutex<Health>,
}

impl Replica {
    /// A replica that has not said anything yet.
    pub fn new(hello: Hello, peer: Peer, commands: mpsc::Sender<Result<RouterCommand, Status>>) -> Self {
        Self {
            name: hello.replica.clone(),
            peer,
            hello,
            commands,
            model: Mutex::default(),
            load: Mutex::default(),
            resident: Mutex::default(),
            gpus: Mutex::default(),
            glance: Glance::default(),
            read: Read::default(),
            health: Mutex::default(),
        }
    }

    /// Sends a command; false when it does not read them.
    pub fn order(&self, command: RouterCommand) -> bool {
        self.commands.try_send(Ok(command)).is_ok()
    }

    /// For people: what it says of the state that its model is in.
    pub fn detail(&self) -> String {
        self.model.lock().as_ref().map(|state| state.detail.clone()).unwrap_or_default()
    }

    /// The names that it answers to, or will.
    fn names(&self) -> Vec<String> {
        self.model.lock().iter().flat_map(names).cloned().collect()
    }

    /// For people: why requests cannot be sent to it yet.
    fn why_not_ready(&self, state: &ModelState) -> String {
        if state.phase() == ModelPhase::Ready {
            return format!("{} is being connected", self.name);
        }
        let phase = state.phase().as_str_name().trim_start_matches("MODEL_PHASE_").to_lowercase();
        let detail = if state.detail.is_empty() { String::new() } else { format!(" ({})", state.detail) };
        format!("{} is {phase}{detail}", self.name)
    }

    /// How often its engine has died, and why it did the last time.
    pub fn deaths(&self) -> Option<(u32, DeathCause)> {
        let model = self.model.lock();
        let state = model.as_ref().filter(|state| state.deaths > 0)?;
        Some((state.deaths, state.last_death()))
    }

    /// What placement needs to know.
    pub fn seen(&self) -> Seen {
        let model = self.model.lock();
        let state = model.as_ref();
        Seen {
            dialect: self.hello.dialect.clone(),
            managed: self.hello.managed,
            sleeps: self.hello.sleeps,
            gpus: self.hello.gpus.iter().map(|gpu| Gpu { id: gpu.id.clone(), memory_mib: gpu.memory_mib }).collect(),
            connected: self.peer.is_connected(),
            leaving: state.is_some_and(|state| state.leaving),
            model: state.map(|state| state.model.clone()).unwrap_or_default(),
            phase: state.map(ModelState::phase).unwrap_or_default(),
            adapters: state.into_iter().flat_map(|state| state.adapters.iter().cloned()).collect(),
            requests: self.in_flight().max(self.glance.reported()),
        }
    }

    /// Takes its report of how busy it is.
    pub fn report(&self, mut load: Load) {
        let mut adapters = std::mem::take(&mut load.resident_adapters);
        adapters.truncate(MOST_ADAPTERS);
        *self.resident.lock() = (adapters, load.adapter_slots as usize);
        self.glance.report(&load);
        *self.load.lock() = load;
    }

    /// Takes its report of its GPUs.
    pub fn report_gpus(&self, mut gpus: Vec<GpuState>) {
        gpus.truncate(MOST_GPUS);
        *self.gpus.lock() = gpus;
    }

    /// What it said of its GPUs. Empty: it has none, or does not say.
    pub fn gpus(&self) -> Vec<GpuState> {
        self.gpus.lock().clone()
    }

    /// How busy it said it was.
    pub fn load(&self) -> Load {
        self.load.lock().clone()
    }

    /// Where it has this adapter; none: it is no adapter of its model, or it does not say.
    pub fn residency(&self, name: &str) -> Option<Residency> {
        if !self.model.lock().as_ref().is_some_and(|state| state.adapters.iter().any(|adapter| adapter == name)) {
            return None;
        }
        let (adapters, slots) = &*self.resident.lock();
        Residency::of(adapters, *slots, name)
    }

    /// Whether it takes a request now, or is left out because it fails.
    pub fn takes(&self, now: Instant) -> bool {
        !self.glance.is_out() || self.health.lock().takes(now)
    }

    /// Looks at how it does, or changes that.
    pub fn health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        let mut health = self.health.lock();
        let result = change(&mut health);
        // Under the lock, so that what was so before never replaces what is so now.
        self.glance.set_out(health.is_out());
        result
    }

    /// A request is sent there.
    pub fn take_off(&self) {
        self.glance.take_off();
    }

    /// A request has come back from there.
    pub fn land(&self) {
        self.glance.land();
    }

    /// Requests that this router has there.
    pub fn in_flight(&self) -> u32 {
        self.glance.in_flight()
    }
}

/// What replicas have said of a model. Kept when they leave, so that requests can still be checked and rendered
/// while the next one starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub context_length: u32,
    pub chat_template: Option<ChatTemplate>,
    pub capabilities: Option<Capabilities>,
    pub traits: Option<ModelTraits>,
}

/// All attached replicas.
#[derive(Debug)]
pub struct Fleet {
    replicas: Mutex<HashMap<String, Arc<Replica>>>,
    known: Mutex<HashMap<String, Known>>,
    /// What is known of each model: what requests and snapshots read, without a lock and without looking at each replica.
    view: ArcSwap<View>,
    changed: watch::Sender<()>,
    /// Somewhere there may be more room than before.
    room: Notify,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            replicas: Mutex::default(),
            known: Mutex::default(),
            view: ArcSwap::default(),
            changed: watch::Sender::new(()),
            room: Notify::new(),
        }
    }
}

impl Fleet {
    /// Adds a replica, in place of an older one of the same name.
    pub fn join(&self, replica: Arc<Replica>) {
        self.replicas.lock().insert(replica.name.clone(), replica);
        self.publish();
    }

    /// Forgets a replica, unless a newer one of the same name has taken its place. Requests that run there go on.
    pub fn leave(&self, replica: &Arc<Replica>) {
        let mut replicas = self.replicas.lock();
        if replicas.get(&replica.name).is_some_and(|present| Arc::ptr_eq(present, replica)) {
            replicas.remove(&replica.name);
        }
        drop(replicas);
        self.publish();
    }

    /// A replica's sessions have connected or broken.
    pub fn connection_changed(&self) {
        self.publish();
    }

    /// The catalogue is another one: what nobody has any more, nor could ask for, is forgotten.
    pub fn catalogue_changed(&self, names: &Names) {
        let attached: HashSet<String> = self.replicas().iter().flat_map(|replica| replica.names()).collect();
        self.known.lock().retain(|name, _| names.entry(name).is_some() || attached.contains(name));
        self.publish();
    }

    /// A replica has carried out a command, or has not.
    pub fn command_ended(&self) {
        self.publish();
    }

    /// Takes a replica's word on its model.
    pub fn model_state(&self, replica: &Replica, state: ModelState) {
        if state.phase() == ModelPhase::Ready {
            let known = Known {
                context_length: state.context_length,
                chat_template: state.chat_template.clone(),
                capabilities: state.capabilities,
                traits: state.traits.clone(),
            };
            let mut all = self.known.lock();
            for name in names(&state) {
                if all.len() < MOST_KNOWN || all.contains_key(name) {
                    all.insert(name.clone(), known.clone());
                }
            }
        }
        let mut model = replica.model.lock();
        let renewed = model.as_ref().is_some_and(|before| is_renewed(before, &state));
        *model = Some(state);
        drop(model);
        if renewed {
            replica.read.forget();
            replica.health(|health| health.renew(Instant::now()));
        }
        self.publish();
    }

    /// The replicas that are connected and ready to serve `model`.
    pub fn ready(&self, model: &str) -> Arc<Serving> {
        self.view.load().ready.get(model).cloned().unwrap_or_default()
    }

    /// How many replicas are ready to serve `model`.
    pub fn ready_count(&self, model: &str) -> usize {
        self.view.load().ready.get(model).map_or(0, |serving| serving.replicas.len())
    }

    /// How many replicas are ready to serve a model. One that serves several counts for each.
    pub fn all_ready(&self) -> usize {
        self.view.load().ready.values().map(|serving| serving.replicas.len()).sum()
    }

    /// What replicas have said of `model`. A schema must be in words that each of them understands, as any may get it.
    pub fn known(&self, model: &str) -> Known {
        let mut known = self.known.lock().get(model).cloned().unwrap_or_default();
        let narrow = self.view.load().narrow.contains(model);
        if let Some(capabilities) = known.capabilities.as_mut().filter(|_| narrow) {
            capabilities.set_schema_words(SchemaWords::LlamaCpp);
        }
        known
    }

    /// How many replicas are left out because they fail.
    pub fn ejected(&self) -> usize {
        self.replicas.lock().values().filter(|replica| replica.glance.is_out()).count()
    }

    /// For people: why no replica of `model` is ready, or no more of them.
    pub fn why_not_ready(&self, model: &str) -> String {
        let view = self.view.load();
        let other = if view.ready.contains_key(model) { "other " } else { "" };
        view.reasons.get(model).cloned().unwrap_or_else(|| format!("no {other}replica of it is attached"))
    }

    /// Whether a replica that is attached says that it has this model, in whatever state.
    pub fn has(&self, model: &str) -> bool {
        let view = self.view.load();
        view.ready.contains_key(model) || view.reasons.contains_key(model)
    }

    /// Whether one that is managed could run this, were nothing else there.
    pub fn could_hold(&self, spec: &Spec) -> bool {
        self.view.load().managed.iter().any(|(dialect, gpus)| spec.fits(dialect, gpus.iter().copied()))
    }

    /// Those that are attached, in no order.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.lock().values().cloned().collect()
    }

    /// How many replicas are attached.
    pub fn attached(&self) -> usize {
        self.replicas.lock().len()
    }

    /// Wakes whenever something of the above has changed, load excepted.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Somewhere there may be more room than before.
    pub fn make_room(&self) {
        self.room.notify_one();
    }

    /// Waits for more room. For one who waits.
    pub async fn room_made(&self) {
        self.room.notified().await;
    }

    fn publish(&self) {
        let replicas = self.replicas.lock();
        // Stored under the lock, so that an older view never replaces a newer one.
        self.view.store(Arc::new(View::of(replicas.values())));
        drop(replicas);
        self.changed.send_replace(());
        self.make_room();
    }
}

/// A model's name, and those of its adapters: they are spoken to as it is.
fn names(state: &ModelState) -> impl Iterator<Item = &String> {
    std::iter::once(&state.model).chain(state.adapters.iter().take(MOST_ADAPTERS))
}

/// Whether what was known of a replica's engine says nothing of the one that it has now. One that slept has read nothing
/// either.
fn is_renewed(before: &ModelState, now: &ModelState) -> bool {
    let served = matches!(before.phase(), ModelPhase::Ready | ModelPhase::Draining);
    before.model != now.model || (now.phase() == ModelPhase::Ready && (!served || before.deaths != now.deaths))
}

#[cfg(test)]
mod tests {
    use cloudach_proto::v1;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;

    fn replica(name: &str, gpus: &[u64]) -> Arc<Replica> {
        let address = "127.0.0.1:1".parse().unwrap();
        let way = cloudach_service::grpc::Dial::to(&address, None).unwrap();
        let peer = Peer::connect(|| way.lazily(), &TaskTracker::new(), &CancellationToken::new());
        let gpus = gpus.iter().map(|&memory_mib| v1::Gpu { id: "0".to_owned(), memory_mib }).collect::<Vec<_>>();
        let (replica, dialect) = (name.to_owned(), "vllm".to_owned());
        let hello = Hello { replica, dialect, managed: !gpus.is_empty(), gpus, ..Hello::default() };
        Arc::new(Replica::new(hello, peer, mpsc::channel(1).0))
    }

    fn says(model: &str, phase: ModelPhase, schema_words: SchemaWords) -> ModelState {
        let capabilities = Some(Capabilities { schema_words: schema_words.into(), ..Capabilities::default() });
        ModelState { model: model.to_owned(), phase: phase.into(), capabilities, ..ModelState::default() }
    }

    #[tokio::test]
    async fn what_replicas_say_is_told_by_model() {
        let (fleet, one, two) = (Fleet::default(), replica("one", &[80]), replica("two", &[]));
        [&one, &two].into_iter().for_each(|replica| fleet.join(replica.clone()));
        assert_eq!((fleet.why_not_ready("m"), fleet.has("m")), ("no replica of it is attached".to_owned(), false));
        fleet.model_state(&two, says("m", ModelPhase::Ready, SchemaWords::Llguidance));
        let words = || fleet.known("m").capabilities.map(|said| said.schema_words());
        assert_eq!(words(), Some(SchemaWords::Llguidance));
        let loading = ModelState { detail: "half".to_owned(), ..says("m", ModelPhase::Loading, SchemaWords::LlamaCpp) };
        fleet.model_state(&one, loading);
        assert_eq!(words(), Some(SchemaWords::LlamaCpp), "any of them may get a schema");
        assert_eq!(fleet.why_not_ready("m"), "one is loading (half); two is being connected");
        assert!(fleet.has("m") && fleet.ready_count("m") == 0);
        let spec = |memory: u64| {
            cloudach_service::config::parse::<Spec>(&format!("{{source: m, memory_mib: {memory}}}")).unwrap()
        };
        assert!(fleet.could_hold(&spec(80)) && !fleet.could_hold(&spec(81)));
        fleet.leave(&one);
        assert!(!fleet.could_hold(&spec(80)), "the other one is not managed");
        assert_eq!(words(), Some(SchemaWords::Llguidance));
        assert_eq!(fleet.why_not_ready("m"), "two is being connected");
    }

    #[tokio::test]
    async fn another_engine_begins_anew() {
        let well = || says("m", ModelPhase::Ready, SchemaWords::Unspecified);
        let phase = |phase| says("m", phase, SchemaWords::Unspecified);
        let died = ModelState { deaths: 1, ..well() };
        for (what, then, anew) in [
            ("it died and is back", vec![phase(ModelPhase::Loading), well()], true),
            ("it failed and is back", vec![phase(ModelPhase::Failed), well()], true),
            ("it slept", vec![phase(ModelPhase::Draining), phase(ModelPhase::Sleeping), well()], true),
            ("it died and was back before that was told", vec![died], true),
            ("it has another model", vec![says("n", ModelPhase::Loading, SchemaWords::Unspecified)], true),
            ("it is not back yet", vec![phase(ModelPhase::Loading)], false),
            ("it drained", vec![phase(ModelPhase::Draining), well()], false),
            ("it said the same again", vec![well()], false),
        ] {
            let (fleet, one) = (Fleet::default(), replica("one", &[]));
            fleet.join(one.clone());
            fleet.model_state(&one, well());
            let eject = crate::config::Eject { failures: 1, ..crate::config::Relay::default().eject };
            let now = Instant::now();
            one.health(|health| health.fail(now, false, Default::default(), true, &eject));
            assert!(!one.takes(now) && one.glance.is_out());
            then.into_iter().for_each(|state| fleet.model_state(&one, state));
            assert_eq!((one.takes(now), one.glance.is_out()), (anew, !anew), "{what}");
        }
    }

    #[tokio::test]
    async fn what_nobody_has_nor_could_ask_for_is_forgotten() {
        let (fleet, one, two) = (Fleet::default(), replica("one", &[]), replica("two", &[]));
        [&one, &two].into_iter().for_each(|replica| fleet.join(replica.clone()));
        let ready =
            |model: &str| ModelState { context_length: 9, ..says(model, ModelPhase::Ready, SchemaWords::Unspecified) };
        let with_adapter =
            |model: &str, adapter: &str| ModelState { adapters: vec![adapter.to_owned()], ..ready(model) };
        fleet.model_state(&one, with_adapter("old", "old-adapter"));
        fleet.model_state(&one, ready("asked-for"));
        fleet.model_state(&one, ready("there"));
        fleet.model_state(&two, with_adapter("there", "adapter"));
        let names = Names::check(cloudach_service::config::parse("models: {asked-for: {}}").unwrap()).unwrap();
        fleet.catalogue_changed(&names);
        let known = |name| fleet.known(name).context_length == 9;
        assert_eq!(["asked-for", "there", "adapter"].map(known), [true; 3]);
        assert_eq!(["old", "old-adapter"].map(known), [false; 2]);
        assert_eq!(fleet.known.lock().len(), 3);
    }
}

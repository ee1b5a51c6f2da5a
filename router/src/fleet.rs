//! The fleet: which replicas are attached, what they serve and how busy they are.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
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
use tokio::sync::{Notify, mpsc, watch};
use tonic::Status;

use crate::{
    pick::{adapter::Residency, health::Health, prefix::Read},
    placement::{course::Seen, situation::Gpu},
};

/// More adapters than an engine serves; what a replica says beyond that is not looked at.
const MOST_ADAPTERS: usize = 1000;

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
    /// What it last said of its model, by its name. It has one at the most.
    models: Mutex<HashMap<String, ModelState>>,
    /// What it last said of how busy it is.
    load: Mutex<Load>,
    /// The same, for who looks at every replica for each request.
    reported: Reported,
    /// The adapters that it has ready, and how many it can have so.
    resident: Mutex<(Vec<String>, usize)>,
    /// What it last said of its GPUs.
    gpus: Mutex<Vec<GpuState>>,
    /// Requests that this router has there, or has decided to send there.
    in_flight: AtomicU32,
    /// What it has read.
    pub read: Read,
    /// How it does.
    pub health: Mutex<Health>,
}

impl Replica {
    /// A replica that has not said anything yet.
    pub fn new(hello: Hello, peer: Peer, commands: mpsc::Sender<Result<RouterCommand, Status>>) -> Self {
        Self {
            name: hello.replica.clone(),
            peer,
            hello,
            commands,
            models: Mutex::default(),
            load: Mutex::default(),
            reported: Reported::default(),
            resident: Mutex::default(),
            gpus: Mutex::default(),
            in_flight: AtomicU32::new(0),
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
        self.models.lock().values().next().map(|state| state.detail.clone()).unwrap_or_default()
    }

    /// How often its engine has died, and why it did the last time.
    pub fn deaths(&self) -> Option<(u32, DeathCause)> {
        let models = self.models.lock();
        let state = models.values().next().filter(|state| state.deaths > 0)?;
        Some((state.deaths, state.last_death()))
    }

    /// What placement needs to know.
    pub fn seen(&self) -> Seen {
        let state = self.models.lock().values().next().cloned();
        let load = self.load();
        Seen {
            dialect: self.hello.dialect.clone(),
            managed: self.hello.managed,
            sleeps: self.hello.sleeps,
            gpus: self.hello.gpus.iter().map(|gpu| Gpu { id: gpu.id.clone(), memory_mib: gpu.memory_mib }).collect(),
            connected: self.peer.is_connected(),
            leaving: state.as_ref().is_some_and(|state| state.leaving),
            model: state.as_ref().map(|state| state.model.clone()).unwrap_or_default(),
            phase: state.as_ref().map(ModelState::phase).unwrap_or_default(),
            adapters: state.into_iter().flat_map(|state| state.adapters).collect(),
            requests: self.in_flight().max(load.running.saturating_add(load.waiting)),
        }
    }

    /// Takes its report of how busy it is.
    pub fn report(&self, mut load: Load) {
        let mut adapters = std::mem::take(&mut load.resident_adapters);
        adapters.truncate(MOST_ADAPTERS);
        *self.resident.lock() = (adapters, load.adapter_slots as usize);
        self.reported.take(&load);
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

    /// The same, as far as a request's place depends on it.
    pub fn busy(&self) -> Busy {
        self.reported.tell()
    }

    /// Where it has this adapter; none: it is no adapter of its model, or it does not say.
    pub fn residency(&self, name: &str) -> Option<Residency> {
        if !self.models.lock().values().any(|state| state.adapters.iter().any(|adapter| adapter == name)) {
            return None;
        }
        let (adapters, slots) = &*self.resident.lock();
        Residency::of(adapters, *slots, name)
    }

    /// A request is sent there.
    pub fn take_off(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has come back from there.
    pub fn land(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests that this router has there.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// How busy a replica said it was.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    pub running: u32,
    pub waiting: u32,
    pub kv_cache_usage: f32,
}

impl Busy {
    /// All requests inside its engine.
    pub fn requests(self) -> u32 {
        self.running.saturating_add(self.waiting)
    }
}

/// What a replica reported last, read without a lock. Its cache's usage may be of another report than the rest.
#[derive(Debug, Default)]
struct Reported {
    /// Those that run in the upper half, those that wait in the lower one.
    requests: AtomicU64,
    /// The bits of its share.
    kv_cache_usage: AtomicU32,
}

impl Reported {
    fn take(&self, load: &Load) {
        self.requests.store(u64::from(load.running) << 32 | u64::from(load.waiting), Ordering::Relaxed);
        self.kv_cache_usage.store(load.kv_cache_usage.to_bits(), Ordering::Relaxed);
    }

    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    fn tell(&self) -> Busy {
        let requests = self.requests.load(Ordering::Relaxed);
        let kv_cache_usage = f32::from_bits(self.kv_cache_usage.load(Ordering::Relaxed));
        Busy { running: (requests >> 32) as u32, waiting: requests as u32, kv_cache_usage }
    }
}

/// The replicas that serve a name now.
#[derive(Debug, Default)]
pub struct Serving {
    pub replicas: Vec<Arc<Replica>>,
    /// Some of them have it as an adapter.
    pub is_adapter: bool,
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
    /// The replicas that are ready, by model: what requests read, without a lock.
    ready: ArcSwap<HashMap<String, Arc<Serving>>>,
    changed: watch::Sender<()>,
    /// Somewhere there may be more room than before.
    room: Notify,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            replicas: Mutex::default(),
            known: Mutex::default(),
            ready: ArcSwap::default(),
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

    /// The catalogue is another one.
    pub fn catalogue_changed(&self) {
        self.publish();
    }

    /// A replica has carried out a command, or has not.
    pub fn command_ended(&self) {
        self.publish();
    }

    /// Takes a replica's word on one of its models.
    pub fn model_state(&self, replica: &Replica, state: ModelState) {
        if state.phase() == ModelPhase::Ready {
            let known = Known {
                context_length: state.context_length,
                chat_template: state.chat_template.clone(),
                capabilities: state.capabilities,
                traits: state.traits.clone(),
            };
            // An adapter is spoken to as its model is.
            let mut all = self.known.lock();
            for adapter in state.adapters.iter().take(MOST_ADAPTERS) {
                all.insert(adapter.clone(), known.clone());
            }
            all.insert(state.model.clone(), known);
        }
        let mut models = replica.models.lock();
        // It has one engine: what it says of another model is the end of the one before.
        models.clear();
        models.insert(state.model.clone(), state);
        drop(models);
        self.publish();
    }

    /// The replicas that are connected and ready to serve `model`.
    pub fn ready(&self, model: &str) -> Arc<Serving> {
        self.ready.load().get(model).cloned().unwrap_or_default()
    }

    /// How many replicas are ready to serve `model`.
    pub fn ready_count(&self, model: &str) -> usize {
        self.ready.load().get(model).map_or(0, |serving| serving.replicas.len())
    }

    /// How many replicas are ready to serve a model. One that serves several counts for each.
    pub fn all_ready(&self) -> usize {
        self.ready.load().values().map(|serving| serving.replicas.len()).sum()
    }

    /// What replicas have said of `model`. A schema must be in words that each of them understands, as any may get it.
    pub fn known(&self, model: &str) -> Known {
        let mut known = self.known.lock().get(model).cloned().unwrap_or_default();
        let narrow = self.replicas.lock().values().any(|replica| {
            let said = replica.models.lock().get(model).and_then(|state| state.capabilities);
            said.is_some_and(|said| said.schema_words() == SchemaWords::LlamaCpp)
        });
        if let Some(capabilities) = known.capabilities.as_mut().filter(|_| narrow) {
            capabilities.set_schema_words(SchemaWords::LlamaCpp);
        }
        known
    }

    /// How many replicas are left out because they fail.
    pub fn ejected(&self) -> usize {
        self.replicas.lock().values().filter(|replica| replica.health.lock().is_out()).count()
    }

    /// For people: why no replica of `model` is ready.
    pub fn why_not_ready(&self, model: &str) -> String {
        let replicas = self.replicas.lock();
        let mut reasons: Vec<String> = replicas
            .values()
            .filter_map(|replica| {
                let models = replica.models.lock();
                let state = models.get(model)?;
                if state.phase() == ModelPhase::Ready {
                    return Some(format!("{} is being connected", replica.name));
                }
                let phase = state.phase().as_str_name().trim_start_matches("MODEL_PHASE_").to_lowercase();
                let detail = if state.detail.is_empty() { String::new() } else { format!(" ({})", state.detail) };
                Some(format!("{} is {phase}{detail}", replica.name))
            })
            .collect();
        reasons.sort();
        if reasons.is_empty() { "no replica of it is attached".to_owned() } else { reasons.join("; ") }
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
        let mut ready: HashMap<String, Serving> = HashMap::new();
        for replica in replicas.values() {
            if !replica.peer.is_connected() {
                continue;
            }
            for state in replica.models.lock().values().filter(|state| state.phase() == ModelPhase::Ready) {
                ready.entry(state.model.clone()).or_default().replicas.push(replica.clone());
                for name in state.adapters.iter().take(MOST_ADAPTERS) {
                    let serving = ready.entry(name.clone()).or_default();
                    serving.replicas.push(replica.clone());
                    serving.is_adapter = true;
                }
            }
        }
        // Stored under the lock, so that an older view never replaces a newer one.
        self.ready.store(Arc::new(ready.into_iter().map(|(name, serving)| (name, Arc::new(serving))).collect()));
        drop(replicas);
        self.changed.send_replace(());
        self.make_room();
    }
}

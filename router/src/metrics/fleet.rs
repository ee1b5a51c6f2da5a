//! Figures of the fleet: looked up when they are asked for, so that who has left is not told of.

use std::sync::Arc;

use cloudach_proto::v1::ModelPhase;
use cloudach_service::{
    label, label_set,
    metrics::{Exposition, Question, Ratio, label::Model},
    named,
};
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use strum::{IntoStaticStr, VariantArray};
use tokio::sync::watch;

use crate::{
    catalogue::{Current, Names},
    fleet::{Fleet, Replica},
    placement::conduct::Placement,
    queue::Queues,
};

/// What a replica does with its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Phase {
    Unloaded,
    Loading,
    Ready,
    Sleeping,
    Draining,
    Failed,
}

label!(Phase);

named! {
    struct Name(String) = "the name of a sidecar that is attached now";
    struct Held(String) = "a model of the catalogue; `none`; `other`: one that the catalogue does not name";
}

label_set! {
    struct ModelLabel { model: Model }
    struct PhaseLabels { model: Held, phase: Phase }
    struct ReplicaLabels { replica: Name, model: Held }
}

/// Where the figures are.
#[derive(Debug)]
pub struct Looked {
    pub names: Current,
    pub fleet: Arc<Fleet>,
    pub queues: Arc<Queues>,
    pub placement: Arc<Placement>,
    /// Whether this router orders.
    pub leads: watch::Receiver<Option<u64>>,
}

/// What is looked up.
#[derive(Debug, Default)]
struct Figures {
    waiting: Gauge,
    attached: Gauge,
    ejected: Gauge,
    ready: Gauge,
    leads: Gauge,
    model_waiting: Family<ModelLabel, Gauge>,
    model_ready: Family<ModelLabel, Gauge>,
    model_wanted: Family<ModelLabel, Gauge>,
    phases: Family<PhaseLabels, Gauge>,
    in_flight: Family<ReplicaLabels, Gauge>,
    running: Family<ReplicaLabels, Gauge>,
    queued: Family<ReplicaLabels, Gauge>,
    kv_cache: Family<ReplicaLabels, Ratio>,
}

/// Shows them on this page.
pub fn register(page: &mut Exposition, looked: Looked) {
    let figures = describe(page);
    page.look(move || figures.look(&looked));
}

fn describe(page: &mut Exposition) -> Figures {
    let figures = Figures::default();
    page.answering(Question::Saturation)
        .add("requests_waiting", "Requests that wait until a replica has room", &figures.waiting)
        .add("model_requests_waiting", "The same, by model", &figures.model_waiting)
        .add("replica_requests_in_flight", "Requests that this router has at a replica", &figures.in_flight)
        .add("replica_requests_running", "Requests in the batch of a replica, of all routers", &figures.running)
        .add("replica_requests_waiting", "Requests queued in a replica, of all routers", &figures.queued)
        .add("replica_kv_cache_usage_ratio", "Share of a replica's KV cache that is in use", &figures.kv_cache);
    page.answering(Question::Fleet)
        .add("replicas_attached", "Replicas that are attached", &figures.attached)
        .add("replicas_ejected", "Replicas left out now because they fail", &figures.ejected)
        .add("replicas_ready", "Replicas that serve a model now", &figures.ready)
        .add("replicas", "Replicas that are attached, by their model and what they do with it", &figures.phases)
        .add("model_replicas_ready", "Replicas that serve this model or adapter now", &figures.model_ready)
        .add(
            "model_replicas_wanted",
            "Replicas that placement wants awake, of models that are placed",
            &figures.model_wanted,
        )
        .add("placement_leads", "1 while this router orders where models are loaded", &figures.leads);
    figures
}

impl Figures {
    fn look(&self, looked: &Looked) {
        let Looked { names, fleet, queues, placement, leads } = looked;
        let names = names.now();
        self.waiting.set(signed(queues.waiting()));
        self.attached.set(signed(fleet.attached()));
        self.ejected.set(signed(fleet.ejected()));
        self.ready.set(signed(fleet.all_ready()));
        self.leads.set(leads.borrow().is_some().into());
        for (model, _) in names.models() {
            let label = ModelLabel { model: Model(model.to_owned()) };
            self.model_waiting.get_or_create(&label).set(signed(queues.waiting_for(model)));
            self.model_ready.get_or_create(&label).set(signed(fleet.ready_count(model)));
            if let Some(wish) = placement.wish(model) {
                self.model_wanted.get_or_create(&label).set(wish.wanted.into());
            }
        }
        self.phases.clear();
        self.in_flight.clear();
        self.running.clear();
        self.queued.clear();
        self.kv_cache.clear();
        for replica in fleet.replicas() {
            self.look_at(&replica, &names);
        }
    }

    fn look_at(&self, replica: &Replica, names: &Names) {
        let (seen, load) = (replica.seen(), replica.load());
        let model = Held(match seen.model.as_str() {
            "" => "none".to_owned(),
            model if names.entry(model).is_some() => model.to_owned(),
            _ => "other".to_owned(),
        });
        self.phases.get_or_create(&PhaseLabels { model: model.clone(), phase: phase(seen.phase) }).inc();
        let labels = ReplicaLabels { replica: Name(replica.name.clone()), model };
        self.in_flight.get_or_create(&labels).set(replica.in_flight().into());
        self.running.get_or_create(&labels).set(load.running.into());
        self.queued.get_or_create(&labels).set(load.waiting.into());
        self.kv_cache.get_or_create(&labels).set(load.kv_cache_usage.into());
    }
}

fn phase(phase: ModelPhase) -> Phase {
    match phase {
        ModelPhase::Unspecified | ModelPhase::Unloaded => Phase::Unloaded,
        ModelPhase::Loading => Phase::Loading,
        ModelPhase::Ready => Phase::Ready,
        ModelPhase::Sleeping => Phase::Sleeping,
        ModelPhase::Draining => Phase::Draining,
        ModelPhase::Failed => Phase::Failed,
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is on the page, without a fleet: for its description.
pub fn described(page: &mut Exposition) {
    describe(page);
}

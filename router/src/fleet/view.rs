//! What replicas come to, worked out when one of them changes: requests and snapshots read it without a lock, and without
//! looking at each replica.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cloudach_proto::v1::{ModelPhase, SchemaWords};

use super::{MOST_ADAPTERS, Replica};

/// The replicas that serve a name now.
#[derive(Debug, Default)]
pub struct Serving {
    pub replicas: Vec<Arc<Replica>>,
    /// Some of them have it as an adapter.
    pub is_adapter: bool,
}

/// What replicas come to, by model.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Those that are ready.
    pub(super) ready: HashMap<String, Arc<Serving>>,
    /// Models of which one replica at least understands the words of llama.cpp's schemas alone.
    pub(super) narrow: HashSet<String>,
    /// For people: why replicas are not ready that are attached.
    pub(super) reasons: HashMap<String, String>,
    /// The kinds of sidecars that are managed: the dialect, and the MiB of each GPU.
    pub(super) managed: HashSet<(String, Vec<u64>)>,
}

impl View {
    pub(super) fn of<'a>(replicas: impl Iterator<Item = &'a Arc<Replica>>) -> Self {
        let mut ready: HashMap<String, Serving> = HashMap::new();
        let mut reasons: HashMap<String, Vec<String>> = HashMap::new();
        let (mut narrow, mut managed) = (HashSet::new(), HashSet::new());
        for replica in replicas {
            if replica.hello.managed {
                let gpus = replica.hello.gpus.iter().map(|gpu| gpu.memory_mib).collect();
                managed.insert((replica.hello.dialect.clone(), gpus));
            }
            let is_connected = replica.peer.is_connected();
            if let Some(state) = replica.model.lock().as_ref() {
                if state.capabilities.is_some_and(|said| said.schema_words() == SchemaWords::LlamaCpp) {
                    narrow.insert(state.model.clone());
                }
                if !is_connected || state.phase() != ModelPhase::Ready {
                    reasons.entry(state.model.clone()).or_default().push(replica.why_not_ready(state));
                    continue;
                }
                ready.entry(state.model.clone()).or_default().replicas.push(replica.clone());
                for name in state.adapters.iter().take(MOST_ADAPTERS) {
                    let serving = ready.entry(name.clone()).or_default();
                    serving.replicas.push(replica.clone());
                    serving.is_adapter = true;
                }
            }
        }
        let told = |(model, mut reasons): (String, Vec<String>)| {
            reasons.sort();
            (model, reasons.join("; "))
        };
        Self {
            ready: ready.into_iter().map(|(name, serving)| (name, Arc::new(serving))).collect(),
            narrow,
            reasons: reasons.into_iter().map(told).collect(),
            managed,
        }
    }
}

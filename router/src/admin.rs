//! What operators are shown on the admin port: `/fleet` and `/models`, as JSON. Nothing can be changed there.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use cloudach_proto::v1::GpuState;
use serde::Serialize;

use crate::{
    catalogue::{Current, Names},
    fleet::{Fleet, Replica},
    placement::conduct::{Placement, Wish},
    queue::Queues,
};

/// The replicas that are attached, by name.
#[derive(Debug, Serialize)]
struct Shown {
    replicas: Vec<ShownReplica>,
}

#[derive(Debug, Serialize)]
struct ShownReplica {
    name: String,
    managed: bool,
    dialect: String,
    /// Those that placement may use, as configured.
    gpus: Vec<ShownGpu>,
    /// Those that the engine works on, as their driver tells.
    gpu_states: Vec<ShownGpuState>,
    model: String,
    phase: String,
    detail: String,
    /// How often its engine has died since the sidecar began.
    deaths: u32,
    /// Why it did the last time. None: it has not.
    last_death: Option<String>,
    adapters: Vec<String>,
    requests: u32,
    /// As it said last: requests in the engine's batch, and others that it has; the share of its KV cache in use, 0 to 1;
    /// tokens that it has generated since its sidecar began.
    running: u32,
    waiting: u32,
    kv_cache_usage: f32,
    completion_tokens: u64,
    /// What was ordered and has not ended.
    under_way: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownGpu {
    id: String,
    memory_mib: u64,
}

#[derive(Debug, Serialize)]
struct ShownGpuState {
    index: u32,
    uuid: String,
    name: String,
    memory_total_mib: u64,
    memory_used_mib: u64,
    /// None, here and below: it does not tell.
    utilization_percent: Option<u32>,
    temperature_celsius: Option<u32>,
    uncorrected_errors: Option<u64>,
    throttled: Vec<String>,
    xids: Vec<u32>,
    /// What is wrong with it. Empty: nothing.
    fault: String,
}

/// The catalogue's models, by id.
#[derive(Debug, Serialize)]
struct ShownModels {
    models: Vec<ShownModel>,
}

#[derive(Debug, Serialize)]
struct ShownModel {
    id: String,
    ready: usize,
    /// None: it is not placed.
    min: Option<u32>,
    max: Option<u32>,
    /// Replicas that requests need now.
    needed: Option<u32>,
    /// Requests that wait for it at this router.
    waiting: usize,
    /// Why no replica is ready, or fewer than are wanted.
    waits_for: String,
}

/// The routes of what is shown.
pub fn routes(names: Current, fleet: Arc<Fleet>, placement: Arc<Placement>, queues: Arc<Queues>) -> Router {
    let (of_fleet, of_placement) = (fleet.clone(), placement.clone());
    Router::new()
        .route("/fleet", get(move || std::future::ready(Json(replicas(&of_fleet, &of_placement)))))
        .route("/models", get(move || std::future::ready(Json(models(&names.now(), &fleet, &placement, &queues)))))
}

fn replicas(fleet: &Fleet, placement: &Placement) -> Shown {
    let mut replicas = fleet.replicas();
    replicas.sort_by(|a, b| a.name.cmp(&b.name));
    Shown { replicas: replicas.iter().map(|replica| shown(replica, placement)).collect() }
}

fn shown(replica: &Replica, placement: &Placement) -> ShownReplica {
    let seen = replica.seen();
    let deaths = replica.deaths();
    let load = replica.load();
    let phase = seen.phase.as_str_name().trim_start_matches("MODEL_PHASE_").to_lowercase();
    ShownReplica {
        name: replica.name.clone(),
        managed: seen.managed,
        dialect: seen.dialect,
        gpus: seen.gpus.into_iter().map(|gpu| ShownGpu { id: gpu.id, memory_mib: gpu.memory_mib }).collect(),
        gpu_states: replica.gpus().into_iter().map(shown_gpu).collect(),
        phase: if seen.leaving { "leaving".to_owned() } else { phase },
        detail: replica.detail(),
        deaths: deaths.map_or(0, |(deaths, _)| deaths),
        last_death: deaths.map(|(_, cause)| cause.as_str_name().trim_start_matches("DEATH_CAUSE_").to_lowercase()),
        model: seen.model,
        adapters: seen.adapters.into_iter().collect(),
        requests: seen.requests,
        running: load.running,
        waiting: load.waiting,
        kv_cache_usage: load.kv_cache_usage,
        completion_tokens: load.completion_tokens,
        under_way: placement.under_way(&replica.name),
    }
}

fn shown_gpu(gpu: GpuState) -> ShownGpuState {
    ShownGpuState {
        index: gpu.index,
        uuid: gpu.uuid,
        name: gpu.name,
        memory_total_mib: gpu.memory_total_mib,
        memory_used_mib: gpu.memory_used_mib,
        utilization_percent: gpu.utilization_percent,
        temperature_celsius: gpu.temperature_celsius,
        uncorrected_errors: gpu.uncorrected_errors,
        throttled: gpu.throttled,
        xids: gpu.xids,
        fault: gpu.fault,
    }
}

fn models(names: &Names, fleet: &Fleet, placement: &Placement, queues: &Queues) -> ShownModels {
    let models = names.models().map(|(id, entry)| {
        let ready = fleet.ready_count(id);
        let wish = placement.wish(id);
        let wanted = wish.as_ref().map_or(1, |wish| wish.wanted.max(1));
        let lacks = ready < wanted as usize;
        ShownModel {
            id: id.to_owned(),
            ready,
            min: entry.placement.as_ref().map(|spec| spec.min),
            max: entry.placement.as_ref().map(|spec| spec.max),
            needed: wish.as_ref().map(|wish| wish.needed),
            waiting: queues.waiting_for(id),
            waits_for: match lacks {
                true => {
                    let here = entry.placement.is_none() || fleet.has(id);
                    let why = match placement.fits_nowhere(id, fleet) {
                        Some(why) => why,
                        None if ready == 0 && wish.is_some_and(|wish| wish.wanted == 0) => {
                            "nobody has asked for it".to_owned()
                        }
                        None if here => fleet.why_not_ready(id),
                        None => "its places are taken by models that are needed there, or were lately".to_owned(),
                    };
                    waits_for(why, wish)
                }
                false => String::new(),
            },
        }
    });
    ShownModels { models: models.collect() }
}

fn waits_for(why: String, wish: Option<Wish>) -> String {
    match wish {
        Some(Wish { unmet: Some(unmet), .. }) => {
            format!("{why}; wanted for {}", humantime::format_duration(std::time::Duration::from_secs(unmet.as_secs())))
        }
        _ => why,
    }
}

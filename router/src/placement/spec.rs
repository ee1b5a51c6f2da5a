//! What the catalogue says of a model's place: what it needs, how many replicas, and when they are let go of.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

/// More replicas of one model than any fleet has: bounds what is kept for each.
const MOST_REPLICAS: u32 = 1000;

/// How and where a model is loaded. It is placed on the sidecars that are managed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What the engine loads: a folder, a file, or a name that it can resolve. The sidecar must allow it.
    pub source: String,
    /// The engines that can load it: `vllm` or `llama_cpp`.
    #[serde(default = "Spec::default_dialect")]
    pub dialect: String,
    /// Added to the engine's command. The sidecar must allow each.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// GPUs that it is spread over (tensor parallel): the first ones of the sidecar. 0: it runs on the processor.
    #[serde(default = "Spec::default_gpus")]
    pub gpus: u32,
    /// What it takes of each of these GPUs, weights and KV cache together, in MiB.
    #[serde(default)]
    pub memory_mib: u64,
    /// What is left of that while it sleeps, in MiB. Default: a tenth, as vLLM frees nine tenths at the least.
    #[serde(default)]
    pub asleep_mib: Option<u64>,
    /// Replicas that are kept awake without any request.
    #[serde(default)]
    pub min: u32,
    /// Replicas that are awake at the same time, at most.
    #[serde(default = "Spec::default_max")]
    pub max: u32,
    /// Requests that one replica is to have at the same time; more of them call for another replica, up to `max`.
    #[serde(default = "Spec::default_requests_per_replica")]
    pub requests_per_replica: u32,
    /// A replica that was not needed for so long is put to sleep, where its engine can. Absent: it stays awake until
    /// another model needs its place.
    #[serde(default, with = "humantime_serde")]
    pub sleep_after: Option<Duration>,
    /// A replica that was not needed for so long is unloaded, awake or asleep. Absent: it stays until another model
    /// needs its place.
    #[serde(default, with = "humantime_serde")]
    pub unload_after: Option<Duration>,
    /// LoRA adapters by the names that clients use, and where they lie for the engine. Each is a model of its own, served
    /// wherever this one is loaded.
    #[serde(default)]
    pub adapters: BTreeMap<String, String>,
}

impl Spec {
    /// Whether it could run on a sidecar of this dialect with GPUs of so many MiB, were nothing else there.
    pub fn fits(&self, dialect: &str, memory_mib: impl Iterator<Item = u64>) -> bool {
        let gpus = self.gpus as usize;
        self.dialect == dialect && memory_mib.take(gpus).filter(|memory| *memory >= self.memory_mib).count() == gpus
    }

    fn default_dialect() -> String {
        "vllm".to_owned()
    }

    fn default_gpus() -> u32 {
        1
    }

    fn default_max() -> u32 {
        1
    }

    fn default_requests_per_replica() -> u32 {
        64
    }

    /// What makes no sense of it.
    pub fn problem(&self) -> Option<&'static str> {
        let problems = [
            (self.source.is_empty(), "`source` is empty"),
            (!["vllm", "llama_cpp"].contains(&self.dialect.as_str()), "`dialect` is neither `vllm` nor `llama_cpp`"),
            (self.gpus > 0 && self.memory_mib == 0, "`memory_mib` does not say what it takes of a GPU"),
            (self.asleep_mib.is_some_and(|asleep| asleep > self.memory_mib), "`asleep_mib` is more than `memory_mib`"),
            (self.max == 0, "`max` lets no replica be"),
            (self.max > MOST_REPLICAS, "`max` is more than 1000"),
            (self.min > self.max, "`min` is more than `max`"),
            (self.requests_per_replica == 0, "`requests_per_replica` is 0"),
            (!self.adapters.is_empty() && self.dialect != "vllm", "`adapters` are loaded by vLLM only"),
        ];
        problems.into_iter().find_map(|(wrong, problem)| wrong.then_some(problem))
    }

    /// What it takes of each of its GPUs while it sleeps, in MiB.
    pub fn asleep(&self) -> u64 {
        self.asleep_mib.unwrap_or(self.memory_mib / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_where_enough_of_the_first_gpus_have_the_memory() {
        let spec: Spec = cloudach_service::config::parse("{source: m, gpus: 2, memory_mib: 80}").unwrap();
        let fits = |dialect: &str, gpus: &[u64]| spec.fits(dialect, gpus.iter().copied());
        assert!(fits("vllm", &[80, 90]) && fits("vllm", &[80, 80, 10]));
        assert!(!fits("llama_cpp", &[80, 80]) && !fits("vllm", &[80]) && !fits("vllm", &[80, 79]));
        assert!(!fits("vllm", &[10, 80, 80]), "it is loaded on the first ones");
        let without: Spec = cloudach_service::config::parse("{source: m, gpus: 0, memory_mib: 80}").unwrap();
        assert!(without.fits("vllm", std::iter::empty()));
    }
}

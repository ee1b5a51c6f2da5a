//! The machine that is measured on: its cores, and what a process may open.

use std::fs;

use anyhow::{Context, Result};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The cores that this process may use.
pub fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("the system does not say which cores may be used")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// Keeps this thread, and every process that it starts from now on, on one core.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot be kept on core {core}"))
}

/// The usual limit is far below what ten thousand streams need.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("the limit of descriptors cannot be raised to its maximum")
}

/// Its processor and memory, for who compares figures later.
pub fn description() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = cores().map_or(0, |cores| cores.len());
    format!("{cores} cores, {}, Linux {}", name.map_or("unknown processor", |(_, name)| name), kernel.trim())
}

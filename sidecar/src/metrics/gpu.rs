//! What is told of the GPUs.

use cloudach_service::{label, label_set, metrics::Exposition, named};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use strum::VariantArray;

use super::signed;
use crate::gpu::{self, Action, Snapshot};

label!(Action);

named! {
    /// By the driver's numbers: there are as many as this machine has.
    struct Gpu(u32) = "a GPU's number on its machine";
    struct Reason(&'static str) = listed(gpu::throttles());
}

label_set! {
    struct GpuLabel { gpu: Gpu }
    struct ThrottleLabels { gpu: Gpu, reason: Reason }
    struct ActionLabel { asks_for: Action }
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What is told of the GPUs.
#[derive(Debug)]
pub(super) struct GpuMetrics {
    memory_used: Family<GpuLabel, Gauge>,
    memory_total: Family<GpuLabel, Gauge>,
    utilization: Family<GpuLabel, Gauge>,
    temperature: Family<GpuLabel, Gauge>,
    uncorrected: Family<GpuLabel, Gauge>,
    throttled: Family<ThrottleLabels, Gauge>,
    faulty: Family<GpuLabel, Gauge>,
    xids: Family<ActionLabel, Counter>,
}

impl Default for GpuMetrics {
    fn default() -> Self {
        let xids = Family::<ActionLabel, Counter>::default();
        // Told from the start, so that the first one shows as a change.
        for &asks_for in Action::VARIANTS {
            xids.get_or_create(&ActionLabel { asks_for }).inc_by(0);
        }
        Self {
            memory_used: Family::default(),
            memory_total: Family::default(),
            utilization: Family::default(),
            temperature: Family::default(),
            uncorrected: Family::default(),
            throttled: Family::default(),
            faulty: Family::default(),
            xids,
        }
    }
}

impl GpuMetrics {
    pub(super) fn register(&self, page: &mut Exposition) {
        page.add("gpu_memory_used_bytes", "Memory that is taken, by whomever", &self.memory_used)
            .add("gpu_memory_total_bytes", "Memory that there is", &self.memory_total)
            .add("gpu_utilization_percent", "Share of the last moments in which it worked", &self.utilization)
            .add("gpu_temperature_celsius", "Its temperature", &self.temperature)
            .add(
                "gpu_uncorrected_errors",
                "Memory errors that ECC did not correct, since the driver was loaded",
                &self.uncorrected,
            )
            .add("gpu_throttled", "1 while it runs slower than it could, by why", &self.throttled)
            .add("gpu_needs_reset", "1 when it is of no use before it was reset", &self.faulty)
            .add("gpu_xids", "Errors that the driver told, by what they ask for", &self.xids);
    }

    pub(super) fn count_xid(&self, action: Action) {
        self.xids.get_or_create(&ActionLabel { asks_for: action }).inc();
    }

    pub(super) fn show(&self, gpus: &[Snapshot]) {
        for gpu in gpus {
            let label = GpuLabel { gpu: Gpu(gpu.index) };
            self.memory_used.get_or_create(&label).set(signed(gpu.memory_used));
            self.memory_total.get_or_create(&label).set(signed(gpu.memory_total));
            let needs_reset = gpu::fault(gpu).is_some_and(|fault| fault.needs_reset);
            self.faulty.get_or_create(&label).set(needs_reset.into());
            for reason in gpu::throttles() {
                let labels = ThrottleLabels { gpu: Gpu(gpu.index), reason: Reason(reason) };
                self.throttled.get_or_create(&labels).set(gpu.throttled.contains(&reason).into());
            }
            // What it does not tell is not made up.
            let told = [
                (&self.utilization, gpu.utilization.map(i64::from)),
                (&self.temperature, gpu.temperature.map(i64::from)),
                (&self.uncorrected, gpu.uncorrected.map(signed)),
            ];
            for (family, value) in told {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            }
        }
    }
}

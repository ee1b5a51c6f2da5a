//! What is known of a GPU at one moment: plain values, from wherever they come.

use cloudach_proto::v1::GpuState;

use super::{MIB, health};

/// One GPU of this sidecar.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// As the driver counts them: by their places on the bus.
    pub(crate) index: u32,
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) memory_total: u64,
    pub(crate) memory_used: u64,
    /// In percent. None: it does not tell.
    pub(crate) utilization: Option<u32>,
    /// In degrees Celsius.
    pub(crate) temperature: Option<u32>,
    /// Errors of its memory that were not corrected, since its driver was loaded. None: it has no ECC.
    pub(crate) uncorrected: Option<u64>,
    /// Why it runs slower than it could, as the driver calls it.
    pub(crate) throttled: Vec<&'static str>,
    /// The Xids that were seen since the sidecar began, each once, in the order of their first coming. Bounded.
    pub(crate) xids: Vec<u32>,
    /// How many uncorrected errors there were when the sidecar began.
    pub(crate) uncorrected_before: u64,
}

impl Snapshot {
    /// In the contract's words.
    pub(crate) fn report(&self) -> GpuState {
        GpuState {
            index: self.index,
            uuid: self.uuid.clone(),
            name: self.name.clone(),
            memory_total_mib: self.memory_total / MIB,
            memory_used_mib: self.memory_used / MIB,
            utilization_percent: self.utilization,
            temperature_celsius: self.temperature,
            uncorrected_errors: self.uncorrected,
            throttled: self.throttled.iter().map(|&reason| reason.to_owned()).collect(),
            xids: self.xids.clone(),
            fault: health::fault(self).map(|fault| fault.text).unwrap_or_default(),
        }
    }
}

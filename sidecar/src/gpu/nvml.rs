//! NVML: NVIDIA's library, which is there where the driver is. A thread of its own asks it, for a call may take long, and
//! never comes back where a GPU has fallen off its bus.

use std::{
    ffi::OsStr,
    path::PathBuf,
    time::{Duration, Instant},
};

use nvml_wrapper::{
    Device, EventSet, Nvml,
    bitmasks::{device::ThrottleReasons, event::EventTypes},
    enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor},
    enums::event::XidError,
    error::NvmlError,
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Snapshot, visible::visible};

/// How long news of an Xid is waited for at a time: so soon it is noticed that nobody listens any more.
const NEWS_WITHIN: Duration = Duration::from_millis(500);

/// The most Xids that are kept of a GPU: more kinds than ever come.
const MOST_XIDS: usize = 32;

/// The Xid of an event that does not say which.
const UNKNOWN: u32 = 999;

/// What slows a GPU down that is worth telling. That it is idle, or set so, is not.
pub(super) const REASONS: [(ThrottleReasons, &str); 6] = [
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
];

/// What the thread is told.
pub(super) struct Wanted {
    pub(super) every: Duration,
    /// Absent: where the system's is.
    pub(super) library: Option<PathBuf>,
    /// The engine's `CUDA_VISIBLE_DEVICES`.
    pub(super) visible: Option<String>,
}

/// What the thread tells: all GPUs now, or one that had an Xid.
#[derive(Debug)]
pub(super) enum News {
    Gpus(Vec<Snapshot>),
    Xid(u32),
}

/// Tells until nobody listens. Returns at once where there is no NVML.
pub(super) fn tell(wanted: &Wanted, news: &mpsc::Sender<News>) {
    if let Err(error) = try_tell(wanted, news) {
        match error {
            // A machine without a GPU.
            NvmlError::LibloadingError(_) | NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound => {
                debug!(%error, "no GPU is watched");
            }
            error => warn!(%error, "GPUs are not watched any more"),
        }
    }
}

/// The engine's GPUs, in its order: their UUIDs and their memory in bytes. None where there is no NVML.
pub(super) fn found(wanted: &Wanted) -> Vec<(String, u64)> {
    let found = || -> Result<Vec<_>, NvmlError> {
        let nvml = open(wanted)?;
        let count = nvml.device_count()?;
        let devices = (0..count).map(|index| nvml.device_by_index(index)).collect::<Result<Vec<_>, _>>()?;
        let uuids = devices.iter().map(Device::uuid).collect::<Result<Vec<_>, _>>()?;
        let mine = visible(wanted.visible.as_deref(), &uuids).into_iter();
        mine.map(|place| Ok((uuids[place].clone(), devices[place].memory_info()?.total))).collect()
    };
    found().unwrap_or_else(|error| {
        debug!(%error, "no GPU is found");
        Vec::new()
    })
}

fn open(wanted: &Wanted) -> Result<Nvml, NvmlError> {
    match &wanted.library {
        Some(path) => Nvml::builder().lib_path(OsStr::new(path)).init(),
        None => Nvml::init(),
    }
}

fn try_tell(wanted: &Wanted, news: &mpsc::Sender<News>) -> Result<(), NvmlError> {
    let nvml = open(wanted)?;
    let devices = (0..nvml.device_count()?).map(|index| nvml.device_by_index(index)).collect::<Result<Vec<_>, _>>()?;
    let uuids = devices.iter().map(Device::uuid).collect::<Result<Vec<_>, _>>()?;
    let mine = visible(wanted.visible.as_deref(), &uuids);
    if mine.is_empty() {
        return Ok(());
    }
    let mut gpus = Vec::new();
    for &place in &mine {
        let (device, uuid) = (&devices[place], uuids[place].clone());
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        let uncorrected_before = uncorrected(device).unwrap_or(0);
        gpus.push(Snapshot { index, uuid, name: device.name()?, uncorrected_before, ..Snapshot::default() });
    }
    let mut events = listen(&nvml, mine.iter().map(|&place| &devices[place]));
    loop {
        for (gpu, &place) in gpus.iter_mut().zip(&mine) {
            look(gpu, &devices[place])?;
        }
        if news.blocking_send(News::Gpus(gpus.clone())).is_err() {
            return Ok(());
        }
        let next = Instant::now() + wanted.every;
        // An Xid is told at once.
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if news.is_closed() {
                return Ok(());
            }
            let Some((uuid, xid)) = next_xid(&mut events, left.min(NEWS_WITHIN)) else { continue };
            let Some(gpu) = gpus.iter_mut().find(|gpu| gpu.uuid == uuid) else { continue };
            if !gpu.xids.contains(&xid) && gpu.xids.len() < MOST_XIDS {
                gpu.xids.push(xid);
            }
            if news.blocking_send(News::Xid(xid)).is_err() {
                return Ok(());
            }
            break;
        }
    }
}

/// Takes in what may have changed of a GPU. One that does not tell its memory is lost; the rest not every GPU has.
fn look(gpu: &mut Snapshot, device: &Device<'_>) -> Result<(), NvmlError> {
    let memory = match device.memory_info() {
        Ok(memory) => memory,
        Err(NvmlError::GpuLost) => {
            // The driver says so in an Xid of its own as well, if it still can.
            if !gpu.xids.contains(&79) {
                gpu.xids.push(79);
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    gpu.memory_total = memory.total;
    gpu.memory_used = memory.used;
    gpu.utilization = device.utilization_rates().ok().map(|rates| rates.gpu);
    gpu.temperature = device.temperature(TemperatureSensor::Gpu).ok();
    gpu.uncorrected = uncorrected(device);
    let throttled = device.current_throttle_reasons().unwrap_or(ThrottleReasons::NONE);
    gpu.throttled = REASONS.iter().filter(|(reason, _)| throttled.contains(*reason)).map(|(_, name)| *name).collect();
    Ok(())
}

fn uncorrected(device: &Device<'_>) -> Option<u64> {
    device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile).ok()
}

/// Listens to the GPUs' Xids. None: they do not tell.
fn listen<'a>(nvml: &'a Nvml, devices: impl Iterator<Item = &'a Device<'a>>) -> Option<EventSet<'a>> {
    let mut set = nvml.create_event_set().ok()?;
    for device in devices {
        match device.register_events(EventTypes::CRITICAL_XID_ERROR, set) {
            Ok(registered) => set = registered,
            Err(error) => {
                debug!(error = %error.error, "the GPUs' Xids are not heard");
                return None;
            }
        }
    }
    Some(set)
}

fn next_xid(events: &mut Option<EventSet<'_>>, within: Duration) -> Option<(String, u32)> {
    let Some(set) = events else {
        std::thread::sleep(within);
        return None;
    };
    match set.wait(u32::try_from(within.as_millis()).unwrap_or(u32::MAX).max(1)) {
        Ok(event) => {
            let xid = match event.event_data? {
                XidError::Value(xid) => u32::try_from(xid).unwrap_or(UNKNOWN),
                XidError::Unknown => UNKNOWN,
            };
            Some((event.device.uuid().ok()?, xid))
        }
        Err(NvmlError::Timeout) => None,
        Err(error) => {
            // The figures still come.
            warn!(%error, "the GPUs' Xids are not heard any more");
            *events = None;
            None
        }
    }
}

//! The GPUs that the engine works on: what they are, how they do, and whether they are well. Where there are none, nothing is
//! said of them.

mod health;
mod nvml;
mod snapshot;
mod visible;
mod xid;

use std::{env, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{error, warn};

use self::nvml::{News, Wanted};
pub(crate) use self::{
    health::{Fault, fault},
    snapshot::Snapshot,
    xid::Action,
};
use crate::{
    config::{Config, Gpu},
    sidecar::Sidecar,
};

/// News that wait to be taken in.
const NEWS_AHEAD: usize = 4;

/// How long GPUs are looked for. A driver that was idle needs seconds to start.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

const MIB: u64 = 1024 * 1024;

/// Why a GPU may run slower than it could, as the driver calls it.
pub(crate) fn throttles() -> impl Iterator<Item = &'static str> {
    nvml::REASONS.iter().map(|(_, name)| *name)
}

/// What is known of the GPUs.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    now: watch::Sender<Vec<Snapshot>>,
}

impl Gpus {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<Snapshot>> {
        self.now.subscribe()
    }

    /// What is wrong with them.
    pub(crate) fn fault(&self) -> Option<Fault> {
        health::worst(&self.now.borrow())
    }
}

/// The engine's GPUs, as NVML finds them. Empty where there are none.
pub(crate) async fn found(config: &Config) -> Vec<Gpu> {
    let wanted = wanted(config);
    let (sender, found) = oneshot::channel();
    let telling = thread::Builder::new().name("nvml".to_owned()).spawn(move || sender.send(nvml::found(&wanted)));
    let found = async { if telling.is_ok() { found.await.unwrap_or_default() } else { Vec::new() } };
    let Ok(found) = timeout(FOUND_WITHIN, found).await else {
        warn!("NVML does not answer: no GPU is offered");
        return Vec::new();
    };
    found.into_iter().map(|(id, memory)| Gpu { id, memory_mib: memory / MIB }).collect()
}

fn wanted(config: &Config) -> Wanted {
    const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
    let visible = config.engine.env.get(VISIBLE).cloned().or_else(|| env::var(VISIBLE).ok());
    Wanted { every: config.gpu.every, library: config.gpu.library.clone(), visible }
}

/// Watches the GPUs for as long as NVML tells of them.
pub(crate) async fn watch(sidecar: Arc<Sidecar>, config: Config) {
    let wanted = wanted(&config);
    let (sender, mut news) = mpsc::channel(NEWS_AHEAD);
    // It ends when nobody listens to it. That is not waited for: a call of it may never come back.
    let telling = thread::Builder::new().name("nvml".to_owned()).spawn(move || nvml::tell(&wanted, &sender));
    if let Err(error) = telling {
        return warn!(%error, "GPUs are not watched");
    }
    while let Some(news) = news.recv().await {
        match news {
            News::Gpus(gpus) => take(&sidecar, gpus),
            News::Xid(xid) => {
                let action = xid::action(xid);
                warn!(replica = sidecar.replica, xid, action = action.name(), "a GPU had an Xid");
                sidecar.metrics.count_xid(action);
            }
        }
    }
}

fn take(sidecar: &Sidecar, gpus: Vec<Snapshot>) {
    let fault = health::worst(&gpus).filter(|fault| fault.needs_reset).map(|fault| fault.text);
    if let Some(fault) = &fault
        && sidecar.states.now().gpu_fault.is_none()
    {
        error!(replica = sidecar.replica, fault, "a GPU is not well: nothing new is taken");
    }
    sidecar.states.gpu_fault(fault);
    sidecar.metrics.show_gpus(&gpus);
    sidecar.gpus.now.send_replace(gpus);
}

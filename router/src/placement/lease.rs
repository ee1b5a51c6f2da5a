//! A lease: of several routers, the one that holds it orders. Where its keeper, Redis or Kubernetes, is away nobody does, and
//! everything stays as it is.

mod api_server;
pub mod kubernetes;
mod record;
pub mod redis;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{kubernetes::Kubernetes, redis::Redis};

/// How long giving it back may hold up the end of the process.
const RELEASED_WITHIN: Duration = Duration::from_millis(500);

/// The lease, as this router sees it.
#[derive(Debug)]
pub struct Lease {
    keeper: Keeper,
    time: Duration,
    epoch: watch::Sender<Option<u64>>,
}

/// Where the lease is.
#[derive(Debug)]
pub enum Keeper {
    Redis(Box<Redis>),
    Kubernetes(Box<Kubernetes>),
}

impl Lease {
    /// A lease of so much time.
    pub fn new(keeper: Keeper, time: Duration) -> Self {
        Self { keeper, time, epoch: watch::Sender::new(None) }
    }

    /// The epoch to order with; `None`: another router orders, or nobody knows.
    pub fn epoch(&self) -> watch::Receiver<Option<u64>> {
        self.epoch.subscribe()
    }

    /// Tries to get and to keep the lease, until `end`; then gives it back.
    pub async fn keep(mut self, end: CancellationToken) {
        end.run_until_cancelled(self.try_again_and_again()).await;
        if self.epoch.send_replace(None).is_some() {
            let _ = timeout(RELEASED_WITHIN, self.keeper.release()).await;
        }
    }

    async fn try_again_and_again(&mut self) {
        let pause = self.time / 4;
        let mut told_away = false;
        // Until then nobody else can have it. A quarter is left for commands that are on their way.
        let mut sure_until = Instant::now();
        loop {
            let begun = Instant::now();
            let again = begun + pause;
            // Who leads does not wait longer for an answer than it is sure to.
            let until = if self.epoch.borrow().is_some() { again.min(sure_until) } else { again };
            match timeout_at(until, self.keeper.hold()).await {
                Ok(Ok(epoch)) => {
                    told_away = false;
                    sure_until = begun + pause * 3;
                    self.set((epoch > 0).then_some(epoch));
                }
                failed => {
                    if !told_away {
                        let error =
                            failed.ok().and_then(Result::err).unwrap_or_else(|| "it does not answer".to_owned());
                        warn!(
                            error,
                            keeper = self.keeper.name(),
                            "no word on who orders; models stay as they are after a while"
                        );
                        told_away = true;
                    }
                    if again >= sure_until {
                        self.set(None);
                    }
                }
            }
            sleep_until(again).await;
        }
    }

    fn set(&self, epoch: Option<u64>) {
        self.epoch.send_if_modified(|now| {
            let changed = *now != epoch;
            *now = epoch;
            if changed {
                info!(epoch, "lease");
            }
            changed
        });
    }
}

impl Keeper {
    /// Takes the lease if it is free, or prolongs it. Gives the epoch, or 0 when another holds it; an error is in words.
    async fn hold(&mut self) -> Result<u64, String> {
        match self {
            Self::Redis(lease) => lease.hold().await.map_err(|error| redis::told(&error)),
            Self::Kubernetes(lease) => lease.hold().await.map_err(|error| error.to_string()),
        }
    }

    async fn release(&mut self) {
        match self {
            Self::Redis(lease) => drop(lease.release().await),
            Self::Kubernetes(lease) => drop(lease.release().await),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "Redis",
            Self::Kubernetes(_) => "Kubernetes",
        }
    }
}

/// A name of this process that no other one has.
pub fn own_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "router".to_owned());
    let host: String = host.chars().filter(|&letter| letter.is_ascii_graphic()).take(100).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let drawn = getrandom::u64().unwrap_or_default();
    format!("{host}-{}-{since:x}-{drawn:x}", std::process::id())
}

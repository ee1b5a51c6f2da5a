//! Stopping in order: report not ready, give load balancers time to notice, take nothing new, let streams finish to
//! the deadline, end the rest, and wait for every task.

use std::time::Duration;

use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::ready::Readiness;

/// How a process stops once it was asked to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long new work is still taken after the process reports that it is not ready: as long as load balancers
    /// need to notice.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How long open streams may run on after that.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { settle: Duration::from_secs(1), grace: Duration::from_secs(30) }
    }
}

/// The wish that a service stops. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: CancellationToken,
    at_once: CancellationToken,
}

impl Stop {
    /// Asks for an orderly stop.
    pub fn ask(&self) {
        self.asked.cancel();
    }

    /// The wish of another service in the same process, asked for on its own; a second signal hurries both.
    pub fn separate(&self) -> Self {
        Self { asked: CancellationToken::new(), at_once: self.at_once.clone() }
    }

    /// Waits until a stop is asked for.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Runs `service` and turns SIGTERM and SIGINT into a wish to stop; a second signal cuts the waiting short.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub async fn on_signals<T>(&self, service: impl Future<Output = T>) -> std::io::Result<T> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::pin!(service);
        loop {
            tokio::select! {
                done = &mut service => return Ok(done),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if self.asked.is_cancelled() {
                self.at_once.cancel();
            }
            self.ask();
        }
    }
}

/// How long handing over may take.
const HAND_OVER: Duration = Duration::from_secs(1);

/// What a running service ends, in the order in which it ends it.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Shown on the admin port.
    pub ready: Readiness,
    /// Cancelled when nothing new is to be taken.
    pub drain: CancellationToken,
    /// Clients' requests: waited for until the deadline.
    pub requests: TaskTracker,
    /// Cancelled when the rest is to be given back, so that others go on with it.
    pub hand_over: CancellationToken,
    /// Cancelled when the rest is to end.
    pub kill: CancellationToken,
    /// Watches, reports, listeners: ended last.
    pub background: TaskTracker,
}

impl Running {
    /// Waits for the wish to stop and carries it out.
    pub async fn until(self, stop: &Stop, drain: &Drain) {
        stop.asked().await;
        info!(settle = ?drain.settle, grace = ?drain.grace, "stopping");
        self.ready.stopping();
        tokio::select! {
            () = sleep(drain.settle) => {}
            () = stop.at_once.cancelled() => {}
        }

        self.drain.cancel();
        self.requests.close();
        tokio::select! {
            finished = timeout(drain.grace, self.requests.wait()) => if finished.is_err() {
                warn!(open = self.requests.len(), "the deadline has passed; open requests are handed over or ended");
            },
            () = stop.at_once.cancelled() => warn!("asked again; open requests are handed over or ended"),
        }
        self.hand_over.cancel();
        // Whoever is told of it leaves at once.
        let _ = timeout(HAND_OVER, self.requests.wait()).await;

        self.kill.cancel();
        self.background.close();
        self.requests.wait().await;
        self.background.wait().await;
        info!("stopped");
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn drain() -> Drain {
        Drain { settle: Duration::from_secs(1), grace: Duration::from_secs(10) }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_may_finish() {
        let (running, stop, start) = (Running::default(), Stop::default(), Instant::now());
        running.requests.spawn(sleep(Duration::from_secs(4)));
        running.background.spawn(running.kill.clone().cancelled_owned());
        stop.ask();
        running.until(&stop, &drain()).await;
        assert_eq!(start.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_past_the_deadline_is_handed_over() {
        let (running, stop, start) = (Running::default(), Stop::default(), Instant::now());
        running.requests.spawn(running.hand_over.clone().cancelled_owned());
        stop.ask();
        running.until(&stop, &drain()).await;
        assert_eq!(start.elapsed().as_secs(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_over_is_ended() {
        let (running, stop, start) = (Running::default(), Stop::default(), Instant::now());
        running.requests.spawn(running.kill.clone().cancelled_owned());
        stop.ask();
        running.until(&stop, &drain()).await;
        assert_eq!(start.elapsed().as_secs(), 12);
    }
}

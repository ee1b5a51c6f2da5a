//! Files that may change while a process runs: when they are looked at again, and a configuration that follows its own.
//!
//! They are read, and compared by what is in them: Kubernetes and people replace files in more ways than a watch on one
//! of them is told of.

mod metrics;

use std::{
    convert::Infallible,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

pub use self::metrics::{Outcome, ReloadMetrics, What};
use crate::{
    config::{self, ConfigError},
    logs::{self, Level},
};

/// Files are looked at so often: a new certificate or model is there within seconds, and reading some small files as often
/// costs nothing.
pub const EVERY: Duration = Duration::from_secs(5);

/// What it is called where files are counted that change.
const WHAT: What = What::Configuration;

/// When files are to be looked at again: every few seconds, and at once at a SIGHUP.
#[derive(Debug)]
pub struct Looks {
    hangup: Option<Signal>,
    every: Interval,
}

impl Looks {
    /// From now on. A SIGHUP no longer ends the process, unless it runs on a terminal: there it says that nobody looks any more.
    pub fn begin() -> Self {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every.reset();
        let is_seen = stderr().is_terminal();
        // Without signals there is still the time.
        Self { hangup: (!is_seen).then(|| signal(SignalKind::hangup()).ok()).flatten(), every }
    }

    /// Waits for the next look. True: somebody has asked for it, and is to be told what came of it.
    pub async fn next(&mut self) -> bool {
        let Some(hangup) = &mut self.hangup else {
            self.every.tick().await;
            return false;
        };
        tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = self.every.tick() => false,
        }
    }
}

/// The configuration of a process.
pub trait Settings: DeserializeOwned {
    /// How much is logged.
    fn log(&self) -> Option<&Level>;

    /// Why it cannot be used, beyond what its types say.
    fn problem(&self) -> Option<String>;

    /// What of it holds from the next start on only, in any words that differ when it does. Never shown.
    fn fixed(&self) -> String;
}

/// A configuration that may become another one.
#[derive(Debug, Clone)]
pub struct Live<C> {
    config: watch::Receiver<Arc<C>>,
    metrics: ReloadMetrics,
}

impl<C> Live<C> {
    /// What it is now.
    pub fn now(&self) -> Arc<C> {
        self.config.borrow().clone()
    }

    /// Waits until it is another one. One that stays the same for ever is waited for as long.
    pub async fn changed(&mut self) -> Arc<C> {
        if self.config.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.config.borrow_and_update().clone()
    }

    /// What becomes of the files that this process follows.
    pub fn metrics(&self) -> &ReloadMetrics {
        &self.metrics
    }

    /// One that becomes what is sent.
    pub fn of(config: C) -> (watch::Sender<Arc<C>>, Self) {
        let (sender, config) = watch::channel(Arc::new(config));
        (sender, Self { config, metrics: ReloadMetrics::default() })
    }
}

/// One that stays the same.
impl<C> From<C> for Live<C> {
    fn from(config: C) -> Self {
        Self::of(config).1
    }
}

/// Follows the file of a configuration, whose text and meaning are these now.
pub fn follow<C: Settings>(path: PathBuf, text: String, config: C) -> (impl Future<Output = Infallible>, Live<C>) {
    let (sender, live) = Live::of(config);
    live.metrics.begin(WHAT);
    (take(path, text, sender, live.metrics.clone()), live)
}

/// Takes what the file becomes. One that cannot be used changes nothing.
async fn take<C: Settings>(
    path: PathBuf,
    mut held: String,
    sender: watch::Sender<Arc<C>>,
    metrics: ReloadMetrics,
) -> Infallible {
    let mut looks = Looks::begin();
    let fixed = sender.borrow().fixed();
    // What was wrong with the file is told once.
    let mut refused = None;
    loop {
        let asked = looks.next().await;
        let read = config::read(&path).await;
        if let Ok(text) = &read
            && *text == held
        {
            if asked || refused.take().is_some() {
                info!(path = %path.display(), "the configuration is as it was");
                metrics.well(WHAT);
            }
            continue;
        }
        match read.and_then(|text| usable::<C>(&path, &text).map(|config| (text, config))) {
            Ok((text, config)) => {
                (held, refused) = (text, None);
                metrics.count(WHAT, Outcome::Taken);
                logs::usually(config.log());
                info!(path = %path.display(), "the configuration has changed");
                if config.fixed() != fixed {
                    warn!("of what has changed in the configuration, some holds from the next start on only");
                }
                sender.send_replace(Arc::new(config));
            }
            Err(error) => {
                let error = error.to_string();
                if refused.as_ref() != Some(&error) {
                    metrics.count(WHAT, Outcome::Refused);
                }
                if asked || refused.as_ref() != Some(&error) {
                    error!(error, "the configuration has changed and cannot be used; what held before goes on");
                }
                refused = Some(error);
            }
        }
    }
}

fn usable<C: Settings>(path: &Path, text: &str) -> Result<C, ConfigError> {
    let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
    let config: C = config::parse(text).map_err(invalid)?;
    config.problem().map_or(Ok(config), |problem| Err(invalid(problem)))
}

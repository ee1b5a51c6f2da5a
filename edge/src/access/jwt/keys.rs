//! The keys of one issuer, kept by one task: it fetches them when it is time, and when a token names a key that is not known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloudach_service::stop::Running;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    config::IssuerConfig,
    fetch::{CertificatesError, Fetcher},
    key_set::KeySet,
    pace::Pace,
};
use crate::metrics::IssuerMetrics;

/// Requests that may wait for a fetch. Further ones are answered at once.
const MOST_WAITING: usize = 256;

/// An issuer's keys.
#[derive(Debug)]
pub struct Keys {
    state: watch::Receiver<State>,
    wanted: Arc<Notify>,
    waiting: Semaphore,
    stale: Duration,
    /// How long a fetch takes at most.
    patience: Duration,
}

/// What came of asking for keys once more.
#[derive(Debug)]
pub enum Asked {
    /// These are the newest.
    Fetched(Arc<KeySet>),
    /// They were fetched just now, and are not again so soon.
    Lately,
    /// The issuer is away, or too slow.
    Away,
}

#[derive(Debug)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When they were fetched last.
    confirmed: Option<Instant>,
    /// The last fetch has failed, or there was none yet.
    is_away: bool,
    is_fetching: bool,
    /// Fetches that have ended.
    fetches: u64,
    pace: Pace,
}

impl Keys {
    /// Begins to fetch the keys of an issuer, until the process stops.
    ///
    /// # Errors
    /// There are no certificates to check the provider's against.
    pub fn start(config: &IssuerConfig, metrics: IssuerMetrics, running: &Running) -> Result<Self, CertificatesError> {
        let fetcher = Fetcher::new(config)?;
        let (state, watching) = watch::channel(State {
            keys: None,
            confirmed: None,
            is_away: true,
            is_fetching: false,
            fetches: 0,
            pace: Pace::new(config.refresh, Instant::now()),
        });
        let wanted = Arc::new(Notify::new());
        let keeper =
            Keeper { name: config.name.clone(), stale: config.stale, fetcher, state, wanted: wanted.clone(), metrics };
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(keeper.keep()));
        Ok(Self {
            state: watching,
            wanted,
            waiting: Semaphore::new(MOST_WAITING),
            stale: config.stale,
            patience: config.timeout + Duration::from_millis(500),
        })
    }

    /// The keys. None: none were fetched, or not for too long.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        let state = self.state.borrow();
        state.confirmed.filter(|confirmed| confirmed.elapsed() <= self.stale).and(state.keys.clone())
    }

    /// The keys as they are now, because those that are known do not do.
    pub async fn ask_again(&self) -> Asked {
        let mut state = self.state.clone();
        let seen = {
            let state = state.borrow();
            if !state.is_fetching && !state.pace.may_ask(Instant::now()) {
                return if state.is_away { Asked::Away } else { Asked::Lately };
            }
            state.fetches
        };
        let Ok(_place) = self.waiting.try_acquire() else { return Asked::Away };
        self.wanted.notify_one();
        let fetched = timeout(self.patience, state.wait_for(|state| state.fetches != seen)).await;
        match fetched {
            Ok(Ok(state)) if !state.is_away => state.keys.clone().map_or(Asked::Away, Asked::Fetched),
            _ => Asked::Away,
        }
    }
}

/// The task.
struct Keeper {
    name: String,
    stale: Duration,
    fetcher: Fetcher,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
    metrics: IssuerMetrics,
}

impl Keeper {
    async fn keep(self) {
        let mut pace = self.state.borrow().pace.clone();
        self.metrics.away(&self.name, true);
        let mut is_told = false;
        loop {
            tokio::select! {
                () = sleep_until(pace.next().into()) => {}
                () = self.wanted.notified() => if !pace.may_ask(Instant::now()) { continue },
            }
            pace.begin(Instant::now());
            self.state.send_modify(|state| (state.is_fetching, state.pace) = (true, pace.clone()));
            let fetched = self.fetcher.keys().await;
            let now = Instant::now();
            self.metrics.fetched(&self.name, fetched.is_ok());
            match fetched {
                Ok(keys) => {
                    pace.succeeded(now);
                    self.keep_these(keys, now);
                    is_told = false;
                }
                Err(error) => {
                    pace.failed(now);
                    // Once for each time that it goes away.
                    if !std::mem::replace(&mut is_told, true) {
                        warn!(issuer = self.name, %error, "the issuer's keys cannot be fetched");
                    }
                    self.keep_none_that_are_stale(now);
                }
            }
            self.state.send_modify(|state| {
                state.is_fetching = false;
                state.fetches += 1;
                state.pace = pace.clone();
            });
        }
    }

    fn keep_these(&self, keys: KeySet, now: Instant) {
        let are_new = {
            let state = self.state.borrow();
            state.is_away || state.keys.as_deref() != Some(&keys)
        };
        if are_new {
            info!(issuer = self.name, keys = keys.len(), "the issuer's keys are there");
        }
        self.metrics.away(&self.name, false);
        self.metrics.keys(&self.name, keys.len());
        self.state.send_modify(|state| {
            (state.keys, state.confirmed, state.is_away) = (Some(Arc::new(keys)), Some(now), false);
        });
    }

    fn keep_none_that_are_stale(&self, now: Instant) {
        self.metrics.away(&self.name, true);
        self.state.send_modify(|state| {
            state.is_away = true;
            let is_stale = |confirmed| now.saturating_duration_since(confirmed) > self.stale;
            if state.keys.is_some() && state.confirmed.is_none_or(is_stale) {
                warn!(issuer = self.name, "the issuer is away for too long: its tokens are not checked any more");
                self.metrics.keys(&self.name, 0);
                state.keys = None;
            }
        });
    }
}

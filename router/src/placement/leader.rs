//! Which router orders: of several, one.

use std::time::{SystemTime, UNIX_EPOCH};

use cloudach_service::{secret::SecretError, stop::Running};
use tokio::sync::watch;

use super::lease::{
    Keeper, Lease,
    kubernetes::{Kubernetes, KubernetesError},
    own_name,
    redis::Redis,
};
use crate::config;

/// How this router comes to be the one that orders.
#[derive(Debug)]
pub enum Leader {
    /// It is the only one.
    Always {
        /// Higher than that of the router before, or sidecars refuse.
        epoch: u64,
    },
    /// Whoever has the lease.
    Leased(Box<Lease>),
}

/// It cannot be found out who orders.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    #[error("`placement.lease.url`: {0}")]
    Secret(#[from] SecretError),
    #[error("`placement.lease.url` is no URL of a Redis server: write redis://, rediss:// or redis+unix://")]
    Url,
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    #[error("`placement.lease` is either in Redis, with `url`, or in Kubernetes, with `kubernetes`")]
    Where,
    #[error("`placement.lease.time` is less than a second")]
    Time,
}

impl Leader {
    /// As the configuration says.
    ///
    /// # Errors
    /// The lease's URL or time cannot be used.
    pub fn of(config: &config::Placement) -> Result<Self, LeaderError> {
        let Some(lease) = &config.lease else { return Ok(Self::always()) };
        if lease.time.as_secs() == 0 {
            return Err(LeaderError::Time);
        }
        let (me, time) = (own_name(), lease.time);
        let keeper = match (&lease.url, &lease.kubernetes) {
            // What is wrong with it is not repeated: it may hold a password.
            (Some(url), None) => {
                Keeper::Redis(Box::new(Redis::at(&url.reveal()?, me, time).map_err(|_| LeaderError::Url)?))
            }
            (None, Some(kubernetes)) => Keeper::Kubernetes(Box::new(Kubernetes::of(kubernetes, me, time)?)),
            (None, None) | (Some(_), Some(_)) => return Err(LeaderError::Where),
        };
        Ok(Self::Leased(Box::new(Lease::new(keeper, time))))
    }

    /// The only router. Its epoch is the time at its start, so that it rises with every start.
    fn always() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Always { epoch: since.as_secs() }
    }

    /// Begins to lead, or to try: the epoch to order with, `None` while another router leads.
    pub fn begin(self, running: &Running) -> watch::Receiver<Option<u64>> {
        match self {
            Self::Always { epoch } => watch::Sender::new(Some(epoch)).subscribe(),
            Self::Leased(lease) => {
                let epoch = lease.epoch();
                running.background.spawn(lease.keep(running.kill.clone()));
                epoch
            }
        }
    }
}

//! The keys that are known: those of the configuration, and those of the store that were used lately. What was found is
//! taken to be unchanged for a while; when the store is away, for longer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::error;

use super::{
    caller::Caller,
    directory,
    keys::{ConfiguredKeys, KeyHash},
    limits::Limits,
    pepper::Pepper,
};
use crate::store::{Away, Change, Collection, Fingerprint, Lookup, Store, config::StoreConfig};

/// How long a key that is not in the store is taken not to be there. Any change ends it.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Keys that are remembered for not being there.
const MOST_UNKNOWN: usize = 10_000;

/// All keys.
#[derive(Debug)]
pub struct KnownKeys {
    configured: ConfiguredKeys,
    pepper: Pepper,
    store: Store,
    /// For keys that have none of their own.
    limits: Limits,
    time: Duration,
    known: Cache<Fingerprint, Known>,
    unknown: Cache<Fingerprint, Instant>,
    /// What was found before may have changed since.
    doubted: Mutex<Option<Instant>>,
    /// How often anything has changed.
    changes: AtomicU64,
    /// The store that was found not to be the one before.
    wiped: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct Known {
    caller: Arc<Caller>,
    found: Instant,
    /// Of the store that it was found in.
    epoch: String,
}

impl KnownKeys {
    /// Those of the configuration, and what is found in the store with its help.
    pub fn new(configured: ConfiguredKeys, pepper: Pepper, store: Store, limits: Limits, config: &StoreConfig) -> Self {
        Self {
            configured,
            pepper,
            store,
            limits,
            time: config.cache_time,
            known: Cache::new(config.cache_keys),
            unknown: Cache::new(MOST_UNKNOWN),
            doubted: Mutex::new(None),
            changes: AtomicU64::new(0),
            wiped: Mutex::default(),
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// It is not known here, and the store is away.
    pub async fn find(&self, key: &str) -> Result<Option<Arc<Caller>>, Away> {
        let hash = KeyHash::of(key);
        if let Some(caller) = self.configured.find(&hash) {
            return Ok(Some(caller));
        }
        let fingerprint = self.pepper.fingerprint(&hash);
        let known = self.known.get(&fingerprint);
        if let Some(known) = known.as_ref().filter(|known| self.is_fresh(known.found, self.time)) {
            return Ok(lives(&known.caller));
        }
        if self.unknown.get(&fingerprint).is_some_and(|asked| self.is_fresh(asked, UNKNOWN)) {
            return Ok(None);
        }
        let (asked, changes) = (Instant::now(), self.changes.load(Ordering::Acquire));
        match self.store.lookup(&fingerprint).await {
            Ok(Lookup { epoch, found }) => {
                let caller =
                    found.as_ref().map(|found| directory::caller(found, &fingerprint, self.limits)).transpose();
                let caller = caller.map_err(|problem| {
                    error!(%problem, "the store holds a key that cannot be read");
                    Away::Refused("a key cannot be read".to_owned())
                })?;
                if let Some(known) = known.filter(|known| found.is_none() && known.epoch != epoch) {
                    self.tell_wiped(&epoch);
                    return Ok(lives(&known.caller));
                }
                let caller = caller.flatten().map(Arc::new);
                self.remember(&fingerprint, caller.as_ref(), asked, epoch);
                // What has changed in the meantime may be newer than what was found.
                if self.changes.load(Ordering::Acquire) != changes {
                    self.known.remove(&fingerprint);
                    self.unknown.remove(&fingerprint);
                }
                Ok(caller.as_ref().and_then(lives))
            }
            Err(away) => known.map_or(Err(away), |known| Ok(lives(&known.caller))),
        }
    }

    /// Forgets what changes.
    pub async fn follow(&self, mut changes: Receiver<Change>) {
        loop {
            let change = match changes.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Everything,
                Err(RecvError::Closed) => return,
            };
            self.changes.fetch_add(1, Ordering::Release);
            self.unknown.clear();
            match change {
                Change::Document(Collection::Keys, id) => self.known.retain(|_, known| known.caller.key_id != id),
                Change::Document(Collection::Tenants, id) => self.known.retain(|_, known| known.caller.tenant != id),
                // Kept all the same: the store may be away when it is asked next.
                Change::Everything => *self.doubted.lock() = Some(Instant::now()),
            }
        }
    }

    /// The secret by which keys become fingerprints.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    fn remember(&self, fingerprint: &Fingerprint, caller: Option<&Arc<Caller>>, found: Instant, epoch: String) {
        match caller {
            Some(caller) => self.known.insert(fingerprint.clone(), Known { caller: caller.clone(), found, epoch }),
            None => {
                self.known.remove(fingerprint);
                self.unknown.insert(fingerprint.clone(), found);
            }
        }
    }

    /// A store that was wiped knows no keys: those that are remembered go on until they are put back.
    fn tell_wiped(&self, epoch: &str) {
        let mut wiped = self.wiped.lock();
        if wiped.as_deref() != Some(epoch) {
            *wiped = Some(epoch.to_owned());
            error!("the store is another one than before, or was wiped: keys that are remembered go on");
        }
    }

    fn is_fresh(&self, found: Instant, time: Duration) -> bool {
        found.elapsed() < time && self.doubted.lock().is_none_or(|doubted| found > doubted)
    }
}

fn lives(caller: &Arc<Caller>) -> Option<Arc<Caller>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    caller.expires.is_none_or(|expires| now < expires).then(|| caller.clone())
}

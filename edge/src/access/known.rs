//! The keys that are known: those of the configuration, and those of the store that were used lately.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::error;

use super::{
    caller::Caller,
    directory::{self, KeyRecord},
    keys::{CONFIGURED, ConfiguredKeys, KeyHash},
    limits::Limits,
    pepper::Pepper,
    remembered::{Remembered, Said},
};
use crate::store::{Away, Change, Collection, Fingerprint, Found, Lookup, Store, config::StoreConfig};

/// All keys.
#[derive(Debug)]
pub struct KnownKeys {
    configured: ArcSwap<Configured>,
    pepper: Pepper,
    store: Store,
    remembered: Remembered<Fingerprint, Arc<Caller>>,
}

/// What the configuration says now.
#[derive(Debug)]
struct Configured {
    keys: ConfiguredKeys,
    /// For keys that have none of their own.
    limits: Limits,
}

impl KnownKeys {
    /// Those of the configuration, and what is found in the store with its help.
    pub fn new(configured: ConfiguredKeys, pepper: Pepper, store: Store, limits: Limits, config: &StoreConfig) -> Self {
        let configured = ArcSwap::from_pointee(Configured { keys: configured, limits });
        Self { configured, pepper, store, remembered: Remembered::new("keys", config) }
    }

    /// The configuration says something else now.
    pub fn reconfigure(&self, keys: ConfiguredKeys, limits: Limits) {
        let before = self.configured.swap(Arc::new(Configured { keys, limits }));
        if before.limits != limits {
            // Those that were found in the store have the limits of before.
            self.remembered.doubt();
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// It is not known here, and the store is away.
    pub async fn find(&self, key: &str) -> Result<Option<Arc<Caller>>, Away> {
        let hash = KeyHash::of(key);
        if let Some(caller) = self.configured.load().keys.find(&hash) {
            return Ok(Some(caller));
        }
        let fingerprint = self.pepper.fingerprint(&hash);
        let found = self.remembered.find(&fingerprint, || self.ask(&fingerprint)).await?;
        Ok(found.filter(|caller| lives(caller)))
    }

    /// Whose key has this id now, which nobody has shown. None: there is no such key any more. Nothing of it is remembered.
    ///
    /// # Errors
    /// The store is away.
    pub async fn by_id(&self, id: &str) -> Result<Option<Arc<Caller>>, Away> {
        if id.starts_with(CONFIGURED) {
            return Ok(self.configured.load().keys.by_id(id));
        }
        let Some(key) = self.store.get(Collection::Keys, id).await? else { return Ok(None) };
        let unreadable = |_| Away::Refused("a key cannot be read".to_owned());
        let record: KeyRecord = serde_json::from_str(&key).map_err(unreadable)?;
        let Some(fingerprint) = &record.fingerprint else { return Ok(None) };
        let tenant = match record.tenant.as_str() {
            "" => None,
            tenant => self.store.get(Collection::Tenants, tenant).await?,
        };
        let caller = directory::caller(&Found { key, tenant }, fingerprint, self.limits()).map_err(unreadable)?;
        Ok(caller.filter(lives).map(Arc::new))
    }

    /// Forgets what changes.
    pub async fn follow(&self, mut changes: Receiver<Change>) {
        loop {
            let change = match changes.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Everything,
                Err(RecvError::Closed) => return,
            };
            match change {
                Change::Document(Collection::Keys, id) => self.remembered.changed(|_, caller| caller.key_id == id),
                Change::Document(Collection::Tenants, id) => self.remembered.changed(|_, caller| *caller.tenant == *id),
                Change::Everything => self.remembered.doubt(),
            }
        }
    }

    fn limits(&self) -> Limits {
        self.configured.load().limits
    }

    /// The secret by which keys become fingerprints.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    async fn ask(&self, fingerprint: &Fingerprint) -> Result<Said<Arc<Caller>>, Away> {
        let Lookup { epoch, found } = self.store.lookup(fingerprint).await?;
        let caller = found.as_ref().map(|found| directory::caller(found, fingerprint, self.limits())).transpose();
        match caller {
            Ok(caller) => Ok(Said { epoch, is_there: found.is_some(), value: caller.flatten().map(Arc::new) }),
            Err(problem) => {
                error!(%problem, "the store holds a key that cannot be read");
                Err(Away::Refused("a key cannot be read".to_owned()))
            }
        }
    }
}

fn lives(caller: &Caller) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    caller.expires.is_none_or(|expires| now < expires)
}

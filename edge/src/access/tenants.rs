//! The tenants of the store that were asked for lately, for callers who come without a key.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::error;

use super::{
    directory::TenantRecord,
    remembered::{Remembered, Said},
};
use crate::store::{Away, Change, Collection, Store, TenantLookup, config::StoreConfig};

/// Tenants by their ids.
#[derive(Debug)]
pub struct KnownTenants {
    store: Store,
    remembered: Remembered<String, Arc<TenantRecord>>,
}

impl KnownTenants {
    /// Those of the store.
    pub fn new(store: Store, config: &StoreConfig) -> Self {
        Self { store, remembered: Remembered::new("tenants", config) }
    }

    /// The tenant of this id.
    ///
    /// # Errors
    /// It is not known here, and the store is away.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<TenantRecord>>, Away> {
        self.remembered.find(&id.to_owned(), || self.ask(id)).await
    }

    /// Forgets what changes.
    pub async fn follow(&self, mut changes: Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(Change::Document(Collection::Tenants, id)) => self.remembered.changed(|known, _| *known == id),
                Ok(Change::Document(Collection::Keys, _)) => {}
                Ok(Change::Everything) | Err(RecvError::Lagged(_)) => self.remembered.doubt(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn ask(&self, id: &str) -> Result<Said<Arc<TenantRecord>>, Away> {
        let TenantLookup { epoch, found } = self.store.tenant(id).await?;
        match found.as_deref().map(serde_json::from_str).transpose() {
            Ok(tenant) => Ok(Said { epoch, is_there: found.is_some(), value: tenant.map(Arc::new) }),
            Err(problem) => {
                error!(%problem, "the store holds a tenant that cannot be read");
                Err(Away::Refused("a tenant cannot be read".to_owned()))
            }
        }
    }
}

//! The store of one process: documents in a database on disk (redb) or in memory, and the ledger in memory, written down
//! every second.

mod batches;
mod claims;
mod conversations;
mod documents;
mod files;
mod responses;
mod shelf;
mod tallies;
mod usage;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cloudach_service::stop::Running;
use parking_lot::Mutex;
use redb::{Database, WriteTransaction, backends::InMemoryBackend};
use tokio::{
    sync::broadcast,
    time::{MissedTickBehavior, interval},
};
use tracing::error;

use batches::Seat;
use claims::Held;

use super::{Away, Change, MOST_CHANGES, now};
use crate::{
    access::limits::{Ledger, Now},
    idempotency::Place,
    metrics::StoreMetrics,
};

/// How often the ledger is written down: so much of it is lost when the process is killed.
const WRITTEN: Duration = Duration::from_secs(1);

/// What of the database is kept in memory at most: what was read and written last, as files are, need not stay there.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The store of one process. Clones share it.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: Database,
    ledger: Mutex<Ledger>,
    /// Requests with an idempotency key that run, by tenant and slot: no more than requests are in progress.
    claims: Mutex<HashMap<(String, String), Held>>,
    /// Who is at which batch: no more than are open.
    seats: Mutex<HashMap<Place, Seat>>,
    changes: broadcast::Sender<Change>,
    /// It is on disk.
    outlives: bool,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("cannot make the folder {path}: {source}", path = .path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("another process uses the store in {folder}: edges that share a store need Redis", folder = .folder.display())]
    InUse { folder: PathBuf },
    #[error("cannot open the store: {0}")]
    Database(#[from] redb::Error),
}

impl Embedded {
    /// Opens the database in a folder, which is made where there is none. None: in memory.
    ///
    /// # Errors
    /// It cannot be made, is broken, or another process uses it.
    pub fn open(folder: Option<&Path>, metrics: StoreMetrics, running: &Running) -> Result<Self, EmbeddedError> {
        let database = match folder {
            Some(folder) => open(folder)?,
            None => Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(InMemoryBackend::new())
                .map_err(|error| EmbeddedError::Database(error.into()))?,
        };
        documents::make_tables(&database)?;
        let ledger = tallies::read(&database)?;
        metrics.up.set(1);
        metrics.edges.set(1);
        let changes = broadcast::Sender::new(MOST_CHANGES);
        let parts = Parts {
            database,
            ledger: Mutex::new(ledger),
            claims: Mutex::default(),
            seats: Mutex::default(),
            changes,
            outlives: folder.is_some(),
        };
        let store = Self(Arc::new(parts));
        let (writing, kill) = (store.clone(), running.kill.clone());
        running.background.spawn(async move { kill.run_until_cancelled(writing.keep_writing()).await });
        Ok(store)
    }

    /// Does something with the ledger: a few sums under its lock.
    pub fn with_ledger<T>(&self, what: impl FnOnce(&mut Ledger, Now) -> T) -> T {
        what(&mut self.0.ledger.lock(), now())
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    async fn keep_writing(&self) {
        let mut ticks = interval(WRITTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.with_ledger(Ledger::forget_unused);
            self.write_down().await;
        }
    }

    async fn write_down(&self) {
        if !self.0.outlives {
            return;
        }
        let settled = self.with_ledger(|ledger, now| ledger.settled(now));
        let written = self.blocking(move |database| tallies::write(database, &settled)).await;
        if let Err(error) = written {
            error!(%error, "the limits' numbers cannot be written down");
        }
    }

    /// Does something that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Away> {
        let parts = self.0.clone();
        let done = tokio::task::spawn_blocking(move || what(&parts.database)).await;
        match done {
            Ok(done) => done.map_err(|error| refused(&error)),
            Err(_) => Err(Away::Refused("a write was cut short".to_owned())),
        }
    }
}

impl Embedded {
    /// Changes tables, all or none.
    async fn writing<T: Send + 'static>(
        &self,
        what: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Away> {
        self.blocking(move |database| {
            let writing = database.begin_write()?;
            let done = what(&writing)?;
            writing.commit()?;
            Ok(done)
        })
        .await
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    u64::try_from(now().ms).unwrap_or_default()
}

impl Drop for Parts {
    /// Nobody counts any more: what is written now is the last.
    fn drop(&mut self) {
        if !self.outlives {
            return;
        }
        let settled = self.ledger.get_mut().settled(now());
        if let Err(error) = tallies::write(&self.database, &settled) {
            error!(%error, "the limits' last numbers cannot be written down");
        }
    }
}

fn refused(error: &redb::Error) -> Away {
    Away::Refused(error.to_string())
}

fn open(folder: &Path) -> Result<Database, EmbeddedError> {
    fs::create_dir_all(folder).map_err(|source| EmbeddedError::Folder { path: folder.to_owned(), source })?;
    Database::builder().set_cache_size(CACHE_BYTES).create(folder.join("cloudach.redb")).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => EmbeddedError::InUse { folder: folder.to_owned() },
        error => EmbeddedError::Database(error.into()),
    })
}

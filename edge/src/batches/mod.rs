//! Batches: many requests in a file, answered in another within a day, when nobody else wants the engines.
//!
//! What a batch is, and what became of each of its lines, is in the store alone. A line's outcome is kept under its number, once
//! and for all; a batch's files are those outcomes, and are there in the step after which no more are taken. So each line is in one
//! of them once, whoever was at the batch, however often, and wherever they died: an edge takes a batch ([`runner`]), looks which
//! lines have no outcome, and asks them of itself, as any client's requests ([`lines`], [`attempt`]).

mod attempt;
pub mod config;
mod input;
mod lines;
mod pause;
mod run;
pub mod runner;
mod seats;

use std::sync::Arc;

use cloudach_openai::{
    Invalid,
    batches::{Batch, Counts, Create, NotToCancel, Used},
    files::{File, Purpose},
    ids,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::error;

use crate::{
    access::{caller::Caller, principal::Principal},
    error::ApiError,
    files::now_ms,
    http::arrival::random,
    idempotency::Place,
    store::{
        Away, Store,
        batches::{Created, FoundBatch, LastWords, NewBatch},
    },
};
use config::BatchesConfig;

/// How often a change is tried that somebody else was faster with: one edge is at a batch, and few clients.
const MOST_TRIES: usize = 16;

/// The batches in the store. Clones share it.
#[derive(Debug, Clone)]
pub struct Batches(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    config: BatchesConfig,
    /// One was made here: nobody need wait until this edge looks again.
    made: Notify,
}

/// What the store has of a batch as one document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub batch: Batch,
    made_by: Principal,
    /// The number of the last piece of its input.
    input_pieces: u32,
}

/// A batch that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub record: Record,
    /// The document as it was read.
    text: String,
    pub counts: Counts,
    pub used: Used,
}

impl Found {
    fn read(found: FoundBatch) -> Option<Self> {
        let FoundBatch { record: text, counts, used } = found;
        match serde_json::from_str(&text) {
            Ok(record) => Some(Self { record, text, counts, used }),
            Err(problem) => {
                error!(%problem, "the store holds a batch that cannot be read");
                None
            }
        }
    }

    /// As a client sees it.
    pub fn show(&self) -> serde_json::Value {
        self.record.batch.show(self.counts, self.used)
    }
}

impl Batches {
    pub fn new(config: BatchesConfig, store: Store) -> Self {
        Self(Arc::new(Parts { store, config, made: Notify::new() }))
    }

    /// Makes a batch of this file.
    ///
    /// # Errors
    /// The tenant has too many, or the store is away.
    pub async fn create(&self, caller: &Caller, create: Create, file: &File) -> Result<Found, ApiError> {
        let Parts { store, config, .. } = &*self.0;
        let now = now_ms();
        let files = [ids::file(now, random()), ids::file(now, random())];
        let batch = Batch::new(create, ids::batch(now, random()), files, now / 1000, config.window.as_secs());
        let record = Record { batch, made_by: Principal::of(caller), input_pieces: file.last_piece };
        let text = written(&record).map_err(ApiError::Files)?;
        let batch = &record.batch;
        let place = Place { tenant: caller.tenant.to_string(), slot: batch.id.clone() };
        let known_for = config.window + config.window + config.keep;
        let until = now.saturating_add(u64::try_from(known_for.as_millis()).unwrap_or(u64::MAX));
        let new = NewBatch { record: &text, output: &batch.output_file_id, errors: &batch.error_file_id, until };
        // Queued before it is there, and looked at later: a batch that was made is never forgotten.
        store.queue_batch(&place, config.lease).await.map_err(ApiError::Files)?;
        match store.create_batch(&place, &new, config).await.map_err(ApiError::Files)? {
            Created::Created => {}
            Created::TooMany => {
                // Who looks at it finds nothing.
                let _ = store.dequeue_batch(&place).await;
                return Err(Invalid::too_many_batches(config.open).into());
            }
        }
        if store.queue_batch(&place, std::time::Duration::ZERO).await.is_ok() {
            self.0.made.notify_one();
        }
        Ok(Found { record, text, counts: Counts::default(), used: Used::default() })
    }

    /// A batch.
    ///
    /// # Errors
    /// The store is away.
    pub async fn find(&self, place: &Place) -> Result<Option<Found>, Away> {
        Ok(self.0.store.batch(place).await?.and_then(Found::read))
    }

    /// A batch for which its client looks. The queue lies elsewhere than what a batch is: where a failover has cost it an entry, the
    /// batch is put back.
    ///
    /// # Errors
    /// The store is away.
    pub async fn look_for(&self, place: &Place) -> Result<Option<Found>, Away> {
        let found = self.find(place).await?;
        if found.as_ref().is_some_and(|found| !found.record.batch.status.is_last()) {
            self.0.store.recall_batch(place).await?;
        }
        Ok(found)
    }

    /// A tenant's batches behind the one of this id (empty: all), the newest first, at most so many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn list(&self, tenant: &str, after: &str, most: usize) -> Result<Vec<Found>, Away> {
        let found = self.0.store.batches(tenant, after, most).await?;
        Ok(found.into_iter().filter_map(Found::read).collect())
    }

    /// Ends a batch that is not over.
    ///
    /// # Errors
    /// There is none, it is over, or the store is away.
    pub async fn cancel(&self, place: &Place) -> Result<Found, ApiError> {
        for _ in 0..MOST_TRIES {
            let found = self.find(place).await.map_err(ApiError::Files)?.ok_or_else(|| not_found(&place.slot))?;
            let batch = found.record.batch.clone().cancelling(now_ms() / 1000);
            let batch = batch.map_err(|NotToCancel(status)| ApiError::NotToCancel(status.as_str()))?;
            if let Some(changed) = self.change(place, &found, batch).await.map_err(ApiError::Files)? {
                return Ok(changed);
            }
        }
        Err(ApiError::Files(Away::Refused("others change it all the time".to_owned())))
    }

    /// Puts a batch in the place of what was found. `None`: somebody else was faster.
    async fn change(&self, place: &Place, found: &Found, batch: Batch) -> Result<Option<Found>, Away> {
        let record = Record { batch, ..found.record.clone() };
        let text = written(&record)?;
        let is_done = self.0.store.change_batch(place, &found.text, &text, None).await?;
        Ok(is_done.then(|| Found { record, text, ..found.clone() }))
    }

    /// The same for one that is over: its files are there from then on, for so many seconds.
    async fn end(&self, place: &Place, found: &Found, batch: Batch, seconds: u64) -> Result<bool, Away> {
        let created_at = now_ms() / 1000;
        let seconds = batch.output_seconds.unwrap_or(seconds);
        let file = |id: &str, kind: &str| {
            let file = File {
                id: id.to_owned(),
                filename: format!("{}_{kind}.jsonl", batch.id),
                purpose: Purpose::BatchOutput,
                created_at,
                expires_at: created_at + seconds,
                last_piece: batch.last_line,
            };
            let record = serde_json::to_string(&file).map_err(|error| Away::Refused(error.to_string()))?;
            Ok::<_, Away>((file.id, record, file.expires_at * 1000))
        };
        let files = vec![file(&batch.output_file_id, "output")?, file(&batch.error_file_id, "error")?];
        let keep_ms = u64::try_from(self.0.config.keep.as_millis()).unwrap_or(u64::MAX);
        let last = LastWords { until: now_ms().saturating_add(keep_ms), files };
        let text = written(&Record { batch, ..found.record.clone() })?;
        self.0.store.change_batch(place, &found.text, &text, Some(&last)).await
    }
}

fn written(record: &Record) -> Result<String, Away> {
    serde_json::to_string(record).map_err(|error| Away::Refused(error.to_string()))
}

/// No batch of this id is there for this tenant.
pub fn not_found(id: &str) -> ApiError {
    ApiError::NoSuchBatch(id.chars().take(100).collect())
}

//! Batches in the store. What each is, is a document that is put in the place of the one that was read; what became of its
//! lines is kept under their numbers, each once and for all. So nothing depends on who is at a batch: the queue of those that
//! are open only keeps edges from doing the same work twice.

use std::time::Duration;

use cloudach_openai::batches::{Counts, Outcome, Used};

use super::{Away, Store};
use crate::{batches::config::BatchesConfig, idempotency::Place};

/// A batch that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewBatch<'a> {
    pub record: &'a str,
    /// The ids of its files.
    pub output: &'a str,
    pub errors: &'a str,
    /// Milliseconds since 1970 until which it is known, if it is never over.
    pub until: u64,
}

/// Whether it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Created,
    /// The tenant has as many that are open as it may have.
    TooMany,
}

/// A batch as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBatch {
    pub record: String,
    pub counts: Counts,
    pub used: Used,
}

/// What became of a line.
#[derive(Debug, Clone)]
pub struct LineDone {
    pub number: u32,
    pub outcome: Outcome,
    /// With its line feed.
    pub text: Vec<u8>,
    pub used: Used,
}

/// Whether it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKept {
    Kept,
    /// The line came to something before.
    Had,
    /// The tenant's files are as large as they may be together.
    NoRoom,
    /// The batch is over, or gone.
    Over,
}

/// How a batch ends.
#[derive(Debug, Clone)]
pub struct LastWords {
    /// Milliseconds since 1970 until which it is known.
    pub until: u64,
    /// Its files, of which those are kept that have lines: id, record, until when.
    pub files: Vec<(String, String, u64)>,
}

impl Store {
    /// Makes a batch.
    ///
    /// # Errors
    /// The store is away.
    pub async fn create_batch(
        &self,
        place: &Place,
        batch: &NewBatch<'_>,
        config: &BatchesConfig,
    ) -> Result<Created, Away> {
        match self {
            Self::Embedded(embedded) => embedded.create_batch(place, batch, config).await,
            Self::Redis(redis) => redis.create_batch(place, batch, config).await,
        }
    }

    /// A batch.
    ///
    /// # Errors
    /// The store is away.
    pub async fn batch(&self, place: &Place) -> Result<Option<FoundBatch>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.batch(place).await,
            Self::Redis(redis) => redis.batch(place).await,
        }
    }

    /// A tenant's batches behind the one of this id (empty: all), the newest first, at most so many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn batches(&self, tenant: &str, after: &str, most: usize) -> Result<Vec<FoundBatch>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.batches(tenant, after, most).await,
            Self::Redis(redis) => redis.batches(tenant, after, most).await,
        }
    }

    /// Puts a batch's document in the place of the one that was read. With `last`, it is over in the same step: no line is kept any
    /// more, and its files are there. False: somebody else was faster.
    ///
    /// # Errors
    /// The store is away.
    pub async fn change_batch(
        &self,
        place: &Place,
        old: &str,
        new: &str,
        last: Option<&LastWords>,
    ) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.change_batch(place, old, new, last).await,
            Self::Redis(redis) => redis.change_batch(place, old, new, last).await,
        }
    }

    /// Keeps what became of a line, unless that is known: then nothing changes. What was answered is kept where the tenant's files
    /// are no larger than `most` bytes with it, an error always.
    ///
    /// # Errors
    /// The store is away. It may be kept all the same.
    pub async fn keep_line(&self, place: &Place, line: &LineDone, most: u64) -> Result<LineKept, Away> {
        match self {
            Self::Embedded(embedded) => embedded.keep_line(place, line, most).await,
            Self::Redis(redis) => redis.keep_line(place, line, most).await,
        }
    }

    /// Of so many lines from a number on, those of which is known what became of them.
    ///
    /// # Errors
    /// The store is away.
    pub async fn lines_done(&self, place: &Place, from: u32, most: u32) -> Result<Vec<u32>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.lines_done(place, from, most).await,
            Self::Redis(redis) => redis.lines_done(place, from, most).await,
        }
    }

    /// A batch is open: edges look at it, in so long or at once.
    ///
    /// # Errors
    /// The store is away.
    pub async fn queue_batch(&self, place: &Place, delay: Duration) -> Result<(), Away> {
        match self {
            Self::Embedded(embedded) => embedded.queue_batch(place, delay).await,
            Self::Redis(redis) => redis.queue_batch(place, delay).await,
        }
    }

    /// A batch is open, which a store that has lost something may not know.
    ///
    /// # Errors
    /// The store is away.
    pub async fn recall_batch(&self, place: &Place) -> Result<(), Away> {
        match self {
            // It loses all or nothing.
            Self::Embedded(_) => Ok(()),
            Self::Redis(redis) => redis.recall_batch(place).await,
        }
    }

    /// Takes the open batch that has waited longest for somebody, and is of none of these tenants, for as long as the lease.
    ///
    /// # Errors
    /// The store is away.
    pub async fn take_batch(
        &self,
        owner: &str,
        passed_over: &[String],
        lease: Duration,
    ) -> Result<Option<Place>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.take_batch(owner, passed_over, lease).await,
            Self::Redis(redis) => redis.take_batch(owner, passed_over, lease).await,
        }
    }

    /// Somebody is still at a batch. False: it is another's.
    ///
    /// # Errors
    /// The store is away.
    pub async fn hold_batch(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.hold_batch(place, owner, lease)),
            Self::Redis(redis) => redis.hold_batch(place, owner, lease).await,
        }
    }

    /// Somebody leaves a batch to others.
    ///
    /// # Errors
    /// The store is away.
    pub async fn leave_batch(&self, place: &Place, owner: &str) -> Result<(), Away> {
        match self {
            Self::Embedded(embedded) => {
                embedded.leave_batch(place, owner);
                Ok(())
            }
            Self::Redis(redis) => redis.leave_batch(place, owner).await,
        }
    }

    /// Nobody need look at a batch any more.
    ///
    /// # Errors
    /// The store is away.
    pub async fn dequeue_batch(&self, place: &Place) -> Result<(), Away> {
        match self {
            Self::Embedded(embedded) => embedded.dequeue_batch(place).await,
            Self::Redis(redis) => redis.dequeue_batch(place).await,
        }
    }
}

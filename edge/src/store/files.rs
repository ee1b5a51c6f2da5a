//! Files in the store: each in pieces, so that none crosses the connection, or a lock, as a whole. What a batch puts out is a
//! file, too, whose pieces are its lines by their numbers.

use super::{Away, Store};
use crate::{files::config::FilesConfig, idempotency::Place};

/// The size of a piece of what is uploaded, and about what is read at once, in bytes.
pub const PIECE_BYTES: usize = 512 * 1024;

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    Added,
    /// Its file was given up: it took too long.
    Gone,
    /// The tenant has as many files as it may have.
    TooMany,
    /// The tenant's files are as large as they may be together.
    TooLarge,
}

/// A file as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    pub record: String,
    pub bytes: u64,
}

/// Some of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    pub bytes: Vec<u8>,
    /// The number of the piece behind it.
    pub next: u32,
}

impl Store {
    /// Adds a piece to a file that is uploaded. The first one has the number 0. A file that is not kept is forgotten in time.
    ///
    /// # Errors
    /// The store is away.
    pub async fn add_piece(
        &self,
        place: &Place,
        number: u32,
        piece: Vec<u8>,
        config: &FilesConfig,
    ) -> Result<Added, Away> {
        match self {
            Self::Embedded(embedded) => embedded.add_piece(place, number, piece, config).await,
            Self::Redis(redis) => redis.add_piece(place, number, &piece, config).await,
        }
    }

    /// A file is there from now on, until so many milliseconds since 1970. False: it was given up.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keep_file(&self, place: &Place, record: &str, until: u64) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.keep_file(place, record, until).await,
            Self::Redis(redis) => redis.keep_file(place, record, until).await,
        }
    }

    /// A file is there at least until then. False: there is none.
    ///
    /// # Errors
    /// The store is away.
    pub async fn hold_file(&self, place: &Place, until: u64) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.hold_file(place, until).await,
            Self::Redis(redis) => redis.hold_file(place, until).await,
        }
    }

    /// A file.
    ///
    /// # Errors
    /// The store is away.
    pub async fn file(&self, place: &Place) -> Result<Option<FoundFile>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.file(place).await,
            Self::Redis(redis) => redis.file(place).await,
        }
    }

    /// A tenant's files behind the one of this id (empty: all), at most so many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn files(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
        newest_first: bool,
    ) -> Result<Vec<FoundFile>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.files(tenant, after, most, newest_first).await,
            Self::Redis(redis) => redis.files(tenant, after, most, newest_first).await,
        }
    }

    /// A file's content from one of its pieces on, of which `last` is the last: about as much as one is uploaded in. `None`: the
    /// file is gone.
    ///
    /// # Errors
    /// The store is away.
    pub async fn pieces(&self, place: &Place, from: u32, last: u32) -> Result<Option<Pieces>, Away> {
        match self {
            Self::Embedded(embedded) => embedded.pieces(place, from, last).await,
            Self::Redis(redis) => redis.pieces(place, from, last).await,
        }
    }

    /// Removes a file, kept or not. False: there was none that was kept.
    ///
    /// # Errors
    /// The store is away.
    pub async fn remove_file(&self, place: &Place) -> Result<bool, Away> {
        match self {
            Self::Embedded(embedded) => embedded.remove_file(place).await,
            Self::Redis(redis) => redis.remove_file(place).await,
        }
    }
}

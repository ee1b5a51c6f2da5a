//! A file on its way in: what comes is given to the store in pieces, so that no edge holds more than one of them.

use cloudach_openai::{
    Invalid,
    files::{File, Purpose},
    ids,
};
use tracing::debug;

use super::{Files, now_ms};
use crate::{
    error::ApiError,
    http::arrival::random,
    idempotency::Place,
    store::files::{Added, PIECE_BYTES},
};

/// See above.
pub struct Upload {
    files: Files,
    place: Place,
    waiting: Vec<u8>,
    pieces: u32,
    bytes: u64,
}

impl Upload {
    /// The beginning of a tenant's file.
    pub fn begin(files: &Files, tenant: &str) -> Self {
        let id = ids::file(now_ms(), random());
        let place = Place { tenant: tenant.to_owned(), slot: id };
        Self { files: files.clone(), place, waiting: Vec::new(), pieces: 0, bytes: 0 }
    }

    /// More of it.
    ///
    /// # Errors
    /// It is too large, there is no room for it, or the store is away.
    pub async fn push(&mut self, more: &[u8]) -> Result<(), ApiError> {
        self.bytes += more.len() as u64;
        let most = self.files.config().file_bytes;
        if self.bytes > most {
            return Err(ApiError::BodyTooLarge(usize::try_from(most).unwrap_or(usize::MAX)));
        }
        self.waiting.extend_from_slice(more);
        while self.waiting.len() >= PIECE_BYTES {
            let rest = self.waiting.split_off(PIECE_BYTES);
            let piece = std::mem::replace(&mut self.waiting, rest);
            self.add(piece).await?;
        }
        Ok(())
    }

    /// All of it has come.
    ///
    /// # Errors
    /// There is no room for it, or the store is away.
    pub async fn finish(
        &mut self,
        filename: String,
        purpose: Purpose,
        seconds: Option<u64>,
    ) -> Result<(File, u64), ApiError> {
        if !self.waiting.is_empty() || self.pieces == 0 {
            let piece = std::mem::take(&mut self.waiting);
            self.add(piece).await?;
        }
        let created_at = now_ms() / 1000;
        let seconds = seconds.unwrap_or_else(|| self.files.config().keep.as_secs());
        let file = File {
            id: self.place.slot.clone(),
            filename,
            purpose,
            created_at,
            expires_at: created_at + seconds,
            last_piece: self.pieces - 1,
        };
        let record = serde_json::to_string(&file).map_err(|_| ApiError::Internal("a file cannot be written"))?;
        let until = file.expires_at * 1000;
        match self.files.0.store.keep_file(&self.place, &record, until).await.map_err(ApiError::Files)? {
            true => Ok((file, self.bytes)),
            false => Err(Invalid::upload_given_up().into()),
        }
    }

    /// It will not be whole.
    pub async fn give_up(self) {
        if self.pieces > 0
            && let Err(away) = self.files.0.store.remove_file(&self.place).await
        {
            debug!(%away, "what was uploaded of a file is forgotten in time");
        }
    }

    async fn add(&mut self, piece: Vec<u8>) -> Result<(), ApiError> {
        let config = self.files.config();
        let added = self.files.0.store.add_piece(&self.place, self.pieces, piece, config).await;
        match added.map_err(ApiError::Files)? {
            Added::Added => self.pieces += 1,
            Added::Gone => return Err(Invalid::upload_given_up().into()),
            Added::TooMany => return Err(Invalid::too_many_files(config.files).into()),
            Added::TooLarge => return Err(Invalid::no_room_for_files(config.tenant_bytes).into()),
        }
        Ok(())
    }
}

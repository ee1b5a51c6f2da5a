//! Files: what is uploaded for batches, and what batches put out. Each is its tenant's, and lies in the store, in pieces.

pub mod config;
mod upload;

use std::sync::Arc;

use async_stream::try_stream;
use bytes::Bytes;
use cloudach_openai::files::{File, Purpose};
use futures_util::Stream;

use crate::{
    error::ApiError,
    idempotency::Place,
    store::{Away, Store, files::FoundFile, now},
};
use config::FilesConfig;
pub use upload::Upload;

/// Files that are looked through at once.
const AT_ONCE: usize = 500;

/// The files in the store. Clones share it.
#[derive(Debug, Clone)]
pub struct Files(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    config: FilesConfig,
}

/// Which files are wanted.
#[derive(Debug)]
pub struct Wanted {
    /// Those behind the one of this id; empty: all.
    pub after: String,
    pub most: usize,
    pub newest_first: bool,
    /// `None`: of any.
    pub purpose: Option<Purpose>,
}

impl Files {
    pub fn new(config: FilesConfig, store: Store) -> Self {
        Self(Arc::new(Parts { store, config }))
    }

    pub fn config(&self) -> &FilesConfig {
        &self.0.config
    }

    /// A file and its size.
    ///
    /// # Errors
    /// The store is away.
    pub async fn find(&self, place: &Place) -> Result<Option<(File, u64)>, Away> {
        Ok(self.0.store.file(place).await?.and_then(|found| read(&found)))
    }

    /// A tenant's files with their sizes, and whether there are more.
    ///
    /// # Errors
    /// The store is away.
    pub async fn list(&self, tenant: &str, wanted: Wanted) -> Result<(Vec<(File, u64)>, bool), Away> {
        let Wanted { mut after, most, newest_first, purpose } = wanted;
        let mut files = Vec::new();
        loop {
            let page = self.0.store.files(tenant, &after, AT_ONCE, newest_first).await?;
            let is_last = page.len() < AT_ONCE;
            for found in &page {
                let Some((file, bytes)) = read(found) else { continue };
                after.clone_from(&file.id);
                if purpose.is_some_and(|purpose| purpose != file.purpose) {
                    continue;
                }
                if files.len() == most {
                    return Ok((files, true));
                }
                files.push((file, bytes));
            }
            // A page that nothing can be read of would be read for ever.
            if is_last || page.iter().all(|found| read(found).is_none()) {
                return Ok((files, false));
            }
        }
    }

    /// The content of a file that was found.
    pub fn content(&self, place: Place, file: &File) -> impl Stream<Item = Result<Bytes, Away>> + Send + 'static {
        let (files, last) = (self.clone(), file.last_piece);
        try_stream! {
            let mut from = 0;
            while from <= last {
                let pieces = files.0.store.pieces(&place, from, last).await?;
                // It was removed meanwhile: the client sees that its content is cut short.
                let pieces = pieces.ok_or_else(|| Away::Refused("the file was removed".to_owned()))?;
                from = pieces.next;
                if !pieces.bytes.is_empty() {
                    yield Bytes::from(pieces.bytes);
                }
            }
        }
    }

    /// Removes a file. False: there is none.
    ///
    /// # Errors
    /// The store is away.
    pub async fn remove(&self, place: &Place) -> Result<bool, Away> {
        // One that is only held for a batch is gone for its tenant.
        if self.find(place).await?.is_none() {
            return Ok(false);
        }
        self.0.store.remove_file(place).await
    }
}

/// What is no file to this version, or is only held for a batch, is none.
fn read(found: &FoundFile) -> Option<(File, u64)> {
    let file: File = serde_json::from_str(&found.record).ok()?;
    (file.expires_at.saturating_mul(1000) > now_ms()).then_some((file, found.bytes))
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(now().ms).unwrap_or_default()
}

/// No file of this id is there for this tenant.
pub fn not_found(id: &str) -> ApiError {
    ApiError::NoSuchFile(id.chars().take(100).collect())
}

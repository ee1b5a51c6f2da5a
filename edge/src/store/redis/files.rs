//! Files in Redis: what is known of each in one hash of its tenant, and its content in a hash of its own, by numbers.

use super::{Redis, tenants_key};
use crate::{
    files::config::FilesConfig,
    idempotency::Place,
    metrics::Call,
    store::{
        Away,
        files::{Added, FoundFile, PIECE_BYTES, Pieces},
    },
};

/// Numbers of pieces that are looked for at once: most lines of a batch are in the other of its files.
const LOOKED_FOR: u32 = 4096;

/// What Redis does with files in one step.
#[derive(Debug)]
pub struct FileScripts {
    add_piece: redis::Script,
    keep_file: redis::Script,
    hold_file: redis::Script,
    list: redis::Script,
    pieces: redis::Script,
    remove_file: redis::Script,
}

/// What all scripts of files and batches begin with.
pub const INDEX: &str = include_str!("files/index.lua");

impl FileScripts {
    pub fn new() -> Self {
        let script = |text: &str| redis::Script::new(&format!("{INDEX}{text}"));
        Self {
            add_piece: script(include_str!("files/add_piece.lua")),
            keep_file: script(include_str!("files/keep_file.lua")),
            hold_file: script(include_str!("files/hold_file.lua")),
            list: script(include_str!("files/list.lua")),
            pieces: script(include_str!("files/pieces.lua")),
            remove_file: script(include_str!("files/remove_file.lua")),
        }
    }
}

impl Redis {
    pub async fn add_piece(
        &self,
        place: &Place,
        number: u32,
        piece: &[u8],
        config: &FilesConfig,
    ) -> Result<Added, Away> {
        let mut invocation = self.scripts.files.add_piece.prepare_invoke();
        let upload_ms = u64::try_from(config.upload_time.as_millis()).unwrap_or(u64::MAX);
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(number).arg(piece);
        invocation.arg(upload_ms).arg(config.files).arg(config.tenant_bytes);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(match self.link.call(Call::File, call).await? {
            0 => Added::Gone,
            1 => Added::Added,
            2 => Added::TooMany,
            _ => Added::TooLarge,
        })
    }

    pub async fn keep_file(&self, place: &Place, record: &str, until: u64) -> Result<bool, Away> {
        let mut invocation = self.scripts.files.keep_file.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(record).arg(until);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::File, call).await? == 1)
    }

    pub async fn hold_file(&self, place: &Place, until: u64) -> Result<bool, Away> {
        let mut invocation = self.scripts.files.hold_file.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(until);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::File, call).await? == 1)
    }

    pub async fn file(&self, place: &Place) -> Result<Option<FoundFile>, Away> {
        let mut command = redis::pipe();
        command.hget(tenants_key(&place.tenant, "files"), &place.slot);
        command.hget(tenants_key(&place.tenant, "files:sizes"), &place.slot);
        let call = |mut wire| async move { command.query_async::<(Option<String>, Option<u64>)>(&mut wire).await };
        let (record, bytes) = self.link.call(Call::File, call).await?;
        Ok(record.map(|record| FoundFile { record, bytes: bytes.unwrap_or_default() }))
    }

    pub async fn files(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
        newest_first: bool,
    ) -> Result<Vec<FoundFile>, Away> {
        let mut invocation = self.scripts.files.list.prepare_invoke();
        invocation.key(base(tenant)).arg(after).arg(most).arg(u8::from(newest_first));
        let call = |mut wire| async move { invocation.invoke_async::<Vec<(String, u64)>>(&mut wire).await };
        let found = self.link.call(Call::File, call).await?;
        Ok(found.into_iter().map(|(record, bytes)| FoundFile { record, bytes }).collect())
    }

    pub async fn pieces(&self, place: &Place, from: u32, last: u32) -> Result<Option<Pieces>, Away> {
        let mut invocation = self.scripts.files.pieces.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(from).arg(last).arg(PIECE_BYTES).arg(LOOKED_FOR);
        let call = |mut wire| async move { invocation.invoke_async::<(u8, u32, Vec<u8>)>(&mut wire).await };
        let (found, next, bytes) = self.link.call(Call::File, call).await?;
        Ok((found == 1).then_some(Pieces { bytes, next }))
    }

    pub async fn remove_file(&self, place: &Place) -> Result<bool, Away> {
        let mut invocation = self.scripts.files.remove_file.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::File, call).await? == 1)
    }
}

/// What the names of a tenant's keys begin with.
pub fn base(tenant: &str) -> String {
    tenants_key(tenant, "")
}

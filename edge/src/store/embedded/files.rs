//! Files in the database: what is known of each, its content in pieces by their numbers, and what a tenant's take together.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Embedded, now_ms};
use crate::{
    files::config::FilesConfig,
    idempotency::Place,
    store::{
        Away,
        files::{Added, FoundFile, PIECE_BYTES, Pieces},
    },
};

/// Tenant and id.
type Name = (&'static str, &'static str);

/// What is known of those that are kept.
const RECORDS: TableDefinition<'_, Name, &str> = TableDefinition::new("files");

/// Until when each is there, kept or not, and its size.
const SIZES: TableDefinition<'_, Name, (u64, u64)> = TableDefinition::new("files_sizes");

/// Their content.
pub const PIECES: TableDefinition<'_, (&str, &str, u32), &[u8]> = TableDefinition::new("files_pieces");

/// Their names by their ends.
const ENDS: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("files_ends");

/// How many a tenant has, and their size together.
const TOTALS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("files_totals");

/// Reading a table that nobody has made is an error.
pub fn make_tables(writing: &WriteTransaction) -> Result<(), redb::Error> {
    Files::open(writing).map(|_| ())
}

impl Embedded {
    pub async fn add_piece(
        &self,
        place: &Place,
        number: u32,
        piece: Vec<u8>,
        config: &FilesConfig,
    ) -> Result<Added, Away> {
        let (Place { tenant, slot: id }, config) = (place.clone(), config.clone());
        self.writing(move |writing| {
            let mut files = Files::open(writing)?;
            if number == 0 {
                files.forget_ended()?;
                if files.total(&tenant)?.0 >= config.files as u64 {
                    return Ok(Added::TooMany);
                }
            } else if !files.is_there(&tenant, &id)? {
                return Ok(Added::Gone);
            }
            if files.total(&tenant)?.1 + piece.len() as u64 > config.tenant_bytes {
                files.drop(&tenant, &id)?;
                return Ok(Added::TooLarge);
            }
            if number == 0 {
                let upload_ms = u64::try_from(config.upload_time.as_millis()).unwrap_or(u64::MAX);
                files.hold(&tenant, &id, now_ms().saturating_add(upload_ms))?;
            }
            files.fill(&tenant, &id, number, &piece)?;
            Ok(Added::Added)
        })
        .await
    }

    pub async fn keep_file(&self, place: &Place, record: &str, until: u64) -> Result<bool, Away> {
        let (Place { tenant, slot: id }, record) = (place.clone(), record.to_owned());
        self.writing(move |writing| {
            let mut files = Files::open(writing)?;
            if !files.is_there(&tenant, &id)? {
                return Ok(false);
            }
            files.keep(&tenant, &id, &record, until)?;
            Ok(true)
        })
        .await
    }

    pub async fn hold_file(&self, place: &Place, until: u64) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.writing(move |writing| {
            let mut files = Files::open(writing)?;
            if files.records.get((tenant.as_str(), id.as_str()))?.is_none() {
                return Ok(false);
            }
            let before = files.sizes.get((tenant.as_str(), id.as_str()))?.map_or(0, |size| size.value().0);
            files.hold(&tenant, &id, until.max(before))?;
            Ok(true)
        })
        .await
    }

    pub async fn file(&self, place: &Place) -> Result<Option<FoundFile>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let name = (tenant.as_str(), id.as_str());
            let Some(record) = reading.open_table(RECORDS)?.get(name)?.map(|record| record.value().to_owned()) else {
                return Ok(None);
            };
            let (until, bytes) = reading.open_table(SIZES)?.get(name)?.map_or((0, 0), |size| size.value());
            Ok((until > now_ms()).then_some(FoundFile { record, bytes }))
        })
        .await
    }

    pub async fn files(
        &self,
        tenant: &str,
        after: &str,
        most: usize,
        newest_first: bool,
    ) -> Result<Vec<FoundFile>, Away> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let (records, sizes) = (reading.open_table(RECORDS)?, reading.open_table(SIZES)?);
            let all = (tenant.as_str(), "")..=(tenant.as_str(), "\u{10ffff}");
            let mut range = records.range(all)?;
            let mut found = Vec::new();
            while found.len() < most {
                let Some(entry) = (if newest_first { range.next_back() } else { range.next() }) else { break };
                let (name, record) = entry?;
                let id = name.value().1;
                let is_behind = if newest_first { id < after.as_str() } else { id > after.as_str() };
                if !after.is_empty() && !is_behind {
                    continue;
                }
                let (until, bytes) = sizes.get((tenant.as_str(), id))?.map_or((0, 0), |size| size.value());
                if until > now_ms() {
                    found.push(FoundFile { record: record.value().to_owned(), bytes });
                }
            }
            Ok(found)
        })
        .await
    }

    pub async fn pieces(&self, place: &Place, from: u32, last: u32) -> Result<Option<Pieces>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let until =
                reading.open_table(SIZES)?.get((tenant.as_str(), id.as_str()))?.map_or(0, |size| size.value().0);
            if until <= now_ms() {
                return Ok(None);
            }
            let pieces = reading.open_table(PIECES)?;
            let mut found = Pieces { bytes: Vec::new(), next: last.saturating_add(1) };
            if from > last {
                return Ok(Some(found));
            }
            for entry in pieces.range((tenant.as_str(), id.as_str(), from)..=(tenant.as_str(), id.as_str(), last))? {
                let (name, piece) = entry?;
                found.bytes.extend_from_slice(piece.value());
                if found.bytes.len() >= PIECE_BYTES {
                    found.next = name.value().2.saturating_add(1);
                    break;
                }
            }
            Ok(Some(found))
        })
        .await
    }

    pub async fn remove_file(&self, place: &Place) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.writing(move |writing| {
            let mut files = Files::open(writing)?;
            let is_there =
                files.sizes.get((tenant.as_str(), id.as_str()))?.is_some_and(|size| size.value().0 > now_ms());
            Ok(files.drop(&tenant, &id)? && is_there)
        })
        .await
    }
}

/// All tables, in step.
pub struct Files<'w> {
    records: Table<'w, Name, &'static str>,
    sizes: Table<'w, Name, (u64, u64)>,
    pieces: Table<'w, (&'static str, &'static str, u32), &'static [u8]>,
    ends: Table<'w, (u64, &'static str, &'static str), ()>,
    totals: Table<'w, &'static str, (u64, u64)>,
}

impl<'w> Files<'w> {
    pub fn open(writing: &'w WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: writing.open_table(RECORDS)?,
            sizes: writing.open_table(SIZES)?,
            pieces: writing.open_table(PIECES)?,
            ends: writing.open_table(ENDS)?,
            totals: writing.open_table(TOTALS)?,
        })
    }

    /// How many a tenant has, and their size together.
    pub fn total(&self, tenant: &str) -> Result<(u64, u64), redb::Error> {
        Ok(self.totals.get(tenant)?.map_or((0, 0), |total| total.value()))
    }

    /// Whether there is content under this name.
    pub fn is_there(&self, tenant: &str, id: &str) -> Result<bool, redb::Error> {
        Ok(self.sizes.get((tenant, id))?.is_some())
    }

    /// Whether it has this piece.
    pub fn has(&self, tenant: &str, id: &str, number: u32) -> Result<bool, redb::Error> {
        Ok(self.pieces.get((tenant, id, number))?.is_some())
    }

    /// A file is there until then.
    pub fn hold(&mut self, tenant: &str, id: &str, until: u64) -> Result<(), redb::Error> {
        let before = self.sizes.get((tenant, id))?.map(|size| size.value());
        if let Some((before, _)) = before {
            self.ends.remove((before, tenant, id))?;
        } else {
            let (files, bytes) = self.total(tenant)?;
            self.totals.insert(tenant, (files + 1, bytes))?;
        }
        self.sizes.insert((tenant, id), (until, before.map_or(0, |(_, bytes)| bytes)))?;
        self.ends.insert((until, tenant, id), ())?;
        Ok(())
    }

    /// Content is added to a file that is held, which takes its room.
    pub fn fill(&mut self, tenant: &str, id: &str, number: u32, text: &[u8]) -> Result<(), redb::Error> {
        self.pieces.insert((tenant, id, number), text)?;
        let (until, size) = self.sizes.get((tenant, id))?.map_or((0, 0), |size| size.value());
        self.sizes.insert((tenant, id), (until, size + text.len() as u64))?;
        let (files, bytes) = self.total(tenant)?;
        self.totals.insert(tenant, (files, bytes + text.len() as u64))?;
        Ok(())
    }

    /// A file is kept until then.
    pub fn keep(&mut self, tenant: &str, id: &str, record: &str, until: u64) -> Result<(), redb::Error> {
        self.records.insert((tenant, id), record)?;
        self.hold(tenant, id, until)
    }

    /// A file is forgotten. True: it was kept.
    pub fn drop(&mut self, tenant: &str, id: &str) -> Result<bool, redb::Error> {
        let size = self.sizes.remove((tenant, id))?.map(|size| size.value());
        if let Some((until, size)) = size {
            self.ends.remove((until, tenant, id))?;
            self.pieces.retain_in((tenant, id, 0)..=(tenant, id, u32::MAX), |_, _| false)?;
            let (files, bytes) = self.total(tenant)?;
            match files.saturating_sub(1) {
                0 => self.totals.remove(tenant)?.is_some(),
                files => self.totals.insert(tenant, (files, bytes.saturating_sub(size)))?.is_some(),
            };
        }
        let was_kept = self.records.remove((tenant, id))?.is_some();
        Ok(was_kept)
    }

    /// Files whose time is over, whoever's they are.
    pub fn forget_ended(&mut self) -> Result<(), redb::Error> {
        loop {
            let first = self.ends.first()?.map(|(name, _)| {
                let (until, tenant, id) = name.value();
                (until, tenant.to_owned(), id.to_owned())
            });
            let Some((_, tenant, id)) = first.filter(|(until, ..)| *until <= now_ms()) else { return Ok(()) };
            self.drop(&tenant, &id)?;
        }
    }
}

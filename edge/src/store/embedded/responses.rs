//! Responses in the database. Those in progress are known to this process, which is the only one: here they are when they
//! begin and when they end. Until when each is kept stands apart from what it is, which is long.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Embedded, now_ms};
use crate::{
    idempotency::Place,
    responses::{
        config::ResponsesConfig,
        kept::{Found, Kept, Stage},
    },
    store::Away,
};

/// Tenant and id.
type Name = (&'static str, &'static str);

/// What is known of each, and what has happened.
const RESPONSES: TableDefinition<'_, Name, (&[u8], &[u8])> = TableDefinition::new("responses");

/// Until when each is kept.
const UNTIL: TableDefinition<'_, Name, u64> = TableDefinition::new("responses_until");

/// Their names by their ends.
const ENDS: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("responses_ends");

/// A tenant's by their ends.
const TENANTS: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("responses_of_tenants");

/// Reading a table that nobody has made is an error.
pub fn make_tables(writing: &WriteTransaction) -> Result<(), redb::Error> {
    Tables::open(writing).map(|_| ())
}

impl Embedded {
    pub async fn keep_response(&self, place: &Place, kept: &Kept<'_>, config: &ResponsesConfig) -> Result<bool, Away> {
        let (Place { tenant, slot: id }, stage, most) = (place.clone(), kept.stage, config.responses);
        let (record, log, ancestors) = (kept.record.to_vec(), kept.log.to_vec(), kept.ancestors.to_vec());
        let until = now_ms().saturating_add(u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX));
        self.blocking(move |database| {
            let writing = database.begin_write()?;
            {
                let mut tables = Tables::open(&writing)?;
                if stage == Stage::Ended && tables.until.get((tenant.as_str(), id.as_str()))?.is_none() {
                    return Ok(false);
                }
                tables.forget_ended()?;
                tables.responses.insert((tenant.as_str(), id.as_str()), (&*record, &*log))?;
                tables.keep(&tenant, &id, until)?;
                for ancestor in &ancestors {
                    if tables.until.get((tenant.as_str(), ancestor.as_str()))?.is_some() {
                        tables.keep(&tenant, ancestor, until)?;
                    }
                }
                tables.forget_beyond(&tenant, most)?;
            }
            writing.commit()?;
            Ok(true)
        })
        .await
    }

    pub async fn response(&self, place: &Place, from: usize) -> Result<Option<Found>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let name = (tenant.as_str(), id.as_str());
            let until = reading.open_table(UNTIL)?.get(name)?.map(|until| until.value());
            if until.is_none_or(|until| until <= now_ms()) {
                return Ok(None);
            }
            let Some(found) = reading.open_table(RESPONSES)?.get(name)? else { return Ok(None) };
            let (record, log) = found.value();
            let log = log.get(from..).unwrap_or_default().to_vec();
            Ok(Some(Found { record: record.to_vec(), log, is_running: false }))
        })
        .await
    }

    pub async fn remove_response(&self, place: &Place) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let writing = database.begin_write()?;
            let until = Tables::open(&writing)?.remove(&tenant, &id)?;
            writing.commit()?;
            Ok(until.is_some_and(|until| until > now_ms()))
        })
        .await
    }
}

/// All four, in step.
struct Tables<'w> {
    responses: Table<'w, Name, (&'static [u8], &'static [u8])>,
    until: Table<'w, Name, u64>,
    ends: Table<'w, (u64, &'static str, &'static str), ()>,
    tenants: Table<'w, (&'static str, u64, &'static str), ()>,
}

impl<'w> Tables<'w> {
    fn open(writing: &'w WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            responses: writing.open_table(RESPONSES)?,
            until: writing.open_table(UNTIL)?,
            ends: writing.open_table(ENDS)?,
            tenants: writing.open_table(TENANTS)?,
        })
    }

    /// Keeps a response until then.
    fn keep(&mut self, tenant: &str, id: &str, until: u64) -> Result<(), redb::Error> {
        let before = self.until.insert((tenant, id), until)?.map(|before| before.value());
        if let Some(before) = before {
            self.ends.remove((before, tenant, id))?;
            self.tenants.remove((tenant, before, id))?;
        }
        self.ends.insert((until, tenant, id), ())?;
        self.tenants.insert((tenant, until, id), ())?;
        Ok(())
    }

    /// Until when it was kept. `None`: there was none.
    fn remove(&mut self, tenant: &str, id: &str) -> Result<Option<u64>, redb::Error> {
        let until = self.until.remove((tenant, id))?.map(|until| until.value());
        if let Some(until) = until {
            self.responses.remove((tenant, id))?;
            self.ends.remove((until, tenant, id))?;
            self.tenants.remove((tenant, until, id))?;
        }
        Ok(until)
    }

    /// What has ended, whoever's it is.
    fn forget_ended(&mut self) -> Result<(), redb::Error> {
        loop {
            let first = self.ends.first()?.map(|(name, _)| {
                let (until, tenant, id) = name.value();
                (until, tenant.to_owned(), id.to_owned())
            });
            let Some((_, tenant, id)) = first.filter(|(until, ..)| *until <= now_ms()) else { return Ok(()) };
            self.remove(&tenant, &id)?;
        }
    }

    /// Of a tenant's responses, the oldest beyond so many.
    fn forget_beyond(&mut self, tenant: &str, most: usize) -> Result<(), redb::Error> {
        let all = (tenant, 0, "")..=(tenant, u64::MAX, "\u{10ffff}");
        let beyond = self.tenants.range(all.clone())?.count().saturating_sub(most);
        let mut oldest = Vec::with_capacity(beyond);
        for entry in self.tenants.range(all)?.take(beyond) {
            oldest.push(entry?.0.value().2.to_owned());
        }
        for id in oldest {
            self.remove(tenant, &id)?;
        }
        Ok(())
    }
}

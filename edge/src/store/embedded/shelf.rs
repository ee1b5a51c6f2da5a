//! What is kept of tenants' documents until a time, each of two parts: their tables, in step. Until when each is kept stands
//! apart from what it is, which is long.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::now_ms;

/// Tenant and id.
type Name = (&'static str, &'static str);

/// The two parts of a document.
pub type Parts = (Vec<u8>, Vec<u8>);

/// The names of the tables of one kind of documents.
pub struct Shelf {
    documents: TableDefinition<'static, Name, (&'static [u8], &'static [u8])>,
    until: TableDefinition<'static, Name, u64>,
    /// Their names by their ends.
    ends: TableDefinition<'static, (u64, &'static str, &'static str), ()>,
    /// A tenant's by their ends.
    tenants: TableDefinition<'static, (&'static str, u64, &'static str), ()>,
}

pub const RESPONSES: Shelf = Shelf {
    documents: TableDefinition::new("responses"),
    until: TableDefinition::new("responses_until"),
    ends: TableDefinition::new("responses_ends"),
    tenants: TableDefinition::new("responses_of_tenants"),
};

pub const CONVERSATIONS: Shelf = Shelf {
    documents: TableDefinition::new("conversations"),
    until: TableDefinition::new("conversations_until"),
    ends: TableDefinition::new("conversations_ends"),
    tenants: TableDefinition::new("conversations_of_tenants"),
};

/// Reading a table that nobody has made is an error.
pub fn make_tables(writing: &WriteTransaction) -> Result<(), redb::Error> {
    RESPONSES.open(writing)?;
    CONVERSATIONS.open(writing).map(|_| ())
}

impl Shelf {
    pub fn open<'w>(&self, writing: &'w WriteTransaction) -> Result<Tables<'w>, redb::Error> {
        Ok(Tables {
            documents: writing.open_table(self.documents)?,
            until: writing.open_table(self.until)?,
            ends: writing.open_table(self.ends)?,
            tenants: writing.open_table(self.tenants)?,
        })
    }

    /// A document that has not ended, what is behind so many bytes of its second part.
    pub fn read(
        &self,
        reading: &ReadTransaction,
        tenant: &str,
        id: &str,
        from: usize,
    ) -> Result<Option<Parts>, redb::Error> {
        let until = reading.open_table(self.until)?.get((tenant, id))?.map(|until| until.value());
        if until.is_none_or(|until| until <= now_ms()) {
            return Ok(None);
        }
        let found = reading.open_table(self.documents)?;
        let Some(found) = found.get((tenant, id))? else { return Ok(None) };
        let (first, second) = found.value();
        Ok(Some((first.to_vec(), second.get(from..).unwrap_or_default().to_vec())))
    }
}

/// All four.
pub struct Tables<'w> {
    documents: Table<'w, Name, (&'static [u8], &'static [u8])>,
    until: Table<'w, Name, u64>,
    ends: Table<'w, (u64, &'static str, &'static str), ()>,
    tenants: Table<'w, (&'static str, u64, &'static str), ()>,
}

impl Tables<'_> {
    /// A document, unless it has ended.
    pub fn get(&self, tenant: &str, id: &str) -> Result<Option<Parts>, redb::Error> {
        if !self.is_kept(tenant, id)? {
            return Ok(None);
        }
        Ok(self.documents.get((tenant, id))?.map(|found| {
            let (first, second) = found.value();
            (first.to_vec(), second.to_vec())
        }))
    }

    /// Whether it is there and has not ended.
    pub fn is_kept(&self, tenant: &str, id: &str) -> Result<bool, redb::Error> {
        Ok(self.until.get((tenant, id))?.is_some_and(|until| until.value() > now_ms()))
    }

    /// Puts a document, which is kept from [`Tables::keep`] on.
    pub fn put(&mut self, tenant: &str, id: &str, first: &[u8], second: &[u8]) -> Result<(), redb::Error> {
        self.documents.insert((tenant, id), (first, second))?;
        Ok(())
    }

    /// Keeps a document until then.
    pub fn keep(&mut self, tenant: &str, id: &str, until: u64) -> Result<(), redb::Error> {
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
    pub fn remove(&mut self, tenant: &str, id: &str) -> Result<Option<u64>, redb::Error> {
        let until = self.until.remove((tenant, id))?.map(|until| until.value());
        if let Some(until) = until {
            self.documents.remove((tenant, id))?;
            self.ends.remove((until, tenant, id))?;
            self.tenants.remove((tenant, until, id))?;
        }
        Ok(until)
    }

    /// What has ended, whoever's it is.
    pub fn forget_ended(&mut self) -> Result<(), redb::Error> {
        loop {
            let first = self.ends.first()?.map(|(name, _)| {
                let (until, tenant, id) = name.value();
                (until, tenant.to_owned(), id.to_owned())
            });
            let Some((_, tenant, id)) = first.filter(|(until, ..)| *until <= now_ms()) else { return Ok(()) };
            self.remove(&tenant, &id)?;
        }
    }

    /// Of a tenant's documents, the oldest beyond so many.
    pub fn forget_beyond(&mut self, tenant: &str, most: usize) -> Result<(), redb::Error> {
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

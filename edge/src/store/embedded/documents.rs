//! Keys and tenants in the embedded database.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Embedded, EmbeddedError, batches, claims, files, refused, shelf, tallies, usage};
use crate::store::{Away, Change, Collection, Fingerprint, Found, Put};

const KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("keys");
const TENANTS: TableDefinition<'_, &str, &str> = TableDefinition::new("tenants");
const FINGERPRINTS: TableDefinition<'_, &str, &str> = TableDefinition::new("fingerprints");

/// Reading a table that nobody has made is an error.
pub fn make_tables(database: &Database) -> Result<(), EmbeddedError> {
    let make = || -> Result<(), redb::Error> {
        let writing = database.begin_write()?;
        for table in [KEYS, TENANTS, FINGERPRINTS] {
            writing.open_table(table)?;
        }
        writing.open_table(tallies::TALLIES)?;
        writing.open_table(usage::PAGES)?;
        for table in [usage::HOURS, usage::DAYS] {
            writing.open_table(table)?;
        }
        writing.open_table(usage::SEGMENTS)?;
        writing.open_table(claims::ANSWERS)?;
        writing.open_table(claims::ENDS)?;
        shelf::make_tables(&writing)?;
        files::make_tables(&writing)?;
        batches::make_tables(&writing)?;
        writing.commit()?;
        Ok(())
    };
    make().map_err(EmbeddedError::Database)
}

impl Embedded {
    pub fn lookup(&self, fingerprint: &Fingerprint) -> Result<Option<Found>, Away> {
        let find = || -> Result<Option<Found>, redb::Error> {
            let reading = self.0.database.begin_read()?;
            let Some(id) = reading.open_table(FINGERPRINTS)?.get(fingerprint.0.as_str())? else { return Ok(None) };
            let Some(key) = reading.open_table(KEYS)?.get(id.value())? else { return Ok(None) };
            let key = key.value().to_owned();
            let tenant = match tenant_of(&key) {
                Some(tenant) => reading.open_table(TENANTS)?.get(tenant.as_str())?.map(|text| text.value().to_owned()),
                None => None,
            };
            Ok(Some(Found { key, tenant }))
        };
        find().map_err(|error| refused(&error))
    }

    pub fn get(&self, collection: Collection, id: &str) -> Result<Option<String>, Away> {
        let get = || -> Result<Option<String>, redb::Error> {
            let reading = self.0.database.begin_read()?;
            Ok(reading.open_table(table(collection))?.get(id)?.map(|text| text.value().to_owned()))
        };
        get().map_err(|error| refused(&error))
    }

    pub fn list(&self, collection: Collection, after: &str, most: usize) -> Result<Vec<String>, Away> {
        let list = || -> Result<Vec<String>, redb::Error> {
            let reading = self.0.database.begin_read()?;
            let documents = reading.open_table(table(collection))?;
            let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
            let texts = documents.range::<&str>(from)?.take(most);
            texts.map(|entry| Ok(entry?.1.value().to_owned())).collect()
        };
        list().map_err(|error| refused(&error))
    }

    pub async fn put(&self, put: &Put<'_>) -> Result<bool, Away> {
        let (collection, id) = (put.collection, put.id.to_owned());
        let [old, new] = [put.old, put.new].map(|text| text.map(str::to_owned));
        let (forget, index) = (put.forget.to_vec(), put.index.to_vec());
        let change = Change::Document(collection, id.clone());
        let write = move |database: &Database| -> Result<bool, redb::Error> {
            let writing = database.begin_write()?;
            {
                let mut documents = writing.open_table(table(collection))?;
                let mut fingerprints = writing.open_table(FINGERPRINTS)?;
                let is_unchanged = documents.get(id.as_str())?.map(|text| text.value().to_owned()) == old;
                let mut is_free = true;
                for fingerprint in &index {
                    let owner = fingerprints.get(fingerprint.0.as_str())?;
                    is_free &= owner.is_none_or(|owner| owner.value() == id);
                }
                if !is_unchanged || !is_free {
                    return Ok(false);
                }
                for fingerprint in &forget {
                    fingerprints.remove(fingerprint.0.as_str())?;
                }
                for fingerprint in &index {
                    fingerprints.insert(fingerprint.0.as_str(), id.as_str())?;
                }
                match new {
                    Some(new) => documents.insert(id.as_str(), new.as_str())?,
                    None => documents.remove(id.as_str())?,
                };
            }
            writing.commit()?;
            Ok(true)
        };
        let done = self.blocking(write).await?;
        if done {
            // Nobody may watch.
            let _ = self.0.changes.send(change);
        }
        Ok(done)
    }
}

fn table(collection: Collection) -> TableDefinition<'static, &'static str, &'static str> {
    match collection {
        Collection::Keys => KEYS,
        Collection::Tenants => TENANTS,
    }
}

/// The tenant that a key's document names.
fn tenant_of(key: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        tenant: String,
    }
    serde_json::from_str::<Named>(key).ok().map(|named| named.tenant)
}

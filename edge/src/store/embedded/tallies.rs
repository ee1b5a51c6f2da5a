//! The ledger's numbers in the embedded database. A restart ends all requests, so nothing is held for any.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::EmbeddedError;
use crate::access::limits::{Ledger, Tally};

/// By tenant and scope.
pub const TALLIES: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("tallies");

/// The ledger as it was written down.
pub fn read(database: &Database) -> Result<Ledger, EmbeddedError> {
    let read = || -> Result<Ledger, redb::Error> {
        let mut ledger = Ledger::default();
        for entry in database.begin_read()?.open_table(TALLIES)?.iter()? {
            let (names, text) = entry?;
            let (tenant, scope) = names.value();
            // What an older version wrote otherwise begins anew.
            if let Ok(tally) = serde_json::from_str(text.value()) {
                ledger.restore(tenant, scope, tally);
            }
        }
        Ok(ledger)
    };
    read().map_err(EmbeddedError::Database)
}

/// Writes down those that have changed, and forgets those that are gone.
pub fn write(database: &Database, tallies: &[(String, String, Tally)]) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(TALLIES)?;
        let mut kept = std::collections::HashSet::new();
        for (tenant, scope, tally) in tallies {
            let text = serde_json::to_string(tally).expect("numbers are JSON");
            let names = (tenant.as_str(), scope.as_str());
            let is_written = table.get(names)?.is_some_and(|written| written.value() == text);
            if !is_written {
                table.insert(names, text.as_str())?;
            }
            kept.insert(names);
        }
        table.retain(|names, _| kept.contains(&names))?;
    }
    writing.commit()?;
    Ok(())
}

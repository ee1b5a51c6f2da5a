//! Conversations in the database: of each what is known of it, and its items as lines.

use redb::{Database, ReadableDatabase};

use super::{Embedded, now_ms, shelf::CONVERSATIONS};
use crate::{
    conversations::{
        config::ConversationsConfig,
        kept::{Change, Changed, Kept},
    },
    idempotency::Place,
    store::Away,
};

impl Embedded {
    pub async fn change_conversation(
        &self,
        place: &Place,
        change: Change,
        config: &ConversationsConfig,
    ) -> Result<Changed, Away> {
        let (Place { tenant, slot: id }, most) = (place.clone(), config.conversations);
        let until = now_ms().saturating_add(u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX));
        self.blocking(move |database| {
            let writing = database.begin_write()?;
            let changed = {
                let mut tables = CONVERSATIONS.open(&writing)?;
                tables.forget_ended()?;
                let before = tables.get(&tenant, &id)?.map(|(record, items)| Kept { record, items: lines(&items) });
                match change.apply(before) {
                    Ok(kept) => {
                        tables.put(&tenant, &id, &kept.record, &kept.items.join(&b'\n'))?;
                        tables.keep(&tenant, &id, until)?;
                        tables.forget_beyond(&tenant, most)?;
                        Changed::Done
                    }
                    Err(refused) => refused,
                }
            };
            writing.commit()?;
            Ok(changed)
        })
        .await
    }

    pub async fn conversation(&self, place: &Place) -> Result<Option<Kept>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let found = CONVERSATIONS.read(&database.begin_read()?, &tenant, &id, 0)?;
            Ok(found.map(|(record, items)| Kept { record, items: lines(&items) }))
        })
        .await
    }

    pub async fn remove_conversation(&self, place: &Place) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let writing = database.begin_write()?;
            let until = CONVERSATIONS.open(&writing)?.remove(&tenant, &id)?;
            writing.commit()?;
            Ok(until.is_some_and(|until| until > now_ms()))
        })
        .await
    }
}

/// JSON has no line ends of its own.
fn lines(items: &[u8]) -> Vec<Vec<u8>> {
    items.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

//! Responses in the database. Those in progress are known to this process, which is the only one: here they are when they
//! begin and when they end.

use redb::{Database, ReadableDatabase};

use super::{Embedded, now_ms, shelf::RESPONSES};
use crate::{
    idempotency::Place,
    responses::{
        config::ResponsesConfig,
        kept::{Found, Kept, Stage},
    },
    store::Away,
};

impl Embedded {
    pub async fn keep_response(&self, place: &Place, kept: &Kept<'_>, config: &ResponsesConfig) -> Result<bool, Away> {
        let (Place { tenant, slot: id }, stage, most) = (place.clone(), kept.stage, config.responses);
        let (record, log, ancestors) = (kept.record.to_vec(), kept.log.to_vec(), kept.ancestors.to_vec());
        let until = now_ms().saturating_add(u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX));
        self.blocking(move |database| {
            let writing = database.begin_write()?;
            {
                let mut tables = RESPONSES.open(&writing)?;
                if stage == Stage::Ended && !tables.is_kept(&tenant, &id)? {
                    return Ok(false);
                }
                tables.forget_ended()?;
                tables.put(&tenant, &id, &record, &log)?;
                tables.keep(&tenant, &id, until)?;
                for ancestor in &ancestors {
                    if tables.is_kept(&tenant, ancestor)? {
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
            let found = RESPONSES.read(&database.begin_read()?, &tenant, &id, from)?;
            Ok(found.map(|(record, log)| Found { record, log, is_running: false }))
        })
        .await
    }

    pub async fn remove_response(&self, place: &Place) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let writing = database.begin_write()?;
            let until = RESPONSES.open(&writing)?.remove(&tenant, &id)?;
            writing.commit()?;
            Ok(until.is_some_and(|until| until > now_ms()))
        })
        .await
    }
}

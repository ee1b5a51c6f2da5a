//! Responses in the database. Those in progress are known to this process, which is the only one: here they are when they
//! begin and when they end.

use std::ops::Bound;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::Embedded;
use crate::{
    idempotency::Place,
    responses::{
        config::ResponsesConfig,
        kept::{Found, Kept, Stage},
    },
    store::{Away, now},
};

/// Tenant and id.
type Name = (&'static str, &'static str);

/// Until when, what is known of it, and what has happened.
type Value = (u64, &'static [u8], &'static [u8]);

pub const RESPONSES: TableDefinition<'_, Name, Value> = TableDefinition::new("responses");

/// Their names by their ends.
pub const ENDS: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("responses_ends");

impl Embedded {
    pub async fn keep_response(&self, place: &Place, kept: &Kept<'_>, config: &ResponsesConfig) -> Result<bool, Away> {
        let (place, stage, most) = (place.clone(), kept.stage, config.responses);
        let (record, log, ancestors) = (kept.record.to_vec(), kept.log.to_vec(), kept.ancestors.to_vec());
        let until = now_ms().saturating_add(u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX));
        self.blocking(move |database| {
            let writing = database.begin_write()?;
            {
                let (mut responses, mut ends) = (writing.open_table(RESPONSES)?, writing.open_table(ENDS)?);
                let (tenant, id) = (place.tenant.as_str(), place.slot.as_str());
                if stage == Stage::Ended && responses.get((tenant, id))?.is_none() {
                    return Ok(false);
                }
                forget_ended(&mut responses, &mut ends)?;
                let before = responses.insert((tenant, id), (until, &*record, &*log))?.map(|before| before.value().0);
                if let Some(before) = before {
                    ends.remove((before, tenant, id))?;
                }
                ends.insert((until, tenant, id), ())?;
                for ancestor in &ancestors {
                    let ancestor = ancestor.as_str();
                    let found = responses.get((tenant, ancestor))?.map(|found| {
                        let (before, record, log) = found.value();
                        (before, record.to_vec(), log.to_vec())
                    });
                    let Some((before, record, log)) = found else { continue };
                    responses.insert((tenant, ancestor), (until, &*record, &*log))?;
                    ends.remove((before, tenant, ancestor))?;
                    ends.insert((until, tenant, ancestor), ())?;
                }
                for (until, id) in oldest_beyond(&responses, tenant, most)? {
                    responses.remove((tenant, id.as_str()))?;
                    ends.remove((until, tenant, id.as_str()))?;
                }
            }
            writing.commit()?;
            Ok(true)
        })
        .await
    }

    pub async fn response(&self, place: &Place, from: usize) -> Result<Option<Found>, Away> {
        let place = place.clone();
        self.blocking(move |database: &Database| {
            let table = database.begin_read()?.open_table(RESPONSES)?;
            let Some(found) = table.get((place.tenant.as_str(), place.slot.as_str()))? else { return Ok(None) };
            let (until, record, log) = found.value();
            let log = log.get(from..).unwrap_or_default().to_vec();
            Ok((until > now_ms()).then(|| Found { record: record.to_vec(), log, is_running: false }))
        })
        .await
    }

    pub async fn remove_response(&self, place: &Place) -> Result<bool, Away> {
        let place = place.clone();
        self.blocking(move |database: &Database| {
            let writing = database.begin_write()?;
            let name = (place.tenant.as_str(), place.slot.as_str());
            let until = writing.open_table(RESPONSES)?.remove(name)?.map(|found| found.value().0);
            if let Some(until) = until {
                writing.open_table(ENDS)?.remove((until, name.0, name.1))?;
            }
            writing.commit()?;
            Ok(until.is_some_and(|until| until > now_ms()))
        })
        .await
    }
}

type Responses<'t> = redb::Table<'t, Name, Value>;

/// What has ended, whoever's it is.
fn forget_ended(
    responses: &mut Responses<'_>,
    ends: &mut redb::Table<'_, (u64, &'static str, &'static str), ()>,
) -> Result<(), redb::Error> {
    loop {
        let first = ends.first()?.map(|(name, _)| {
            let (until, tenant, id) = name.value();
            (until, tenant.to_owned(), id.to_owned())
        });
        let Some((until, tenant, id)) = first.filter(|(until, ..)| *until <= now_ms()) else { return Ok(()) };
        responses.remove((tenant.as_str(), id.as_str()))?;
        ends.remove((until, tenant.as_str(), id.as_str()))?;
    }
}

/// Of a tenant's responses, those beyond so many.
fn oldest_beyond(responses: &Responses<'_>, tenant: &str, most: usize) -> Result<Vec<(u64, String)>, redb::Error> {
    let mut all = Vec::new();
    for entry in responses.range::<(&str, &str)>((Bound::Included((tenant, "")), Bound::Unbounded))? {
        let (name, value) = entry?;
        let (of, id) = name.value();
        if of != tenant {
            break;
        }
        all.push((value.value().0, id.to_owned()));
    }
    if all.len() <= most {
        return Ok(Vec::new());
    }
    all.sort_unstable();
    all.truncate(all.len() - most);
    Ok(all)
}

fn now_ms() -> u64 {
    u64::try_from(now().ms).unwrap_or_default()
}

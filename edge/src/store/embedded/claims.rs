//! Requests with an idempotency key: claims in memory, which end with this process as the requests do, and answers in the
//! database.

use std::{
    ops::Bound,
    time::{Duration, Instant},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Embedded, now_ms, refused};
use crate::{
    idempotency::{Place, config::IdempotencyConfig},
    store::{Away, Claimed},
};

/// Until when, of which request, and itself, by tenant and slot.
pub const ANSWERS: TableDefinition<'_, (&str, &str), (u64, &str, &[u8])> = TableDefinition::new("answers");

/// The same by their ends.
pub const ENDS: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("answers_ends");

/// A request that runs.
#[derive(Debug)]
pub struct Held {
    owner: String,
    fingerprint: String,
    until: Instant,
}

impl Embedded {
    pub fn claim(&self, place: &Place, fingerprint: &str, owner: &str, lease: Duration) -> Result<Claimed, Away> {
        // Held while the database is read: an answer takes the place of its claim in one step.
        let mut claims = self.0.claims.lock();
        let of_same = |other: &str| other == fingerprint;
        let name = (place.tenant.clone(), place.slot.clone());
        if let Some(held) = claims.get(&name).filter(|held| held.until > Instant::now()) {
            return Ok(if of_same(&held.fingerprint) { Claimed::Running } else { Claimed::Other });
        }
        let find = || -> Result<Option<(bool, Vec<u8>)>, redb::Error> {
            let table = self.0.database.begin_read()?.open_table(ANSWERS)?;
            let Some(found) = table.get((place.tenant.as_str(), place.slot.as_str()))? else { return Ok(None) };
            let (until, other, answer) = found.value();
            Ok((until > now_ms()).then(|| (of_same(other), answer.to_vec())))
        };
        Ok(match find().map_err(|error| refused(&error))? {
            Some((true, answer)) => Claimed::Answered(answer),
            Some((false, _)) => Claimed::Other,
            None => {
                let until = Instant::now() + lease;
                claims.insert(name, Held { owner: owner.to_owned(), fingerprint: fingerprint.to_owned(), until });
                Claimed::Begun
            }
        })
    }

    pub fn renew_claim(&self, place: &Place, owner: &str, lease: Duration) -> bool {
        let mut claims = self.0.claims.lock();
        let held = claims.get_mut(&(place.tenant.clone(), place.slot.clone()));
        let Some(held) = held.filter(|held| held.is_of(owner)) else { return false };
        held.until = Instant::now() + lease;
        true
    }

    pub fn release_claim(&self, place: &Place, owner: &str) -> bool {
        let name = (place.tenant.clone(), place.slot.clone());
        let mut claims = self.0.claims.lock();
        let is_own = claims.get(&name).is_some_and(|held| held.is_of(owner));
        is_own && claims.remove(&name).is_some()
    }

    pub async fn keep_answer(
        &self,
        place: &Place,
        owner: &str,
        answer: Vec<u8>,
        config: &IdempotencyConfig,
    ) -> Result<bool, Away> {
        let fingerprint = {
            let claims = self.0.claims.lock();
            let held = claims.get(&(place.tenant.clone(), place.slot.clone())).filter(|held| held.is_of(owner));
            let Some(held) = held else { return Ok(false) };
            held.fingerprint.clone()
        };
        let (Place { tenant, slot }, most) = (place.clone(), config.answers);
        let until = now_ms().saturating_add(u64::try_from(config.age.as_millis()).unwrap_or(u64::MAX));
        let written =
            self.blocking(move |database| write(database, &tenant, &slot, (until, &fingerprint, &answer), most)).await;
        self.release_claim(place, owner);
        written.map(|()| true)
    }
}

impl Held {
    fn is_of(&self, owner: &str) -> bool {
        self.owner == owner && self.until > Instant::now()
    }
}

fn write(
    database: &Database,
    tenant: &str,
    slot: &str,
    answer: (u64, &str, &[u8]),
    most: usize,
) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    {
        let (mut answers, mut ends) = (writing.open_table(ANSWERS)?, writing.open_table(ENDS)?);
        // What has ended, whoever's it is.
        loop {
            let first = ends.first()?.map(|(name, _)| {
                let (until, tenant, slot) = name.value();
                (until, tenant.to_owned(), slot.to_owned())
            });
            let Some((until, tenant, slot)) = first.filter(|(until, ..)| *until <= now_ms()) else { break };
            answers.remove((tenant.as_str(), slot.as_str()))?;
            ends.remove((until, tenant.as_str(), slot.as_str()))?;
        }
        if let Some(before) = answers.insert((tenant, slot), answer)? {
            ends.remove((before.value().0, tenant, slot))?;
        }
        ends.insert((answer.0, tenant, slot), ())?;
        for (until, slot) in oldest_beyond(&answers, tenant, most)? {
            answers.remove((tenant, slot.as_str()))?;
            ends.remove((until, tenant, slot.as_str()))?;
        }
    }
    writing.commit()?;
    Ok(())
}

/// Of a tenant's answers, those beyond so many.
fn oldest_beyond(
    answers: &impl ReadableTable<(&'static str, &'static str), (u64, &'static str, &'static [u8])>,
    tenant: &str,
    most: usize,
) -> Result<Vec<(u64, String)>, redb::Error> {
    let mut all = Vec::new();
    for entry in answers.range::<(&str, &str)>((Bound::Included((tenant, "")), Bound::Unbounded))? {
        let (name, value) = entry?;
        let (of, slot) = name.value();
        if of != tenant {
            break;
        }
        all.push((value.value().0, slot.to_owned()));
    }
    all.sort_unstable();
    all.truncate(all.len().saturating_sub(most));
    Ok(all)
}

//! Batches in the database. Who is at each is known to this process, which is the only one.

use std::time::{Duration, Instant};

use cloudach_openai::batches::{Counts, Outcome, Used};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    Embedded,
    files::{Files, PIECES},
    now_ms,
};
use crate::{
    batches::config::BatchesConfig,
    idempotency::Place,
    store::{
        Away,
        batches::{Created, FoundBatch, LastWords, LineDone, LineKept, NewBatch},
    },
};

/// Tenant and id.
type Name = (&'static str, &'static str);

/// What is known of each.
const RECORDS: TableDefinition<'_, Name, &str> = TableDefinition::new("batches");

/// Until when each is known, whether it is over, and the names of its files.
const STATES: TableDefinition<'_, Name, (u64, bool, &str, &str)> = TableDefinition::new("batches_states");

/// What became of its lines, and what they have used: as [`FoundBatch`] has them.
const NUMBERS: TableDefinition<'_, Name, [u64; 6]> = TableDefinition::new("batches_numbers");

/// Those that are to be looked at.
const QUEUE: TableDefinition<'_, Name, ()> = TableDefinition::new("batches_queue");

/// Who is at a batch, or when somebody is to look at it.
#[derive(Debug)]
pub struct Seat {
    owner: String,
    until: Instant,
}

/// Reading a table that nobody has made is an error.
pub fn make_tables(writing: &WriteTransaction) -> Result<(), redb::Error> {
    writing.open_table(QUEUE)?;
    Batches::open(writing).map(|_| ())
}

impl Embedded {
    pub async fn create_batch(
        &self,
        place: &Place,
        batch: &NewBatch<'_>,
        config: &BatchesConfig,
    ) -> Result<Created, Away> {
        let (Place { tenant, slot: id }, most_open, most) = (place.clone(), config.open, config.batches);
        let [record, output, errors] = [batch.record, batch.output, batch.errors].map(str::to_owned);
        let until = batch.until;
        self.writing(move |writing| {
            let mut batches = Batches::open(writing)?;
            let (open, mut over) = batches.of(&tenant)?;
            if open >= most_open {
                return Ok(Created::TooMany);
            }
            over.truncate((open + over.len() + 1).saturating_sub(most));
            for id in over {
                batches.drop(&tenant, &id)?;
            }
            let name = (tenant.as_str(), id.as_str());
            batches.records.insert(name, record.as_str())?;
            batches.states.insert(name, (until, false, output.as_str(), errors.as_str()))?;
            batches.numbers.insert(name, [0; 6])?;
            Ok(Created::Created)
        })
        .await
    }

    pub async fn batch(&self, place: &Place) -> Result<Option<FoundBatch>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let name = (tenant.as_str(), id.as_str());
            let until = reading.open_table(STATES)?.get(name)?.map_or(0, |state| state.value().0);
            let Some(record) = reading.open_table(RECORDS)?.get(name)?.map(|record| record.value().to_owned()) else {
                return Ok(None);
            };
            let numbers = reading.open_table(NUMBERS)?.get(name)?.map_or([0; 6], |numbers| numbers.value());
            Ok((until > now_ms()).then(|| found(record, numbers)))
        })
        .await
    }

    pub async fn batches(&self, tenant: &str, after: &str, most: usize) -> Result<Vec<FoundBatch>, Away> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let (records, states) = (reading.open_table(RECORDS)?, reading.open_table(STATES)?);
            let numbers = reading.open_table(NUMBERS)?;
            let mut all = Vec::new();
            for entry in records.range((tenant.as_str(), "")..=(tenant.as_str(), "\u{10ffff}"))?.rev() {
                let (name, record) = entry?;
                let name = name.value();
                let is_known = states.get(name)?.is_some_and(|state| state.value().0 > now_ms());
                if is_known && (after.is_empty() || name.1 < after.as_str()) {
                    let numbers = numbers.get(name)?.map_or([0; 6], |numbers| numbers.value());
                    all.push(found(record.value().to_owned(), numbers));
                }
                if all.len() == most {
                    break;
                }
            }
            Ok(all)
        })
        .await
    }

    pub async fn change_batch(
        &self,
        place: &Place,
        old: &str,
        new: &str,
        last: Option<&LastWords>,
    ) -> Result<bool, Away> {
        let Place { tenant, slot: id } = place.clone();
        let (old, new, last) = (old.to_owned(), new.to_owned(), last.cloned());
        self.writing(move |writing| {
            let mut batches = Batches::open(writing)?;
            let name = (tenant.as_str(), id.as_str());
            if batches.records.get(name)?.is_none_or(|record| record.value() != old) {
                return Ok(false);
            }
            batches.records.insert(name, new.as_str())?;
            let Some(last) = last else { return Ok(true) };
            let Some((_, _, output, errors)) = batches.state(&tenant, &id)? else { return Ok(false) };
            batches.states.insert(name, (last.until, true, output.as_str(), errors.as_str()))?;
            let mut files = Files::open(writing)?;
            for (id, record, until) in &last.files {
                if files.is_there(&tenant, id)? {
                    files.keep(&tenant, id, record, *until)?;
                }
            }
            Ok(true)
        })
        .await
    }

    pub async fn keep_line(&self, place: &Place, line: &LineDone, most: u64) -> Result<LineKept, Away> {
        let (Place { tenant, slot: id }, line) = (place.clone(), line.clone());
        self.writing(move |writing| {
            let (mut batches, mut files) = (Batches::open(writing)?, Files::open(writing)?);
            let Some((until, false, output, errors)) = batches.state(&tenant, &id)? else { return Ok(LineKept::Over) };
            if files.has(&tenant, &output, line.number)? || files.has(&tenant, &errors, line.number)? {
                return Ok(LineKept::Had);
            }
            let is_completed = line.outcome == Outcome::Completed;
            if is_completed && files.total(&tenant)?.1 + line.text.len() as u64 > most {
                files.forget_ended()?;
                if files.total(&tenant)?.1 + line.text.len() as u64 > most {
                    return Ok(LineKept::NoRoom);
                }
            }
            let file = if is_completed { &output } else { &errors };
            if !files.is_there(&tenant, file)? {
                files.hold(&tenant, file, until)?;
            }
            files.fill(&tenant, file, line.number, &line.text)?;
            batches.count(&tenant, &id, &line)?;
            Ok(LineKept::Kept)
        })
        .await
    }

    pub async fn lines_done(&self, place: &Place, from: u32, most: u32) -> Result<Vec<u32>, Away> {
        let Place { tenant, slot: id } = place.clone();
        self.blocking(move |database: &Database| {
            let reading = database.begin_read()?;
            let (states, pieces) = (reading.open_table(STATES)?, reading.open_table(PIECES)?);
            let Some(state) = states.get((tenant.as_str(), id.as_str()))? else { return Ok(Vec::new()) };
            let (_, _, output, errors) = state.value();
            let mut done = Vec::new();
            for file in [output, errors] {
                let wanted = (tenant.as_str(), file, from)..(tenant.as_str(), file, from.saturating_add(most));
                for entry in pieces.range(wanted)? {
                    done.push(entry?.0.value().2);
                }
            }
            done.sort_unstable();
            Ok(done)
        })
        .await
    }

    pub async fn queue_batch(&self, place: &Place, delay: Duration) -> Result<(), Away> {
        let name @ Place { tenant, slot: id } = &place.clone();
        let seat = Seat { owner: String::new(), until: Instant::now() + delay };
        self.0.seats.lock().insert(name.clone(), seat);
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writing(move |writing| {
            writing.open_table(QUEUE)?.insert((tenant.as_str(), id.as_str()), ())?;
            Ok(())
        })
        .await
    }

    pub async fn take_batch(
        &self,
        owner: &str,
        passed_over: &[String],
        lease: Duration,
    ) -> Result<Option<Place>, Away> {
        let queued = self.blocking(|database: &Database| {
            let queue = database.begin_read()?.open_table(QUEUE)?;
            let mut queued = Vec::new();
            for entry in queue.iter()? {
                let name = entry?.0;
                let (tenant, id) = name.value();
                queued.push(Place { tenant: tenant.to_owned(), slot: id.to_owned() });
            }
            Ok(queued)
        });
        let queued = queued.await?;
        let (now, mut seats) = (Instant::now(), self.0.seats.lock());
        // What was left by a process before this has no seat, and waits longest.
        let waits = |place: &Place| seats.get(place).map(|seat| seat.until);
        let due = queued.into_iter().filter(|place| !passed_over.contains(&place.tenant));
        let due = due.map(|place| (waits(&place), place)).filter(|(until, _)| until.is_none_or(|until| until <= now));
        let Some((_, place)) = due.min_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.slot.cmp(&b.slot)))
        else {
            return Ok(None);
        };
        seats.insert(place.clone(), Seat { owner: owner.to_owned(), until: now + lease });
        Ok(Some(place))
    }

    pub fn hold_batch(&self, place: &Place, owner: &str, lease: Duration) -> bool {
        let mut seats = self.0.seats.lock();
        let Some(seat) = seats.get_mut(place).filter(|seat| seat.owner == owner) else { return false };
        seat.until = Instant::now() + lease;
        true
    }

    pub fn leave_batch(&self, place: &Place, owner: &str) {
        let mut seats = self.0.seats.lock();
        if let Some(seat) = seats.get_mut(place).filter(|seat| seat.owner == owner) {
            *seat = Seat { owner: String::new(), until: Instant::now() };
        }
    }

    pub async fn dequeue_batch(&self, place: &Place) -> Result<(), Away> {
        let Place { tenant, slot: id } = place.clone();
        let removed = self.writing(move |writing| {
            writing.open_table(QUEUE)?.remove((tenant.as_str(), id.as_str()))?;
            Ok(())
        });
        removed.await?;
        self.0.seats.lock().remove(place);
        Ok(())
    }
}

fn found(record: String, [completed, failed, input, cached, output, reasoning]: [u64; 6]) -> FoundBatch {
    FoundBatch { record, counts: Counts { completed, failed }, used: Used { input, cached, output, reasoning } }
}

/// Until when it is known, whether it is over, and the names of its files.
type State = (u64, bool, String, String);

/// All tables, in step.
struct Batches<'w> {
    records: Table<'w, Name, &'static str>,
    states: Table<'w, Name, (u64, bool, &'static str, &'static str)>,
    numbers: Table<'w, Name, [u64; 6]>,
}

impl<'w> Batches<'w> {
    fn open(writing: &'w WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: writing.open_table(RECORDS)?,
            states: writing.open_table(STATES)?,
            numbers: writing.open_table(NUMBERS)?,
        })
    }

    fn state(&self, tenant: &str, id: &str) -> Result<Option<State>, redb::Error> {
        Ok(self.states.get((tenant, id))?.map(|state| {
            let (until, is_over, output, errors) = state.value();
            (until, is_over, output.to_owned(), errors.to_owned())
        }))
    }

    /// How many of a tenant are open, and the others, the oldest first. Those whose time is over are forgotten.
    fn of(&mut self, tenant: &str) -> Result<(usize, Vec<String>), redb::Error> {
        let (mut open, mut over, mut forgotten) = (0, Vec::new(), Vec::new());
        for entry in self.states.range((tenant, "")..=(tenant, "\u{10ffff}"))? {
            let (name, state) = entry?;
            let id = name.value().1.to_owned();
            match state.value() {
                (until, ..) if until <= now_ms() => forgotten.push(id),
                (_, true, ..) => over.push(id),
                (_, false, ..) => open += 1,
            }
        }
        for id in forgotten {
            self.drop(tenant, &id)?;
        }
        Ok((open, over))
    }

    fn drop(&mut self, tenant: &str, id: &str) -> Result<(), redb::Error> {
        self.records.remove((tenant, id))?;
        self.states.remove((tenant, id))?;
        self.numbers.remove((tenant, id))?;
        Ok(())
    }

    fn count(&mut self, tenant: &str, id: &str, line: &LineDone) -> Result<(), redb::Error> {
        let mut numbers = self.numbers.get((tenant, id))?.map_or([0; 6], |numbers| numbers.value());
        let is_completed = line.outcome == Outcome::Completed;
        let Used { input, cached, output, reasoning } = line.used;
        let more = [u64::from(is_completed), u64::from(!is_completed), input, cached, output, reasoning];
        numbers.iter_mut().zip(more).for_each(|(number, more)| *number += more);
        self.numbers.insert((tenant, id), numbers)?;
        Ok(())
    }
}

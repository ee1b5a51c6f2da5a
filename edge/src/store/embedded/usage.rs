//! Usage in the embedded database: pages of records as they came, sums by hour and day, and up to where the segments of the
//! spool are in them. All of a batch or nothing of it.
//!
//! What came together is one page: a record by itself has the database put a leaf of its tree together anew.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::{Embedded, now_ms};
use crate::{
    store::Away,
    usage::{
        batch::Batch,
        config::UsageConfig,
        keeper::Given,
        sums::{Cell, Period, Sums},
    },
};

/// By the number of its first record: when the last of a page ended, how many it has, and their lines.
pub const PAGES: TableDefinition<'_, u64, (u64, u64, &str)> = TableDefinition::new("usage_pages");
pub const HOURS: TableDefinition<'_, (u64, &str), &str> = TableDefinition::new("usage_hours");
pub const DAYS: TableDefinition<'_, (u64, &str), &str> = TableDefinition::new("usage_days");
pub const SEGMENTS: TableDefinition<'_, &str, u64> = TableDefinition::new("usage_segments");

/// Segments that are remembered: those of years of restarts.
const MOST_SEGMENTS: u64 = 10_000;

impl Embedded {
    pub async fn append_usage(&self, batch: &Arc<Batch>, config: &UsageConfig) -> Result<Given, Away> {
        let (batch, config) = (batch.clone(), config.clone());
        self.blocking(move |database| append(database, &batch, &config)).await
    }

    pub async fn sums(&self, period: Period) -> Result<Vec<(Cell, Sums)>, Away> {
        let (table, number) = table(period);
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(table)?;
            let mut sums = Vec::new();
            for entry in table.range((number, "")..(number + 1, ""))? {
                let (key, text) = entry?;
                sums.extend(Cell::of_text(key.value().1).zip(Sums::of_text(text.value())));
            }
            Ok(sums)
        })
        .await
    }

    /// A record's name is its number.
    pub async fn usage_records(&self, after: &str, most: usize) -> Result<Vec<(String, String)>, Away> {
        let from = after.parse().map_or(0, |number: u64| number.saturating_add(1));
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(PAGES)?;
            // The page that it is in begins before it.
            let first = table.range(..=from)?.next_back().transpose()?.map_or(0, |(first, _)| first.value());
            let mut records = Vec::new();
            for page in table.range(first..)? {
                let (first, page) = page?;
                let lines = (first.value()..).zip(page.value().2.lines()).filter(|(number, _)| *number >= from);
                let left = most - records.len();
                records.extend(lines.take(left).map(|(number, line)| (number.to_string(), line.to_owned())));
                if records.len() == most {
                    break;
                }
            }
            Ok(records)
        })
        .await
    }
}

fn append(database: &Database, batch: &Batch, config: &UsageConfig) -> Result<Given, redb::Error> {
    let writing = database.begin_write()?;
    let has = writing.open_table(SEGMENTS)?.get(batch.segment.as_str())?.map(|to| to.value());
    let given = |to, records, unreadable| Given { segment: batch.segment.clone(), to, records, unreadable };
    if let Some(has) = has.filter(|has| *has > batch.from) {
        return Ok(given(has, 0, 0));
    }
    {
        let mut segments = writing.open_table(SEGMENTS)?;
        segments.insert(batch.segment.as_str(), batch.to)?;
        while segments.len()? > MOST_SEGMENTS {
            segments.pop_first()?;
        }
    }
    add_records(&writing, batch, config)?;
    add_sums(&writing, batch)?;
    forget_sums(&writing, config)?;
    writing.commit()?;
    Ok(given(batch.to, batch.count, batch.unreadable))
}

fn add_records(writing: &WriteTransaction, batch: &Batch, config: &UsageConfig) -> Result<(), redb::Error> {
    let mut pages = writing.open_table(PAGES)?;
    // Where there is none, beyond all that there ever was: who reads on from a number misses nothing.
    let mut end = pages.last()?.map_or(now_ms() * 1000, |(first, page)| first.value() + page.value().1);
    if batch.count > 0 {
        // Of more than may be kept at all, the last.
        let too_many = batch.count.saturating_sub(config.records);
        let lines = usize::try_from(too_many).ok().filter(|many| *many > 0).map_or(&*batch.lines, |many| {
            batch.lines.match_indices('\n').nth(many - 1).map_or("", |(at, _)| &batch.lines[at + 1..])
        });
        let count = batch.count - too_many;
        pages.insert(end, (batch.latest, count, lines))?;
        end += count;
    }
    let oldest = now_ms().saturating_sub(milliseconds(config.record_age));
    let goes = |first: u64, latest: u64| end - first > config.records || latest < oldest;
    while pages.first()?.is_some_and(|(first, page)| goes(first.value(), page.value().0)) {
        pages.pop_first()?;
    }
    Ok(())
}

fn add_sums(writing: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    for (period, cells) in &batch.sums {
        let (table, number) = table(*period);
        let mut table = writing.open_table(table)?;
        for (cell, sums) in cells {
            let cell = cell.text();
            let key = (number, cell.as_str());
            let mut all = table.get(key)?.and_then(|text| Sums::of_text(text.value())).unwrap_or_default();
            all += *sums;
            table.insert(key, all.text().as_str())?;
        }
    }
    Ok(())
}

fn forget_sums(writing: &WriteTransaction, config: &UsageConfig) -> Result<(), redb::Error> {
    let [hours, days] = [config.hours, config.days].map(|kept| Period::of(now_ms().saturating_sub(milliseconds(kept))));
    for oldest in [hours[0], days[1]] {
        let (table, number) = table(oldest);
        writing.open_table(table)?.retain_in(..(number, ""), |_, _| false)?;
    }
    Ok(())
}

fn table(period: Period) -> (TableDefinition<'static, (u64, &'static str), &'static str>, u64) {
    match period {
        Period::Hour(number) => (HOURS, number),
        Period::Day(number) => (DAYS, number),
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Usage in the embedded database: records by the time they ended, sums by hour and day, and up to where the segments of the
//! spool are in them. All of a batch or nothing of it.

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

pub const RECORDS: TableDefinition<'_, (u64, &str), &str> = TableDefinition::new("usage_records");
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

    pub async fn usage_records(&self, after: &str, most: usize) -> Result<Vec<(String, String)>, Away> {
        let (ended, id) = after.split_once('-').unwrap_or_default();
        let (ended, id) = (ended.parse().unwrap_or_default(), id.to_owned());
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let from = std::ops::Bound::Excluded((ended, id.as_str()));
            let mut records = Vec::new();
            for entry in table.range((from, std::ops::Bound::Unbounded))?.take(most) {
                let (key, text) = entry?;
                let (ended, id) = key.value();
                records.push((format!("{ended}-{id}"), text.value().to_owned()));
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
    Ok(given(batch.to, batch.records.len() as u64, batch.unreadable))
}

fn add_records(writing: &WriteTransaction, batch: &Batch, config: &UsageConfig) -> Result<(), redb::Error> {
    let mut records = writing.open_table(RECORDS)?;
    for record in &batch.records {
        records.insert((record.ended, record.request_id.as_str()), record.text.as_str())?;
    }
    while records.len()? > config.records {
        records.pop_first()?;
    }
    let oldest = now_ms().saturating_sub(milliseconds(config.record_age));
    records.retain_in(..(oldest, ""), |_, _| false)?;
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

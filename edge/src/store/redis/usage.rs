//! Usage in Redis: a stream of records, a hash of sums for each hour and each day, and up to where the segments of the edges'
//! spools are in them. All in one slot, so that a batch is one call.

use std::time::Duration;

use redis::streams::StreamRangeReply;

use super::Redis;
use crate::{
    metrics::Call,
    store::Away,
    usage::{
        batch::Batch,
        config::UsageConfig,
        keeper::Given,
        sums::{Cell, Period, Sums},
    },
};

const RECORDS: &str = "cloudach:{usage}:records";

/// For so long it is remembered what was given of a segment: an edge that was away for longer may give its last batch twice.
const SEGMENTS: Duration = Duration::from_secs(90 * 86_400);

/// Cells that are read in one call.
const CELLS: usize = 1000;

impl Redis {
    pub async fn append_usage(&self, batch: &Batch, config: &UsageConfig) -> Result<Given, Away> {
        let mut invocation = self.scripts.append.prepare_invoke();
        invocation.key(format!("cloudach:{{usage}}:segment:{}", batch.segment)).key(RECORDS);
        invocation.arg(batch.from).arg(batch.to).arg(milliseconds(SEGMENTS));
        invocation.arg(config.records).arg(milliseconds(config.record_age)).arg(batch.count);
        for line in batch.lines.lines() {
            invocation.arg(line);
        }
        for (period, cells) in &batch.sums {
            let kept = match period {
                Period::Hour(_) => config.hours,
                Period::Day(_) => config.days,
            };
            invocation.key(key(*period)).arg(milliseconds(kept)).arg(cells.len());
            for (cell, sums) in cells {
                invocation.arg(cell.text()).arg(sums.text());
            }
        }
        let to: u64 =
            self.link.call(Call::Usage, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        // Where it has more, it has had this batch before.
        let counts = if to == batch.to { (batch.count, batch.unreadable) } else { (0, 0) };
        Ok(Given { segment: batch.segment.clone(), to, records: counts.0, unreadable: counts.1 })
    }

    pub async fn sums(&self, period: Period) -> Result<Vec<(Cell, Sums)>, Away> {
        let mut cursor = 0_u64;
        // A cell may be told twice; then the later one holds.
        let mut all = std::collections::BTreeMap::new();
        loop {
            let read = |mut wire| async move {
                let mut scan = redis::cmd("HSCAN");
                scan.arg(key(period)).arg(cursor).arg("COUNT").arg(CELLS);
                scan.query_async::<(u64, Vec<(String, String)>)>(&mut wire).await
            };
            let (next, cells) = self.link.call(Call::Usage, read).await?;
            let read = |(cell, sums): &(String, String)| Cell::of_text(cell).zip(Sums::of_text(sums));
            all.extend(cells.iter().filter_map(read));
            if next == 0 {
                return Ok(all.into_iter().collect());
            }
            cursor = next;
        }
    }

    pub async fn usage_records(&self, after: &str, most: usize) -> Result<Vec<(String, String)>, Away> {
        let from = if after.is_empty() { "-".to_owned() } else { format!("({after}") };
        let read = |mut wire| async move {
            let mut range = redis::cmd("XRANGE");
            range.arg(RECORDS).arg(from).arg("+").arg("COUNT").arg(most);
            range.query_async::<StreamRangeReply>(&mut wire).await
        };
        let found = self.link.call(Call::Usage, read).await?;
        let record = |id: redis::streams::StreamId| id.get::<String>("record").map(|text| (id.id, text));
        Ok(found.ids.into_iter().filter_map(record).collect())
    }
}

fn key(period: Period) -> String {
    match period {
        Period::Hour(number) => format!("cloudach:{{usage}}:hour:{number}"),
        Period::Day(number) => format!("cloudach:{{usage}}:day:{number}"),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

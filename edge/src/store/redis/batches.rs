//! Batches in Redis: a hash for each in its tenant's slot, beside the tenant's files, and a queue of those that are open in a slot of
//! its own.

use std::time::Duration;

use cloudach_openai::batches::{Counts, Outcome, Used};

use super::{
    Redis,
    files::{INDEX, base},
    tenants_key,
};
use crate::{
    batches::config::BatchesConfig,
    idempotency::Place,
    metrics::Call,
    store::{
        Away,
        batches::{Created, FoundBatch, LastWords, LineDone, LineKept, NewBatch},
    },
};

/// The open batches by when somebody is to look at them, and who is at each.
const QUEUE: &str = "cloudach:{batches}:queue";
const OWNERS: &str = "cloudach:{batches}:owners";

/// A record, and what its lines came to and have used.
type Fields = (Option<String>, u64, u64, u64, u64, u64, u64);

/// What Redis does with batches in one step.
#[derive(Debug)]
pub struct BatchScripts {
    create: redis::Script,
    list: redis::Script,
    change: redis::Script,
    keep_line: redis::Script,
    lines_done: redis::Script,
    take: redis::Script,
    hold: redis::Script,
    queue: redis::Script,
}

impl BatchScripts {
    pub fn new() -> Self {
        let indexed = |text: &str| redis::Script::new(&format!("{INDEX}{text}"));
        Self {
            create: indexed(include_str!("batches/create.lua")),
            list: indexed(include_str!("batches/list.lua")),
            change: indexed(include_str!("batches/change.lua")),
            keep_line: indexed(include_str!("batches/keep_line.lua")),
            lines_done: indexed(include_str!("batches/lines_done.lua")),
            take: redis::Script::new(include_str!("batches/take.lua")),
            hold: redis::Script::new(include_str!("batches/hold.lua")),
            queue: redis::Script::new(include_str!("batches/queue.lua")),
        }
    }
}

impl Redis {
    pub async fn create_batch(
        &self,
        place: &Place,
        batch: &NewBatch<'_>,
        config: &BatchesConfig,
    ) -> Result<Created, Away> {
        let mut invocation = self.scripts.batches.create.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(batch.record).arg(batch.output).arg(batch.errors);
        invocation.arg(batch.until).arg(config.open).arg(config.batches);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(if self.link.call(Call::Batch, call).await? == 1 { Created::Created } else { Created::TooMany })
    }

    pub async fn batch(&self, place: &Place) -> Result<Option<FoundBatch>, Away> {
        let mut command = redis::cmd("HMGET");
        command.arg(tenants_key(&place.tenant, &format!("batch:{}", place.slot)));
        command.arg(&["record", "completed", "failed", "input", "cached", "output_tokens", "reasoning"]);
        type Found = (Option<String>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<u64>);
        let call = |mut wire| async move { command.query_async::<Found>(&mut wire).await };
        let (record, completed, failed, input, cached, output, reasoning) = self.link.call(Call::Batch, call).await?;
        let number = Option::unwrap_or_default;
        let numbers =
            (number(completed), number(failed), number(input), number(cached), number(output), number(reasoning));
        Ok(found((record, numbers.0, numbers.1, numbers.2, numbers.3, numbers.4, numbers.5)))
    }

    pub async fn batches(&self, tenant: &str, after: &str, most: usize) -> Result<Vec<FoundBatch>, Away> {
        let mut invocation = self.scripts.batches.list.prepare_invoke();
        invocation.key(base(tenant)).arg(after).arg(most);
        let call = |mut wire| async move { invocation.invoke_async::<Vec<Fields>>(&mut wire).await };
        Ok(self.link.call(Call::Batch, call).await?.into_iter().filter_map(found).collect())
    }

    pub async fn change_batch(
        &self,
        place: &Place,
        old: &str,
        new: &str,
        last: Option<&LastWords>,
    ) -> Result<bool, Away> {
        let mut invocation = self.scripts.batches.change.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(old).arg(new);
        if let Some(last) = last {
            invocation.arg(last.until);
            for (id, record, until) in &last.files {
                invocation.arg(id).arg(record).arg(*until);
            }
        }
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::Batch, call).await? == 1)
    }

    pub async fn keep_line(&self, place: &Place, line: &LineDone, most: u64) -> Result<LineKept, Away> {
        let mut invocation = self.scripts.batches.keep_line.prepare_invoke();
        let outcome = match line.outcome {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
        };
        invocation
            .key(base(&place.tenant))
            .arg(&place.slot)
            .arg(line.number)
            .arg(outcome)
            .arg(&line.text[..])
            .arg(most);
        let Used { input, cached, output, reasoning } = line.used;
        invocation.arg(input).arg(cached).arg(output).arg(reasoning);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(match self.link.call(Call::Batch, call).await? {
            0 => LineKept::Over,
            1 => LineKept::Kept,
            2 => LineKept::Had,
            _ => LineKept::NoRoom,
        })
    }

    pub async fn lines_done(&self, place: &Place, from: u32, most: u32) -> Result<Vec<u32>, Away> {
        let mut invocation = self.scripts.batches.lines_done.prepare_invoke();
        invocation.key(base(&place.tenant)).arg(&place.slot).arg(from).arg(most);
        self.link.call(Call::Batch, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await
    }

    pub async fn queue_batch(&self, place: &Place, delay: Duration) -> Result<(), Away> {
        let mut invocation = self.scripts.batches.queue.prepare_invoke();
        invocation.key(QUEUE).arg(name(place)).arg(milliseconds(delay));
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        self.link.call(Call::Batch, call).await?;
        Ok(())
    }

    pub async fn recall_batch(&self, place: &Place) -> Result<(), Away> {
        let mut command = redis::cmd("ZADD");
        command.arg(QUEUE).arg("NX").arg(0).arg(name(place));
        self.link.call(Call::Batch, |mut wire| async move { command.query_async::<u8>(&mut wire).await }).await?;
        Ok(())
    }

    pub async fn take_batch(
        &self,
        owner: &str,
        passed_over: &[String],
        lease: Duration,
    ) -> Result<Option<Place>, Away> {
        let mut invocation = self.scripts.batches.take.prepare_invoke();
        invocation.key(QUEUE).key(OWNERS).arg(owner).arg(milliseconds(lease));
        for tenant in passed_over {
            invocation.arg(tenant);
        }
        let call = |mut wire| async move { invocation.invoke_async::<Option<String>>(&mut wire).await };
        let taken = self.link.call(Call::Batch, call).await?;
        Ok(taken.and_then(|name| {
            let (id, tenant) = name.split_once(' ')?;
            Some(Place { tenant: tenant.to_owned(), slot: id.to_owned() })
        }))
    }

    pub async fn hold_batch(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, Away> {
        let mut invocation = self.scripts.batches.hold.prepare_invoke();
        invocation.key(QUEUE).key(OWNERS).arg(name(place)).arg(owner).arg(milliseconds(lease));
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::Batch, call).await? == 1)
    }

    pub async fn leave_batch(&self, place: &Place, owner: &str) -> Result<(), Away> {
        self.hold_batch(place, owner, Duration::ZERO).await?;
        Ok(())
    }

    pub async fn dequeue_batch(&self, place: &Place) -> Result<(), Away> {
        let mut command = redis::pipe();
        command.atomic().zrem(QUEUE, name(place)).ignore().hdel(OWNERS, name(place)).ignore();
        self.link.call(Call::Batch, |mut wire| async move { command.query_async::<()>(&mut wire).await }).await
    }
}

fn found((record, completed, failed, input, cached, output, reasoning): Fields) -> Option<FoundBatch> {
    let (counts, used) = (Counts { completed, failed }, Used { input, cached, output, reasoning });
    record.map(|record| FoundBatch { record, counts, used })
}

/// A batch in the queue: its id, which has no space, and its tenant.
fn name(place: &Place) -> String {
    format!("{} {}", place.slot, place.tenant)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Responses in Redis: a hash with what is known of each and a text with what has happened, both in its tenant's slot.

use std::time::Duration;

use super::{Redis, tenants_key};
use crate::{
    idempotency::Place,
    metrics::Call,
    responses::{
        config::ResponsesConfig,
        kept::{Extended, Found, Kept, Stage},
    },
    store::Away,
};

impl Redis {
    pub async fn keep_response(
        &self,
        place: &Place,
        kept: &Kept<'_>,
        lease: Duration,
        config: &ResponsesConfig,
    ) -> Result<bool, Away> {
        let mut invocation = self.scripts.keep_response.prepare_invoke();
        invocation.key(record_key(place)).key(log_key(place)).key(tenants_key(&place.tenant, "responses"));
        let stage = match kept.stage {
            Stage::Begun => "begun",
            Stage::Ended => "ended",
            Stage::Whole => "whole",
        };
        invocation.arg(kept.record).arg(kept.log).arg(stage).arg(milliseconds(lease));
        invocation.arg(milliseconds(config.keep)).arg(config.responses);
        for ancestor in kept.ancestors {
            invocation.arg(record_key(&Place { tenant: place.tenant.clone(), slot: ancestor.clone() }));
        }
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::Response, call).await? == 1)
    }

    pub async fn extend_response(
        &self,
        place: &Place,
        from: usize,
        more: &[u8],
        lease: Duration,
    ) -> Result<Extended, Away> {
        let mut invocation = self.scripts.extend_response.prepare_invoke();
        invocation.key(record_key(place)).key(log_key(place)).arg(from).arg(more).arg(milliseconds(lease));
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(match self.link.call(Call::Response, call).await? {
            0 => Extended::Gone,
            1 => Extended::Kept,
            _ => Extended::Cancelled,
        })
    }

    pub async fn response(&self, place: &Place, from: usize) -> Result<Option<Found>, Away> {
        let mut invocation = self.scripts.response.prepare_invoke();
        invocation.key(record_key(place)).key(log_key(place)).arg(from);
        let call = |mut wire| async move { invocation.invoke_async::<(u8, Vec<u8>, Vec<u8>)>(&mut wire).await };
        let (found, record, log) = self.link.call(Call::Response, call).await?;
        Ok((found > 0).then_some(Found { record, log, is_running: found == 2 }))
    }

    pub async fn remove_response(&self, place: &Place) -> Result<bool, Away> {
        let mut command = redis::pipe();
        command.atomic().del(record_key(place)).del(log_key(place)).ignore();
        command.zrem(tenants_key(&place.tenant, "responses"), record_key(place)).ignore();
        let call = |mut wire| async move { command.query_async::<(u8,)>(&mut wire).await };
        Ok(self.link.call(Call::Response, call).await?.0 == 1)
    }

    pub async fn cancel_response(&self, place: &Place) -> Result<(), Away> {
        let mut invocation = self.scripts.cancel_response.prepare_invoke();
        invocation.key(record_key(place));
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        self.link.call(Call::Response, call).await?;
        Ok(())
    }
}

fn record_key(place: &Place) -> String {
    tenants_key(&place.tenant, &format!("response:{}", place.slot))
}

/// As the scripts write it.
fn log_key(place: &Place) -> String {
    format!("{}:log", record_key(place))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

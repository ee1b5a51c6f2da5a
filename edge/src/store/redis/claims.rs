//! Requests with an idempotency key in Redis: a hash for each, in its tenant's slot, which ends with its lease or its age.

use std::time::Duration;

use super::{Redis, tenants_key};
use crate::{
    idempotency::{Place, config::IdempotencyConfig},
    metrics::Call,
    store::{Away, Claimed},
};

impl Redis {
    pub async fn claim(&self, place: &Place, fingerprint: &str, owner: &str, lease: Duration) -> Result<Claimed, Away> {
        let mut invocation = self.scripts.claim.prepare_invoke();
        invocation.key(key(place)).arg(fingerprint).arg(owner).arg(milliseconds(lease));
        let call = |mut wire| async move { invocation.invoke_async::<(u8, Vec<u8>)>(&mut wire).await };
        let (found, answer) = self.link.call(Call::Idempotency, call).await?;
        Ok(match found {
            0 => Claimed::Begun,
            1 => Claimed::Running,
            2 => Claimed::Other,
            _ => Claimed::Answered(answer),
        })
    }

    pub async fn renew_claim(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, Away> {
        let mut invocation = self.scripts.renew_claim.prepare_invoke();
        invocation.key(key(place)).arg(owner).arg(milliseconds(lease));
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::Idempotency, call).await? == 1)
    }

    pub async fn keep_answer(
        &self,
        place: &Place,
        owner: &str,
        answer: &[u8],
        config: &IdempotencyConfig,
    ) -> Result<bool, Away> {
        let mut invocation = self.scripts.keep_answer.prepare_invoke();
        invocation.key(key(place)).key(tenants_key(&place.tenant, "answers"));
        invocation.arg(owner).arg(answer).arg(milliseconds(config.age)).arg(config.answers);
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(self.link.call(Call::Idempotency, call).await? == 1)
    }
}

fn key(place: &Place) -> String {
    tenants_key(&place.tenant, &format!("once:{}", place.slot))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

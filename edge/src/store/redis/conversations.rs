//! Conversations in Redis: a hash with what is known of each and a list of its items, both in its tenant's slot.

use std::time::Duration;

use super::{Redis, tenants_key};
use crate::{
    conversations::{
        config::ConversationsConfig,
        kept::{Change, Changed, Kept},
    },
    idempotency::Place,
    metrics::Call,
    store::Away,
};

impl Redis {
    pub async fn change_conversation(
        &self,
        place: &Place,
        change: &Change,
        config: &ConversationsConfig,
    ) -> Result<Changed, Away> {
        let mut invocation = self.scripts.change_conversation.prepare_invoke();
        invocation.key(record_key(place)).key(items_key(place)).key(tenants_key(&place.tenant, "conversations"));
        invocation.arg(u8::from(change.makes)).arg(change.record.as_deref().unwrap_or_default());
        invocation.arg(change.remove.as_deref().unwrap_or_default());
        invocation.arg(milliseconds(config.keep)).arg(config.conversations);
        invocation.arg(change.most_items).arg(change.most_bytes);
        for item in &change.add {
            invocation.arg(&**item);
        }
        let call = |mut wire| async move { invocation.invoke_async::<u8>(&mut wire).await };
        Ok(match self.link.call(Call::Conversation, call).await? {
            0 => Changed::Gone,
            1 => Changed::Done,
            _ => Changed::Full,
        })
    }

    pub async fn conversation(&self, place: &Place) -> Result<Option<Kept>, Away> {
        let mut command = redis::pipe();
        command.atomic().hget(record_key(place), "record").lrange(items_key(place), 0, -1);
        let call = |mut wire| async move { command.query_async::<(Option<Vec<u8>>, Vec<Vec<u8>>)>(&mut wire).await };
        let (record, items) = self.link.call(Call::Conversation, call).await?;
        Ok(record.map(|record| Kept { record, items }))
    }

    pub async fn remove_conversation(&self, place: &Place) -> Result<bool, Away> {
        let mut command = redis::pipe();
        command.atomic().del(record_key(place)).del(items_key(place)).ignore();
        command.zrem(tenants_key(&place.tenant, "conversations"), record_key(place)).ignore();
        let call = |mut wire| async move { command.query_async::<(u8,)>(&mut wire).await };
        Ok(self.link.call(Call::Conversation, call).await?.0 == 1)
    }
}

fn record_key(place: &Place) -> String {
    tenants_key(&place.tenant, &format!("conversation:{}", place.slot))
}

/// As the script writes it.
fn items_key(place: &Place) -> String {
    format!("{}:items", record_key(place))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

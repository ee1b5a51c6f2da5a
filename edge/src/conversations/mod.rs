//! Conversations that clients keep here: made, added to, gone on with by responses, and forgotten after a while.

pub mod config;
pub mod kept;

use std::sync::Arc;

use cloudach_openai::{
    Invalid,
    conversations::Conversation,
    ids,
    responses::{Item, Record, Response, Stage},
};
use tracing::warn;

use crate::{error::ApiError, idempotency::Place, store::Store};
use config::ConversationsConfig;
use kept::{Change, Changed, Kept};

/// How much larger than a client may make it a conversation may become by a response, which began when there was room.
const GROWTH: usize = 2;

/// All of them. Clones share it.
#[derive(Debug, Clone)]
pub struct Conversations(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    config: ConversationsConfig,
}

/// One that was found.
#[derive(Debug)]
pub struct Found {
    pub conversation: Conversation,
    /// The oldest first.
    pub items: Vec<Item>,
}

impl Conversations {
    pub fn new(config: ConversationsConfig, store: Store) -> Self {
        Self(Arc::new(Parts { store, config }))
    }

    /// Makes one.
    ///
    /// # Errors
    /// Its items are too many or too large, none are kept, or the store is away.
    pub async fn make(&self, place: &Place, conversation: &Conversation, items: &[Item]) -> Result<(), ApiError> {
        if !self.0.config.enabled {
            return Err(Invalid::no_conversations().into());
        }
        let change = Change { makes: true, record: Some(text(conversation)?), ..self.adding(items, 1)? };
        self.change(place, change).await
    }

    /// Finds one: one round trip.
    ///
    /// # Errors
    /// There is none of this tenant, or the store is away.
    pub async fn find(&self, place: &Place) -> Result<Found, ApiError> {
        let Kept { record, items } = self.read(place).await?;
        let conversation = serde_json::from_slice(&record).map_err(|_| not_found(&place.slot))?;
        // What another version has kept otherwise is passed over.
        let items = items.iter().filter_map(|item| serde_json::from_slice(item).ok()).collect();
        Ok(Found { conversation, items })
    }

    /// Adds items.
    ///
    /// # Errors
    /// There is no such conversation, it is full, or the store is away.
    pub async fn add(&self, place: &Place, items: &[Item]) -> Result<(), ApiError> {
        let change = self.adding(items, 1)?;
        self.change(place, change).await
    }

    /// Describes it otherwise.
    ///
    /// # Errors
    /// There is no such conversation, or the store is away.
    pub async fn describe(&self, place: &Place, conversation: &Conversation) -> Result<(), ApiError> {
        self.change(place, Change { record: Some(text(conversation)?), ..Change::default() }).await
    }

    /// Takes an item out.
    ///
    /// # Errors
    /// There is no such conversation or item, or the store is away.
    pub async fn remove_item(&self, place: &Place, id: &str) -> Result<Conversation, ApiError> {
        let Kept { record, items } = self.read(place).await?;
        let conversation = serde_json::from_slice(&record).map_err(|_| not_found(&place.slot))?;
        let is_it = |item: &Vec<u8>| serde_json::from_slice::<Item>(item).is_ok_and(|item| item.id() == id);
        let item = items.into_iter().find(is_it).ok_or_else(|| no_such_item(id))?;
        self.change(place, Change { remove: Some(item), ..Change::default() }).await?;
        Ok(conversation)
    }

    /// Removes one with all of its items.
    ///
    /// # Errors
    /// There is none, or the store is away.
    pub async fn remove(&self, place: &Place) -> Result<(), ApiError> {
        match self.0.store.remove_conversation(place).await.map_err(ApiError::Conversations)? {
            true => Ok(()),
            false => Err(not_found(&place.slot)),
        }
    }

    /// The items that a response goes on from, where there is room for what it adds.
    ///
    /// # Errors
    /// There is no such conversation, or it is full, or the store is away.
    pub async fn to_go_on(&self, place: &Place) -> Result<Vec<Item>, ApiError> {
        let items = self.find(place).await?.items;
        let bytes: usize = items.iter().map(Item::bytes).sum();
        if items.len() >= self.0.config.items || bytes >= self.0.config.conversation_bytes {
            return Err(self.full());
        }
        Ok(items)
    }

    /// A response is over: where it is of a conversation, what was put in and out is added there. Where it cannot be, the
    /// response is told all the same.
    pub async fn append(&self, tenant: &str, record: &Record, log: &[u8]) {
        let Some(conversation) = record.conversation() else { return };
        let response = Response::whole(record.clone(), log);
        if !matches!(response.stage(), Stage::Completed | Stage::Incomplete) {
            return;
        }
        let adding = async {
            let change = self.adding(&response.into_items(), GROWTH)?;
            self.change(&place(tenant, conversation)?, change).await
        };
        if let Err(error) = adding.await {
            warn!(id = record.id, conversation, %error, "a response is not added to its conversation");
        }
    }

    async fn read(&self, place: &Place) -> Result<Kept, ApiError> {
        let found = self.0.store.conversation(place).await.map_err(ApiError::Conversations)?;
        found.ok_or_else(|| not_found(&place.slot))
    }

    fn adding(&self, items: &[Item], times: usize) -> Result<Change, ApiError> {
        let config = &self.0.config;
        let add = items.iter().map(text).collect::<Result<_, _>>()?;
        let (most_items, most_bytes) = (config.items * times, config.conversation_bytes * times);
        Ok(Change { add, most_items, most_bytes, ..Change::default() })
    }

    async fn change(&self, place: &Place, change: Change) -> Result<(), ApiError> {
        let changed = self.0.store.change_conversation(place, change, &self.0.config).await;
        match changed.map_err(ApiError::Conversations)? {
            Changed::Done => Ok(()),
            Changed::Gone => Err(not_found(&place.slot)),
            Changed::Full => Err(self.full()),
        }
    }

    fn full(&self) -> ApiError {
        let ConversationsConfig { items, conversation_bytes, .. } = self.0.config;
        Invalid::conversation_full(items, conversation_bytes).into()
    }
}

/// Where a tenant's conversation is. No other tenant's can be named.
///
/// # Errors
/// None has such an id.
pub fn place(tenant: &str, id: &str) -> Result<Place, ApiError> {
    if ids::is_conversation(id) {
        Ok(Place { tenant: tenant.to_owned(), slot: id.to_owned() })
    } else {
        Err(not_found(id))
    }
}

/// A conversation has no item of this id.
pub fn no_such_item(id: &str) -> ApiError {
    ApiError::NoSuchItem(id.chars().take(100).collect())
}

fn not_found(id: &str) -> ApiError {
    ApiError::NoSuchConversation(id.chars().take(100).collect())
}

fn text(value: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|_| ApiError::Internal("a conversation cannot be written"))
}

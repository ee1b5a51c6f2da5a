//! `/v1/conversations`: what clients keep here under a name, and what they are told of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ids;
use crate::invalid::Invalid;
use crate::reader::Fields;
use crate::request;
use crate::responses::{Item, items_to_keep};

/// Items in one request, as at OpenAI.
const MOST_ITEMS: usize = 20;

/// What is known of a conversation beside its items. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// See [`ids::conversation`].
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub metadata: Map<String, Value>,
}

/// A conversation that is to be made, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateRequest {
    pub items: Vec<Item>,
    pub metadata: Map<String, Value>,
}

impl Conversation {
    /// As it is told.
    pub fn body(&self) -> Vec<u8> {
        let Self { id, created, metadata } = self;
        json!({ "id": id, "object": "conversation", "created_at": created, "metadata": metadata })
            .to_string()
            .into_bytes()
    }
}

/// Reads the body of a request to make one. There may be none.
pub fn parse_create(body: &[u8]) -> Result<CreateRequest, Invalid> {
    if body.is_empty() {
        return Ok(CreateRequest::default());
    }
    let mut fields = Fields::of_body(body)?;
    let request = CreateRequest {
        items: fields.read("items", |path, value| items_to_keep(path, value, MOST_ITEMS))?.unwrap_or_default(),
        metadata: fields.read("metadata", request::metadata_pairs)?.unwrap_or_default(),
    };
    fields.no_unknown()?;
    Ok(request)
}

/// Reads the body of a request to describe one otherwise. Without metadata it has none any more.
pub fn parse_update(body: &[u8]) -> Result<Map<String, Value>, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let metadata = match fields.peek("metadata") {
        Some(_) => fields.require("metadata", request::metadata_pairs)?,
        // Only null takes it away.
        None => fields.require("metadata", |_, _| Ok(Map::new()))?,
    };
    fields.no_unknown()?;
    Ok(metadata)
}

/// Reads the body of a request to add items.
pub fn parse_items(body: &[u8]) -> Result<Vec<Item>, Invalid> {
    let mut fields = Fields::of_body(body)?;
    let items = fields.require("items", |path, value| items_to_keep(path, value, MOST_ITEMS))?;
    if items.is_empty() {
        return Err(Invalid::empty_array("items"));
    }
    fields.no_unknown()?;
    Ok(items)
}

/// The items under names of their own, whatever they were called before. `batch` is of them alone.
pub fn named(mut items: Vec<Item>, batch: &str) -> Vec<Item> {
    for (number, item) in (0..).zip(&mut items) {
        let name = ids::response_item(item.prefix(), batch, number);
        item.rename(name);
    }
    items
}

/// An item as it is told.
pub fn item_body(item: &Item) -> Vec<u8> {
    json!(item).to_string().into_bytes()
}

/// That a conversation is no more.
pub fn removed(id: &str) -> Vec<u8> {
    json!({ "id": id, "object": "conversation.deleted", "deleted": true }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn conversations_are_read() {
        assert_eq!(parse_create(b"").unwrap(), CreateRequest::default());
        assert_eq!(parse_create(b"{}").unwrap(), CreateRequest::default());
        let asked = json!({"items": [{"role": "user", "content": "hi", "id": "mine"}], "metadata": {"k": "v"}});
        let made = parse_create(&bytes(&asked)).unwrap();
        assert_eq!((made.items.len(), made.metadata["k"].as_str()), (1, Some("v")));
        let batch = ids::conversation([3; ids::RESPONSE_BYTES]);
        let items = named(made.items, &batch);
        assert!(items[0].id().starts_with("msg_") && items[0].id() != "mine");
        assert_eq!(parse_update(&bytes(&json!({"metadata": {"a": "b"}}))).unwrap()["a"], "b");
        assert!(parse_update(&bytes(&json!({"metadata": null}))).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = json!({"role": "user", "content": "hi"});
        let create = |body: Value| parse_create(&bytes(&body)).unwrap_err().param;
        assert_eq!(create(json!({"items": "hi"})).unwrap(), "items");
        assert_eq!(create(json!({"items": [message, {"role": "user"}]})).unwrap(), "items[1].content");
        assert_eq!(create(json!({"items": vec![message.clone(); 21]})).unwrap(), "items");
        assert_eq!(create(json!({"items": [{"type": "item_reference", "id": "msg_1"}]})).unwrap(), "items[0].type");
        assert_eq!(create(json!({"metadata": {"k": 1}})).unwrap(), "metadata.k");
        assert_eq!(create(json!({"name": "x"})).unwrap(), "name");
        assert_eq!(parse_update(b"{}").unwrap_err().param.unwrap(), "metadata");
        assert_eq!(parse_items(b"{}").unwrap_err().param.unwrap(), "items");
        assert_eq!(parse_items(br#"{"items":[]}"#).unwrap_err().param.unwrap(), "items");
    }
}

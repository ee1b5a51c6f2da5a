//! The list of models: exactly four keys each, and nothing of what runs behind them.

use serde::Serialize;

use crate::json;

/// One model as clients see it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Model<'a> {
    /// The name that requests use.
    pub id: &'a str,
    object: Object,
    /// Seconds since 1970.
    pub created: u64,
    /// Whom it belongs to.
    pub owned_by: &'a str,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Object {
    Model,
}

impl<'a> Model<'a> {
    /// A model by its name.
    pub fn new(id: &'a str, created: u64, owned_by: &'a str) -> Self {
        Self { id, object: Object::Model, created, owned_by }
    }
}

/// The body of `GET /v1/models`.
pub fn list<'a>(models: impl IntoIterator<Item = Model<'a>>) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (position, model) in models.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json::write(&mut out, &model);
    }
    out.extend_from_slice(b"]}");
    out
}

/// The body of `GET /v1/models/{id}`.
pub fn one(model: Model<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    json::write(&mut out, &model);
    out
}

//! The list of models: exactly four keys each, and nothing of what runs behind them.

use crate::json;

/// One model as clients see it.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// The name that requests use.
    pub id: &'a str,
    /// Seconds since 1970.
    pub created: u64,
    /// Whom it belongs to.
    pub owned_by: &'a str,
}

/// The body of `GET /v1/models`.
pub fn list<'a>(models: impl IntoIterator<Item = Model<'a>>) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (position, model) in models.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(model, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

/// The body of `GET /v1/models/{id}`.
pub fn one(model: Model<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(model, &mut out);
    out
}

fn write(model: Model<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    json::write(out, model.id);
    out.extend_from_slice(b",\"object\":\"model\",\"created\":");
    json::write(out, &model.created);
    out.extend_from_slice(b",\"owned_by\":");
    json::write(out, model.owned_by);
    out.push(b'}');
}

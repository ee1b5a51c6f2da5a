//! `/v1/conversations/{id}/items`: added, listed page by page, shown and taken out.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{conversations, ids, responses};

use super::json;
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    conversations::{no_such_item, place},
    error::ApiError,
    http::{
        arrival,
        body::Whole,
        pages::Asked,
        url::{Path, Query},
    },
};

/// `POST /v1/conversations/{id}/items`
pub async fn add(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    _permit: Permit,
    Path(id): Path<String>,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let items = edge.work.run(body.len(), move || conversations::parse_items(&body)).await??;
    // Under names that no other items have.
    let items = conversations::named(items, &ids::conversation(arrival::random()));
    edge.conversations.add(&place(&caller.tenant, &id)?, &items).await?;
    Ok(json(responses::page(&items, &responses::Page { after: None, limit: items.len(), newest_first: false })))
}

/// `GET /v1/conversations/{id}/items`. `include` changes nothing, as nothing is left out.
pub async fn list(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let place = place(&caller.tenant, &id)?;
    let page = asked.page()?;
    let found = edge.conversations.find(&place).await?;
    Ok(json(responses::page(&found.items, &page)))
}

/// `GET /v1/conversations/{id}/items/{item}`
pub async fn show(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path((id, item)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let found = edge.conversations.find(&place(&caller.tenant, &id)?).await?;
    let found = found.items.iter().find(|found| found.id() == item).ok_or_else(|| no_such_item(&item))?;
    Ok(json(conversations::item_body(found)))
}

/// `DELETE /v1/conversations/{id}/items/{item}`
pub async fn remove(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path((id, item)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let conversation = edge.conversations.remove_item(&place(&caller.tenant, &id)?, &item).await?;
    Ok(json(conversation.body()))
}

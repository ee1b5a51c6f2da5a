//! `/v1/conversations`: a handler for each of its paths.

pub mod items;

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::{
    conversations::{self, Conversation},
    ids,
};

use super::{
    arrival::{self, Arrival},
    body::Whole,
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    conversations::place,
    error::ApiError,
    http::url::Path,
};

/// `POST /v1/conversations`
pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    _permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let asked = edge.work.run(body.len(), move || conversations::parse_create(&body)).await??;
    let id = ids::conversation(arrival::random());
    let items = conversations::named(asked.items, &id);
    let conversation = Conversation { id, created: arrival.unix, metadata: asked.metadata };
    edge.conversations.make(&place(&caller.tenant, &conversation.id)?, &conversation, &items).await?;
    Ok(json(conversation.body()))
}

/// `GET /v1/conversations/{id}`
pub async fn show(State(edge): State<Edge>, caller: Arc<Caller>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = edge.conversations.find(&place(&caller.tenant, &id)?).await?;
    Ok(json(found.conversation.body()))
}

/// `POST /v1/conversations/{id}`
pub async fn update(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    _permit: Permit,
    Path(id): Path<String>,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let metadata = conversations::parse_update(&body)?;
    let place = place(&caller.tenant, &id)?;
    let conversation = Conversation { metadata, ..edge.conversations.find(&place).await?.conversation };
    edge.conversations.describe(&place, &conversation).await?;
    Ok(json(conversation.body()))
}

/// `DELETE /v1/conversations/{id}`
pub async fn remove(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    edge.conversations.remove(&place(&caller.tenant, &id)?).await?;
    Ok(json(conversations::removed(&id)))
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

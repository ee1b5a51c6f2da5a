//! `GET /v1/responses/{id}/input_items`: what was put in by a response's request, page by page.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::responses;

use super::{find, json, place};
use crate::{
    Edge,
    access::caller::Caller,
    error::ApiError,
    http::pages::Asked,
    http::url::{Path, Query},
};

pub async fn list(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    let page = asked.page()?;
    let found = find(&edge.responses, &place).await?;
    Ok(json(responses::page(&found.response().record().input, &page)))
}

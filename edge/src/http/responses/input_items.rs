//! `GET /v1/responses/{id}/input_items`: what was put in by a response's request, page by page.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use cloudach_openai::responses::{self, Page};
use serde::Deserialize;

use super::{find, json, place};
use crate::{
    Edge,
    access::caller::Caller,
    error::ApiError,
    http::paging::{limit, newest_first},
};

/// Items of a page, as at OpenAI.
const USUAL: usize = 20;
const MOST: usize = 100;

/// What may be asked for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<String>,
    #[serde(default)]
    order: Option<String>,
}

pub async fn list(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    let limit = limit(asked.limit.as_deref(), USUAL, MOST)?;
    let newest_first = newest_first(asked.order.as_deref())?;
    let found = find(&edge.responses, &place).await?;
    let page = Page { after: asked.after.as_deref(), limit, newest_first };
    Ok(json(responses::input_items(&found.response().record().input, &page)))
}

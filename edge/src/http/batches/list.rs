//! `GET /v1/batches`: a tenant's batches, the newest first, page by page.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::files::page;
use serde::Deserialize;

use crate::{
    Edge,
    access::caller::Caller,
    error::ApiError,
    http::{files::json, pages::limit, url::Query},
};

/// Batches of a page, as at OpenAI.
const USUAL: usize = 20;
const MOST: usize = 100;

/// What may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    after: Option<String>,
    limit: Option<String>,
}

pub async fn list(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let most = limit(asked.limit.as_deref(), USUAL, MOST)?;
    let after = asked.after.unwrap_or_default();
    let mut batches = edge.batches.list(&caller.tenant, &after, most + 1).await.map_err(ApiError::Files)?;
    let has_more = batches.len() > most;
    batches.truncate(most);
    let shown: Vec<_> = batches.iter().map(crate::batches::Found::show).collect();
    Ok(json(page(&shown, has_more)))
}

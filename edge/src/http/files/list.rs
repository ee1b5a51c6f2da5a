//! `GET /v1/files`: a tenant's files, page by page.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::files::{Purpose, page};
use serde::Deserialize;

use super::json;
use crate::{
    Edge,
    access::caller::Caller,
    error::ApiError,
    files::Wanted,
    http::{
        pages::{limit, newest_first},
        url::Query,
    },
};

/// Files of a page, as at OpenAI.
const MOST: usize = 10_000;

/// What may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    after: Option<String>,
    limit: Option<String>,
    order: Option<String>,
    purpose: Option<String>,
}

pub async fn list(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let purpose = match asked.purpose.as_deref() {
        None => None,
        Some("batch") => Some(Purpose::Batch),
        Some("batch_output") => Some(Purpose::BatchOutput),
        // Of others there are none.
        Some(_) => return Ok(json(page(&[], false))),
    };
    let wanted = Wanted {
        after: asked.after.unwrap_or_default(),
        most: limit(asked.limit.as_deref(), MOST, MOST)?,
        newest_first: newest_first(asked.order.as_deref())?,
        purpose,
    };
    let (files, has_more) = edge.files.list(&caller.tenant, wanted).await.map_err(ApiError::Files)?;
    let shown: Vec<_> = files.iter().map(|(file, bytes)| file.show(*bytes)).collect();
    Ok(json(page(&shown, has_more)))
}

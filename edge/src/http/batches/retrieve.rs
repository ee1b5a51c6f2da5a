//! `GET /v1/batches/{id}`

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::place;
use crate::{Edge, access::caller::Caller, batches::not_found, error::ApiError, http::files::json, http::url::Path};

pub async fn show(State(edge): State<Edge>, caller: Arc<Caller>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = edge.batches.look_for(&place(&caller, &id)?).await.map_err(ApiError::Files)?;
    Ok(json(found.ok_or_else(|| not_found(&id))?.show()))
}

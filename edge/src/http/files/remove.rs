//! `DELETE /v1/files/{id}`

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{json, place};
use crate::{Edge, access::caller::Caller, error::ApiError, files::not_found, http::url::Path};

pub async fn remove(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    if !edge.files.remove(&place).await.map_err(ApiError::Files)? {
        return Err(not_found(&id));
    }
    Ok(json(serde_json::json!({ "object": "file", "id": id, "deleted": true })))
}

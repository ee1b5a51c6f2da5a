//! `DELETE /v1/responses/{id}`

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{json, place};
use crate::{Edge, access::caller::Caller, error::ApiError, http::url::Path, responses::not_found};

pub async fn remove(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    if !edge.responses.remove(&place).await.map_err(ApiError::Responses)? {
        return Err(not_found(&id));
    }
    let body = serde_json::json!({ "id": id, "object": "response", "deleted": true });
    Ok(json(body.to_string().into_bytes()))
}

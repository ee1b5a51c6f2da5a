//! `GET /v1/files/{id}`: what is known of a file.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{find, json, place};
use crate::{Edge, access::caller::Caller, error::ApiError, http::url::Path};

pub async fn show(State(edge): State<Edge>, caller: Arc<Caller>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (file, bytes) = find(&edge.files, &place(&caller, &id)?).await?;
    Ok(json(file.show(bytes)))
}

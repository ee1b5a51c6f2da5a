//! `POST /v1/batches/{id}/cancel`: ends a batch; what was done is kept.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::place;
use crate::{Edge, access::caller::Caller, error::ApiError, http::files::json, http::url::Path};

pub async fn cancel(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(edge.batches.cancel(&place(&caller, &id)?).await?.show()))
}

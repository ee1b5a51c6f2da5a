//! `POST /v1/batches`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{Invalid, batches, files::Purpose, ids};

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    error::ApiError,
    files::not_found,
    http::{body::Whole, files::json},
    idempotency::Place,
};

pub async fn create(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    _permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let create = batches::parse(&body)?;
    let id = &create.input_file_id;
    if !ids::is_file(id) {
        return Err(not_found(id));
    }
    let input = Place { tenant: caller.tenant.to_string(), slot: id.clone() };
    let (file, _) = edge.files.find(&input).await.map_err(ApiError::Files)?.ok_or_else(|| not_found(id))?;
    if file.purpose != Purpose::Batch {
        return Err(Invalid::not_for_batches(id).into());
    }
    Ok(json(edge.batches.create(&caller, create, &file).await?.show()))
}

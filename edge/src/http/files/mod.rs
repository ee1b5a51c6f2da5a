//! `/v1/files`: a handler for each of its paths.

pub mod content;
pub mod create;
pub mod list;
pub mod remove;
pub mod retrieve;
mod sips;

use axum::response::{IntoResponse, Response};
use cloudach_openai::{files::File, ids};
use serde_json::Value;

use crate::{access::caller::Caller, error::ApiError, files::Files, files::not_found, idempotency::Place};

/// Where a caller's file is. No other tenant's can be named.
fn place(caller: &Caller, id: &str) -> Result<Place, ApiError> {
    if !ids::is_file(id) {
        return Err(not_found(id));
    }
    Ok(Place { tenant: caller.tenant.to_string(), slot: id.to_owned() })
}

async fn find(files: &Files, place: &Place) -> Result<(File, u64), ApiError> {
    let found = files.find(place).await.map_err(ApiError::Files)?;
    found.ok_or_else(|| not_found(&place.slot))
}

/// An answer.
pub fn json(body: Value) -> Response {
    axum::Json(body).into_response()
}

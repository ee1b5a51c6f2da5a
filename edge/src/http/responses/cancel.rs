//! `POST /v1/responses/{id}/cancel`: ends a response that is made in the background.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{Invalid, responses::Step};

use super::{find, place, whole};
use crate::{Edge, access::caller::Caller, error::ApiError, http::url::Path, responses::Found};

pub async fn cancel(
    State(edge): State<Edge>,
    caller: Arc<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    let found = find(&edge.responses, &place).await?;
    let mut response = found.response();
    if !response.record().is_background() {
        return Err(Invalid::not_in_background().into());
    }
    // One that is over stays as it is.
    if !response.stage().is_last() {
        match found {
            Found::Live(live) => live.cancel(),
            Found::Kept(_) => edge.responses.cancel_elsewhere(&place).await.map_err(ApiError::Responses)?,
        }
        response.take(&Step::Cancel, &mut Vec::new());
    }
    Ok(whole(&response))
}

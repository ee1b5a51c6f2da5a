//! `/v1/responses`: a handler for each of its paths.

pub mod cancel;
pub mod create;
pub mod input_items;
pub mod input_tokens;
pub mod remove;
pub mod retrieve;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::{ids, responses};

use crate::{
    access::caller::Caller,
    error::ApiError,
    idempotency::Place,
    responses::{Found, Responses, not_found},
};

/// What streams of events are.
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Where a caller's response is. No other tenant's can be named.
fn place(caller: &Caller, id: &str) -> Result<Place, ApiError> {
    if !ids::is_response(id) {
        return Err(not_found(id));
    }
    Ok(Place { tenant: caller.tenant.to_string(), slot: id.to_owned() })
}

async fn find(responses: &Responses, place: &Place) -> Result<Found, ApiError> {
    let found = responses.find(place).await.map_err(ApiError::Responses)?;
    found.ok_or_else(|| not_found(&place.slot))
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A response as a body.
fn whole(response: &responses::Response) -> Response {
    let mut body = Vec::new();
    response.write(&mut body);
    json(body)
}

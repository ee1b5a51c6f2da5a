//! `POST /v1/responses/input_tokens`: how many tokens a request would put in.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{ids, responses};

use super::json;
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    conversation::{self, Asking},
    error::ApiError,
    http::{
        arrival::{self, Arrival},
        body::Whole,
    },
    metrics::Endpoint,
    responses::{history, in_its_words},
};

pub async fn count(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let mut asked = edge.work.run(bytes, move || responses::parse(&body)).await??;
    let continued = history::of(&edge, &caller.tenant, &mut asked).await?;
    let (request, _) = asked.begin(ids::response(arrival::random()), arrival.unix, continued, 0, false)?;
    let asking =
        Asking { endpoint: Endpoint::Responses, arrival: &arrival, caller: &caller, permit, bytes, offer: None };
    let (tokens, _) = conversation::count(&edge, asking, Box::new(request)).await.map_err(in_its_words)?;
    let body = serde_json::json!({ "object": "response.input_tokens", "input_tokens": tokens });
    Ok(json(body.to_string().into_bytes()))
}

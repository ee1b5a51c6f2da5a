//! `POST /v1/responses/input_tokens`: how many tokens a request would put in.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_model::tokens::{self, Encoding};
use cloudach_openai::{ids, responses};

use super::json;
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    error::ApiError,
    http::{
        arrival::{self, Arrival},
        body::Whole,
    },
    prompt,
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
    let continued = history::of(&edge.responses, &caller.tenant, &mut asked, edge.config.limits.body_bytes).await?;
    let (request, _) = asked.begin(ids::response(arrival::random()), arrival.unix, continued, 0, false)?;
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await;
    let routed = routed.map_err(in_its_words)?;
    permit.check_routed(&routed)?;
    let (_, prompt) = prompt::chat(&edge.work, &routed.model, request, bytes).await.map_err(in_its_words)?;
    let tokens = match prompt.tokens {
        Some(tokens) => tokens,
        // Only the engine knows its own count: this is near enough to plan by.
        None => {
            let text = prompt.text;
            edge.work.run(text.len(), move || tokens::count(Encoding::default(), &text)).await?
        }
    };
    let body = serde_json::json!({ "object": "response.input_tokens", "input_tokens": tokens });
    Ok(json(body.to_string().into_bytes()))
}

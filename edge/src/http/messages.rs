//! `POST /v1/messages`, which Anthropic's clients speak.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_anthropic::{self as anthropic, MessagesRequest};

use super::{
    arrival::{self, Arrival},
    body::Whole,
    headers,
    respond::{Form, respond},
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    conversation::{self, Asked, Asking},
    error::ApiError,
    fallback::Begun,
    metrics::Endpoint,
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let step = arrival.trace.step("translate");
    let (offers, tenant) = (edge.offers.clone(), caller.tenant.clone());
    let (request, offer) = edge.work.run(bytes, move || offers.message(&tenant, &body)).await??;
    let MessagesRequest { chat, shows_thinking } = request;
    step.end();
    let form = chat.stream.map_or(Form::Whole, |_| Form::Stream("text/event-stream; charset=utf-8"));
    let reply = |asked: &Asked<'_>| {
        let id = anthropic::message_id(arrival::random());
        anthropic::Reply::new(id, asked.request, shows_thinking, asked.prompt_tokens)
    };
    let offer = Some(offer);
    let asking = Asking { endpoint: Endpoint::Messages, arrival: &arrival, caller: &caller, permit, bytes, offer };
    let Begun { answer, routed } = conversation::begin(&edge, asking, Box::new(chat), reply).await?;
    Ok(headers::name_routed(respond(&edge, answer, form).await?, &routed))
}

/// `POST /v1/messages/count_tokens`: what the prompt of the same conversation would be counted as.
pub async fn count_tokens(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let (offers, tenant) = (edge.offers.clone(), caller.tenant.clone());
    let (chat, offer) = edge.work.run(bytes, move || offers.counted_message(&tenant, &body)).await??;
    let offer = Some(offer);
    let asking = Asking { endpoint: Endpoint::Messages, arrival: &arrival, caller: &caller, permit, bytes, offer };
    let (tokens, routed) = conversation::count(&edge, asking, Box::new(chat)).await?;
    let response = ([(header::CONTENT_TYPE, "application/json")], anthropic::token_count(tokens)).into_response();
    Ok(headers::name_routed(response, &routed))
}

//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{
    chat::{self, Defaults},
    ids,
};

use super::{
    arrival::{self, Arrival},
    body::Whole,
    headers,
    respond::{Form, respond},
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    answer,
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
    let (request, offer) = edge.work.run(bytes, move || offers.chat(&tenant, &body)).await??;
    step.end();
    let form = request.stream.map_or(Form::Whole, |_| Form::Stream("text/event-stream; charset=utf-8"));
    let defaults =
        Defaults { obfuscation: edge.config.stream.obfuscation, reasoning: edge.config.stream.reasoning.into() };
    let reply = |asked: &Asked<'_>| {
        let head = answer::head(ids::chat_completion(arrival::random()), &asked.request.model, arrival.unix);
        chat::Reply::new(&head, asked.request, defaults)
    };
    let offer = Some(offer);
    let asking =
        Asking { endpoint: Endpoint::ChatCompletions, arrival: &arrival, caller: &caller, permit, bytes, offer };
    let Begun { answer, routed } = conversation::begin(&edge, asking, request, reply).await?;
    Ok(headers::name_routed(respond(&edge, answer, form).await?, &routed))
}

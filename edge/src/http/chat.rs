//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::{chat, ids};

use super::{
    arrival::{self, Arrival},
    body::Whole,
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    answer::{self, Answer},
    error::ApiError,
    generations::{Shared, fits, text_prompt},
    metrics::Endpoint,
    prompt, sse,
    usage::{Meter, Metered},
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let request = edge.work.run(bytes, move || chat::parse(&body)).await??;
    let model = edge.catalog.generating(&request.model)?;
    let (request, prompt) = prompt::chat(&edge.work, &model, request, bytes).await?;
    fits(prompt.text.len(), request.n)?;

    let metered = Metered {
        endpoint: Endpoint::ChatCompletions,
        caller: &caller,
        arrival: &arrival,
        model: &model,
        prompt_tokens: prompt.tokens,
        choices: request.n as usize,
        choices_per_prompt: request.n as usize,
    };
    let meter = Meter::start(&edge, permit, &metered);
    let shared = Shared {
        request_id: &arrival.request_id,
        model: &model.id,
        sampling: &request.sampling,
        top_logprobs: request.logprobs,
        constraint: request.constraint.as_ref(),
        context: edge.context(&arrival, &caller),
    };
    let head = answer::head(ids::chat_completion(arrival::random()), &request.model, arrival.unix);
    let streamed = request.stream.is_some();
    let reply = chat::Reply::new(&head, &request);
    let prompts = std::iter::repeat_n(prompt.text, request.n as usize);
    let generations = (0..).zip(prompts).map(|(choice, text)| shared.generation(choice, text_prompt(text, false)));
    let answer = Answer::start(&edge, generations, reply, meter).await?;
    if streamed {
        return Ok(sse::respond(answer, "text/event-stream; charset=utf-8", edge.config.stream.keep_alive));
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.whole().await?).into_response())
}

//! `POST /v1/completions`

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::{PromptInput, completions, ids};

use super::{
    arrival::{self, Arrival},
    body::Whole,
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    answer::{self, Answer},
    catalog::Counting,
    error::ApiError,
    generations::{Shared, fits, text_prompt, token_prompt},
    metrics::Endpoint,
    sse, tokens,
    usage::{Meter, Metered},
    work::Work,
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let mut request = edge.work.run(body.len(), move || completions::parse(&body)).await??;
    let model = edge.catalog.generating(&request.model)?;

    let choices = request.choices() as usize;
    let head = answer::head(ids::completion(arrival::random()), &request.model, arrival.unix);
    let reply = completions::Reply::new(&head, &request);
    let prompts = std::mem::take(&mut request.prompts);
    fits(tokens::bytes(&prompts), request.n)?;
    let (prompts, prompt_tokens) = count(&edge.work, model.counting, prompts).await?;
    let metered = Metered {
        endpoint: Endpoint::Completions,
        caller: &caller,
        arrival: &arrival,
        model: &model,
        prompt_tokens,
        choices,
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
    let prompts = prompts.into_iter().flat_map(|prompt| std::iter::repeat_n(prompt, request.n as usize));
    let generations = (0..).zip(prompts).map(|(choice, prompt)| {
        let prompt = match prompt {
            PromptInput::Text(text) => text_prompt(text, request.add_special_tokens),
            PromptInput::Tokens(ids) => token_prompt(ids),
        };
        shared.generation(choice, prompt)
    });
    let answer = Answer::start(&edge, generations, reply, meter).await?;
    if request.stream.is_some() {
        return Ok(sse::respond(answer, "text/event-stream", edge.config.stream.keep_alive));
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.whole().await?).into_response())
}

/// The prompts with their tokens, all together; none where the engine counts.
async fn count(
    work: &Work,
    counting: Counting,
    prompts: Vec<PromptInput>,
) -> Result<(Vec<PromptInput>, Option<u64>), ApiError> {
    let Counting::Tiktoken(encoding) = counting else { return Ok((prompts, None)) };
    let bytes = tokens::bytes(&prompts);
    let count = move || {
        let count = prompts.iter().map(|prompt| tokens::count_input(encoding, prompt)).sum();
        (prompts, Some(count))
    };
    work.run(bytes, count).await
}

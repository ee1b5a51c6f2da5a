//! `POST /v1/completions`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{
    PromptInput,
    completions::{self, Echo},
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
    access::{admission::Permit, caller::Caller, limits::Cost},
    answer::{self, Answer, Making},
    best_of::BestOf,
    catalog::Counting,
    error::ApiError,
    generations::{Shared, fits, text_prompt, token_prompt},
    metrics::Endpoint,
    reading::Reading,
    reply::Reply,
    tokens,
    usage::{Meter, Metered},
    work::Work,
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    mut permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let mut request = edge.work.run(body.len(), move || completions::parse(&body)).await??;
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let model = routed.model.clone();
    let mirror = edge.mirrors.draw(&edge, &routed, &arrival.request_id);

    let candidates = request.candidates() as usize;
    let head = answer::head(ids::completion(arrival::random()), &request.model, arrival.unix);
    let reply = completions::Reply::new(&head, &request);
    let best_of = request.best_of > request.n;
    let reading = match request.constraint.take() {
        Some(constraint) => {
            let (sampling, dialect) = (request.sampling.clone(), model.schema_dialect());
            edge.work.run_long(move || Reading::of_prompt(&sampling, Some(constraint), dialect)).await??
        }
        None => Reading::of_prompt(&request.sampling, None, model.schema_dialect())?,
    };
    let prompts = std::mem::take(&mut request.prompts);
    let prompt_bytes = tokens::bytes(&prompts);
    fits(prompt_bytes, request.best_of)?;
    let (prompts, prompt_tokens) = count(&edge.work, model.counting, prompts).await?;
    let cost = Cost { prompt_tokens, prompt_bytes, max_tokens: request.sampling.max_tokens, choices: candidates };
    if let Some(limit) = model.context_exceeded_by(cost.max_tokens) {
        return Err(
            <completions::Reply as Reply>::too_long(limit, cost.prompt(), cost.max_tokens.map(u64::from)).into()
        );
    }
    permit.charge(&edge, &arrival.request_id, &model, &cost).await?;
    let metered = Metered {
        endpoint: Endpoint::Completions,
        caller: &caller,
        arrival: &arrival,
        model: &model,
        prompt_tokens,
        choices: candidates,
        choices_per_prompt: request.best_of as usize,
        max_tokens: request.sampling.max_tokens,
    };
    let meter = Meter::start(&edge, permit, &metered);
    let shared = Shared {
        request_id: &arrival.request_id,
        model: &model.id,
        sampling: &request.sampling,
        cache_salt: edge.cache_salt(&caller, request.sampling.cache_salt.as_deref()),
        reading: &reading,
        // Without them, which candidate is the best is not known.
        top_logprobs: request.logprobs.or(best_of.then_some(0)),
        echo: request.echo == Echo::FromEngine,
        context: routed.bounded(edge.context(&arrival, &caller, caller.priority)),
    };
    // Token ids are one model's own.
    if let (Some(mirror), Some(PromptInput::Text(text))) = (mirror, prompts.first()) {
        let prompt = text_prompt(text.clone(), request.add_special_tokens);
        mirror.generation(&edge, shared.generation(0, 0, prompt));
    }
    let prompts = prompts.into_iter().flat_map(|prompt| std::iter::repeat_n(prompt, request.best_of as usize));
    let generations = (0..).zip(prompts).map(|(choice, prompt)| {
        let prompt = match prompt {
            PromptInput::Text(text) => text_prompt(text, request.add_special_tokens),
            PromptInput::Tokens(ids) => token_prompt(ids),
        };
        shared.generation(choice, choice % request.best_of, prompt)
    });
    let form = request.stream.map_or(Form::Whole, |_| Form::Stream("text/event-stream"));
    let (reader, merge, several_prompts) =
        (reading.reader.clone(), form.merge(&edge), candidates > request.best_of as usize);
    let response = if best_of {
        let making =
            Making { reply: BestOf::new(reply, &request, candidates), reader, merge, several_prompts, turn: None };
        let answer = Answer::start(&edge, generations, making, meter).await;
        respond(&edge, answer.inspect_err(|unanswered| edge.catalog.note_refusal(&model.id, unanswered.error()))?, form)
            .await?
    } else {
        let making = Making { reply, reader, merge, several_prompts, turn: None };
        let answer = Answer::start(&edge, generations, making, meter).await;
        respond(&edge, answer.inspect_err(|unanswered| edge.catalog.note_refusal(&model.id, unanswered.error()))?, form)
            .await?
    };
    Ok(headers::name_routed(headers::name_model(response, &request.model), &routed))
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

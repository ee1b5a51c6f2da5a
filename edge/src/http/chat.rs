//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cloudach_openai::{
    chat::{self, Defaults, ServiceTier},
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
    access::{admission::Permit, caller::Caller, limits::Cost, priority::Priority},
    answer::{self, Answer, Making},
    error::ApiError,
    generations::{Shared, fits, text_prompt},
    metrics::Endpoint,
    mirror::Copy,
    prompt, reading,
    reply::Reply,
    turn::Continuation,
    usage::{Meter, Metered},
};

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    mut permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let request = edge.work.run(bytes, move || chat::parse(&body)).await??;
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let model = routed.model.clone();
    let mirror = edge.mirrors.draw(&edge, &routed, &arrival.request_id).map(|mirror| (mirror, request.clone()));
    let (request, prompt) = prompt::chat(&edge.work, &model, request, bytes).await?;
    fits(prompt.text.len(), request.n)?;
    let (reading, request) = reading::chat(&edge.work, &model, request, prompt.end()).await?;
    let cost = Cost {
        prompt_tokens: prompt.tokens,
        prompt_bytes: prompt.text.len(),
        max_tokens: request.sampling.max_tokens,
        choices: request.n as usize,
    };
    if let Some(limit) = model.context_exceeded_by(cost.max_tokens) {
        return Err(<chat::Reply as Reply>::too_long(limit, cost.prompt(), cost.max_tokens.map(u64::from)).into());
    }
    permit.charge(&edge, &arrival.request_id, &model, &cost).await?;

    let metered = Metered {
        endpoint: Endpoint::ChatCompletions,
        caller: &caller,
        arrival: &arrival,
        model: &model,
        prompt_tokens: prompt.tokens,
        choices: request.n as usize,
        choices_per_prompt: request.n as usize,
        max_tokens: request.sampling.max_tokens,
    };
    let meter = Meter::start(&edge, permit, &metered);
    let cache_salt = edge.cache_salt(&caller, request.sampling.cache_salt.as_deref());
    let urgency = caller.priority.min(urgency(request.service_tier));
    let context = routed.bounded(edge.context(&arrival, &caller, urgency));
    if let Some((mirror, request)) = mirror {
        let (request_id, cache_salt, context) = (arrival.request_id.clone(), cache_salt.clone(), context.clone());
        mirror.chat(&edge, Copy { request_id, request, bytes, cache_salt, context });
    }
    let shared = Shared {
        request_id: &arrival.request_id,
        model: &model.id,
        sampling: &request.sampling,
        cache_salt,
        reading: &reading,
        top_logprobs: request.logprobs,
        echo: false,
        context,
    };
    let head = answer::head(ids::chat_completion(arrival::random()), &request.model, arrival.unix);
    let defaults =
        Defaults { obfuscation: edge.config.stream.obfuscation, reasoning: edge.config.stream.reasoning.into() };
    let reply = chat::Reply::new(&head, &request, defaults);
    let turn = reading.turn.as_deref().map(|turn| {
        let request =
            Shared { reading: &turn.then, ..shared.clone() }.generation(0, 0, text_prompt(prompt.text.clone(), false));
        Continuation { at: turn.at.clone(), request, reader: turn.then.reader.clone() }
    });
    let prompts = std::iter::repeat_n(prompt.text, request.n as usize);
    let generations =
        (0..).zip(prompts).map(|(choice, text)| shared.generation(choice, choice, text_prompt(text, false)));
    let form = request.stream.map_or(Form::Whole, |_| Form::Stream("text/event-stream; charset=utf-8"));
    let making =
        Making { reply, reader: reading.reader.clone(), merge: form.merge(&edge), several_prompts: false, turn };
    let answer = Answer::start(&edge, generations, making, meter).await;
    let answer = answer.inspect_err(|error| edge.catalog.note_refusal(&model.id, error))?;
    let response = respond(&edge, answer, form).await?;
    Ok(headers::name_routed(response, &routed))
}

/// How urgent a client says its request is. Nobody is more urgent for their own saying so.
fn urgency(tier: ServiceTier) -> Priority {
    match tier {
        ServiceTier::Flex => Priority::Low,
        ServiceTier::Default | ServiceTier::Priority => Priority::High,
    }
}

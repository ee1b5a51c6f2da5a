//! A conversation that a model goes on with, whatever dialect it was asked in: from a checked request to an answer that
//! has begun. The one way there.

use std::{sync::Arc, time::Duration};

use cloudach_openai::chat::{ChatRequest, ServiceTier};

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost, priority::Priority},
    answer::{Answer, Making},
    catalog::Routed,
    error::ApiError,
    generations::{Shared, fits, text_prompt},
    http::arrival::Arrival,
    metrics::Endpoint,
    mirror::Copy,
    prompt, reading,
    reply::Reply,
    turn::Continuation,
    usage::{Meter, Metered},
};

/// Who asks, and how.
pub struct Asking<'a> {
    pub endpoint: Endpoint,
    pub arrival: &'a Arrival,
    pub caller: &'a Arc<Caller>,
    pub permit: Permit,
    /// The size of the request's body: long ones leave the network threads.
    pub bytes: usize,
}

/// What a reply is made for.
pub struct Asked<'a> {
    /// Without its conversation, which is in the prompt.
    pub request: &'a ChatRequest,
    /// As the client is told. None: the engine counts.
    pub prompt_tokens: Option<u64>,
}

/// An answer whose engine has started.
pub struct Begun<R> {
    pub answer: Answer<R>,
    /// Which model it is of.
    pub routed: Routed,
}

/// Starts the answer to `request`: finds the model, renders and counts, reserves, and waits for the engine's first word.
///
/// # Errors
/// Why there is no answer.
pub async fn begin<R: Reply>(
    edge: &Edge,
    asking: Asking<'_>,
    request: ChatRequest,
    reply: impl FnOnce(&Asked<'_>) -> R,
) -> Result<Begun<R>, ApiError> {
    let Asking { endpoint, arrival, caller, mut permit, bytes } = asking;
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let model = routed.model.clone();
    let mirror = edge.mirrors.draw(edge, &routed, &arrival.request_id).map(|mirror| (mirror, request.clone()));
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
        return Err(R::too_long(limit, cost.prompt(), cost.max_tokens.map(u64::from)).into());
    }
    permit.charge(edge, &arrival.request_id, &model, &cost).await?;

    let metered = Metered {
        endpoint,
        caller,
        arrival,
        model: &model,
        prompt_tokens: prompt.tokens,
        choices: request.n as usize,
        choices_per_prompt: request.n as usize,
        max_tokens: request.sampling.max_tokens,
    };
    let meter = Meter::start(edge, permit, &metered);
    let cache_salt = edge.cache_salt(caller, request.sampling.cache_salt.as_deref());
    let urgency = caller.priority.min(urgency(request.service_tier));
    let context = routed.bounded(edge.context(arrival, caller, urgency));
    if let Some((mirror, request)) = mirror {
        let (request_id, cache_salt, context) = (arrival.request_id.clone(), cache_salt.clone(), context.clone());
        mirror.chat(edge, Copy { request_id, request, bytes, cache_salt, context });
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
    let reply = reply(&Asked { request: &request, prompt_tokens: prompt.tokens });
    let turn = reading.turn.as_deref().map(|turn| {
        let request =
            Shared { reading: &turn.then, ..shared.clone() }.generation(0, 0, text_prompt(prompt.text.clone(), false));
        Continuation { at: turn.at.clone(), request, reader: turn.then.reader.clone() }
    });
    let prompts = std::iter::repeat_n(prompt.text, request.n as usize);
    let generations =
        (0..).zip(prompts).map(|(choice, text)| shared.generation(choice, choice, text_prompt(text, false)));
    // Whole answers show theirs at the end in any case.
    let merge = request.stream.map_or(Duration::ZERO, |_| edge.config.stream.merge);
    let making = Making { reply, reader: reading.reader.clone(), merge, several_prompts: false, turn };
    let answer = Answer::start(edge, generations, making, meter).await;
    let answer = answer.inspect_err(|error| edge.catalog.note_refusal(&model.id, error))?;
    Ok(Begun { answer, routed })
}

/// How urgent a client says its request is. Nobody is more urgent for their own saying so.
fn urgency(tier: ServiceTier) -> Priority {
    match tier {
        ServiceTier::Flex => Priority::Low,
        ServiceTier::Default | ServiceTier::Priority => Priority::High,
    }
}

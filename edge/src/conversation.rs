//! A conversation that a model goes on with, whatever dialect it was asked in: from a checked request to an answer that
//! has begun. The one way there.

use std::{sync::Arc, time::Duration};

use cloudach_openai::chat::{ChatRequest, ServiceTier};

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost, priority::Priority},
    answer::{Answer, Making},
    catalog::{Model, Routed},
    error::ApiError,
    fallback::Unanswered,
    generations::{Shared, fits, text_prompt},
    http::arrival::Arrival,
    metrics::Endpoint,
    mirror::{Copy, Mirror},
    prompt::{self, Prompt},
    reading::{self, Reading},
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

/// A request that is ready for one model.
struct Ready {
    /// Without its conversation, which is in the prompt.
    request: ChatRequest,
    prompt: Prompt,
    reading: Reading,
    cost: Cost,
}

/// Starts the answer to `request`: finds the model, renders and counts, reserves, and waits for the engine's first word. Where a
/// model has no place for it, the next one of its route is asked in the same way.
///
/// # Errors
/// Why there is no answer.
pub async fn begin<R: Reply>(
    edge: &Edge,
    asking: Asking<'_>,
    request: ChatRequest,
    reply: impl Fn(&Asked<'_>) -> R,
) -> Result<Begun<R>, ApiError> {
    let Asking { endpoint, arrival, caller, mut permit, bytes } = asking;
    let key = arrival.routing_key(&caller.tenant);
    let mut routed = edge.catalog.generating(&request.model, &key).await?;
    permit.check_routed(&routed)?;
    let mut mirror = edge.mirrors.draw(edge, &routed, &arrival.request_id).map(|mirror| (mirror, request.clone()));
    let kept = routed.falls_back().then(|| request.clone());
    let mut spent = Duration::ZERO;
    let mut tried = vec![routed.model.id.clone()];
    let mut ready = prepare::<R>(edge, &routed.model, request, bytes).await?;
    permit.charge_routed(edge, &arrival.request_id, &routed, &ready.cost).await?;
    loop {
        let asked = Starting { endpoint, arrival, caller, routed: &routed, ready, spent };
        let unanswered = match asked.start(edge, permit, mirror.take(), bytes, &reply).await {
            Ok(answer) => return Ok(Begun { answer, routed }),
            Err(unanswered) => unanswered,
        };
        edge.catalog.note_refusal(&routed.model.id, unanswered.error());
        let Some(request) = kept.as_ref().filter(|_| unanswered.may_fall_back()) else { return Err(unanswered.into()) };
        // One that cannot be asked this (its context is too short, its engine has no such schema) is passed over.
        let next = loop {
            let Some(next) = edge.catalog.after(&routed, &key, &tried) else { return Err(unanswered.into()) };
            tried.push(next.model.id.clone());
            if let Ok(ready) = prepare::<R>(edge, &next.model, request.clone(), bytes).await {
                break (next, ready);
            }
        };
        permit = unanswered.hand_over(&routed.model.id, &next.0.model.id);
        (routed, ready) = next;
        spent = arrival.at.elapsed();
        permit.move_to(edge, &arrival.request_id, &routed.model, &ready.cost).await?;
    }
}

/// Renders and counts the request as this model is asked.
async fn prepare<R: Reply>(
    edge: &Edge,
    model: &Arc<Model>,
    request: ChatRequest,
    bytes: usize,
) -> Result<Ready, ApiError> {
    let (request, prompt) = prompt::chat(&edge.work, model, request, bytes).await?;
    fits(prompt.text.len(), request.n)?;
    let (reading, request) = reading::chat(&edge.work, model, request, prompt.end()).await?;
    let cost = Cost {
        prompt_tokens: prompt.tokens,
        prompt_bytes: prompt.text.len(),
        max_tokens: request.sampling.max_tokens,
        choices: request.n as usize,
    };
    if let Some(limit) = model.context_exceeded_by(cost.max_tokens) {
        return Err(R::too_long(limit, cost.prompt(), cost.max_tokens.map(u64::from)).into());
    }
    Ok(Ready { request, prompt, reading, cost })
}

/// A request on its way to one model.
struct Starting<'a> {
    endpoint: Endpoint,
    arrival: &'a Arrival,
    caller: &'a Arc<Caller>,
    routed: &'a Routed,
    ready: Ready,
    /// Of the time that it may take, with models that had no place for it.
    spent: Duration,
}

impl Starting<'_> {
    async fn start<R: Reply>(
        self,
        edge: &Edge,
        permit: Permit,
        mirror: Option<(Mirror, ChatRequest)>,
        bytes: usize,
        reply: impl Fn(&Asked<'_>) -> R,
    ) -> Result<Answer<R>, Unanswered<R>> {
        let Self { endpoint, arrival, caller, routed, ready, spent } = self;
        let Ready { request, prompt, reading, .. } = ready;
        let model = &routed.model;
        let metered = Metered {
            endpoint,
            caller,
            arrival,
            model,
            prompt_tokens: prompt.tokens,
            choices: request.n as usize,
            choices_per_prompt: request.n as usize,
            max_tokens: request.sampling.max_tokens,
        };
        let meter = Meter::start(edge, permit, &metered);
        let cache_salt = edge.cache_salt(caller, request.sampling.cache_salt.as_deref());
        let urgency = caller.priority.min(urgency(request.service_tier));
        let mut context = routed.bounded(edge.context(arrival, caller, urgency));
        let spent = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        context.timeout_ms = context.timeout_ms.saturating_sub(spent).max(1);
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
            let request = Shared { reading: &turn.then, ..shared.clone() }.generation(
                0,
                0,
                text_prompt(prompt.text.clone(), false),
            );
            Continuation { at: turn.at.clone(), request, reader: turn.then.reader.clone() }
        });
        let prompts = std::iter::repeat_n(prompt.text, request.n as usize);
        let generations =
            (0..).zip(prompts).map(|(choice, text)| shared.generation(choice, choice, text_prompt(text, false)));
        // Whole answers show theirs at the end in any case.
        let merge = request.stream.map_or(Duration::ZERO, |_| edge.config.stream.merge);
        let making = Making { reply, reader: reading.reader.clone(), merge, several_prompts: false, turn };
        Answer::start(edge, generations, making, meter).await
    }
}

/// How urgent a client says its request is. Nobody is more urgent for their own saying so.
fn urgency(tier: ServiceTier) -> Priority {
    match tier {
        ServiceTier::Flex => Priority::Low,
        ServiceTier::Default | ServiceTier::Priority => Priority::High,
    }
}

//! A conversation that a model goes on with, whatever dialect it was asked in: from a checked request to an answer that
//! has begun. The one way there.

use std::{sync::Arc, time::Duration};

use cloudach_openai::chat::{ChatRequest, ServiceTier};
use cloudach_service::trace::names;
use tokio::time::Instant;

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost, priority::Priority},
    answer::{Answer, Making},
    catalog::{Model, Routed},
    error::ApiError,
    fallback::{self, Begun, Question, Unanswered},
    generations::{Shared, fits, text_prompt},
    http::arrival::Arrival,
    metrics::Endpoint,
    mirror::{Copy, Mirror},
    offers::Offer,
    prompt::{self, Prompt},
    reading::{self, Reading},
    reply::Reply,
    trace,
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
    /// The tools of the request, where they are known already.
    pub offer: Option<Arc<Offer>>,
}

/// What a reply is made for.
pub struct Asked<'a> {
    /// Without its conversation, which is in the prompt.
    pub request: &'a ChatRequest,
    /// As the client is told. None: the engine counts.
    pub prompt_tokens: Option<u64>,
}

/// Starts the answer to `request`: finds the model, renders and counts, reserves, and waits for the engine's first word. Where a
/// model has no place for it, the next one of its route is asked in the same way.
///
/// # Errors
/// Why there is no answer.
pub async fn begin<R: Reply>(
    edge: &Edge,
    asking: Asking<'_>,
    request: Box<ChatRequest>,
    reply: impl Fn(&Asked<'_>) -> R + Send + Sync,
) -> Result<Begun<R>, ApiError> {
    let Asking { endpoint, arrival, caller, permit, bytes, offer } = asking;
    arrival.trace.set_text(names::MODEL_ASKED, &request.model);
    edge.texts.conversation(&arrival.trace, caller, &request.messages);
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let offer = Offer::or_of(offer, edge, &request.tools, bytes).await?;
    let mirror = edge.mirrors.draw(edge, &routed, &arrival.request_id).map(|mirror| (mirror, request.clone()));
    let conversation = Conversation { edge, endpoint, arrival, caller, bytes, offer, mirror, reply };
    fallback::begin(conversation, request, permit, routed).await
}

/// What the prompt of `request` would be counted as, and by which model. Where the engine counts, which it does only for what
/// it generates, this is an estimate.
///
/// # Errors
/// There is no such model, or it cannot be asked this.
pub async fn count(edge: &Edge, asking: Asking<'_>, request: Box<ChatRequest>) -> Result<(u64, Routed), ApiError> {
    let Asking { arrival, caller, permit, bytes, offer, .. } = asking;
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let offer = Offer::or_of(offer, edge, &request.tools, bytes).await?;
    let (_, prompt) = prompt::chat(edge, &caller.tenant, &routed.model, request, &offer, bytes).await?;
    let tokens = match prompt.tokens {
        Some(tokens) => tokens,
        None => edge.work.run(prompt.text.len(), move || prompt.estimated_tokens()).await?,
    };
    Ok((tokens, routed))
}

/// A conversation that models can be asked to go on with.
struct Conversation<'a, F> {
    edge: &'a Edge,
    endpoint: Endpoint,
    arrival: &'a Arrival,
    caller: &'a Arc<Caller>,
    bytes: usize,
    offer: Arc<Offer>,
    /// What is asked of another model as well, once.
    mirror: Option<(Mirror, Box<ChatRequest>)>,
    reply: F,
}

/// The same, ready for one model.
struct Ready {
    /// Without its conversation, which is in the prompt.
    request: Box<ChatRequest>,
    prompt: Prompt,
    reading: Reading,
    cost: Cost,
}

impl<R: Reply, F: Fn(&Asked<'_>) -> R + Send + Sync> Question for Conversation<'_, F> {
    /// In a box, as it goes through many hands.
    type Request = Box<ChatRequest>;
    type Ready = Ready;
    type Reply = R;

    fn asked(&self) -> (&Edge, &Arrival, &Caller) {
        (self.edge, self.arrival, self.caller)
    }

    async fn prepare(&self, model: &Arc<Model>, request: Box<ChatRequest>) -> Result<Ready, ApiError> {
        let (request, prompt) =
            prompt::chat(self.edge, &self.caller.tenant, model, request, &self.offer, self.bytes).await?;
        fits(prompt.text.len(), request.n)?;
        let (reading, request) =
            reading::chat(self.edge, &self.caller.tenant, model, request, &self.offer, prompt.end()).await?;
        let cost = Cost {
            prompt_tokens: prompt.tokens,
            prompt_bytes: prompt.text.len(),
            max_tokens: request.sampling.max_tokens,
            choices: request.n as usize,
        };
        Ok(Ready { request, prompt, reading, cost })
    }

    fn cost(ready: &Ready) -> &Cost {
        &ready.cost
    }

    async fn start(
        &mut self,
        permit: Permit,
        routed: &Routed,
        ready: Ready,
        spent: Duration,
    ) -> Result<Answer<R>, Unanswered<R>> {
        let (edge, arrival, caller) = (self.edge, self.arrival, self.caller);
        let Ready { request, prompt, reading, .. } = ready;
        let model = &routed.model;
        let metered = Metered {
            endpoint: self.endpoint,
            caller,
            arrival,
            asked: &request.model,
            model,
            prompt_tokens: prompt.tokens,
            choices: request.n as usize,
            choices_per_prompt: request.n as usize,
            max_tokens: request.sampling.max_tokens,
        };
        let meter = Meter::start(edge, permit, &metered);
        trace::sampling(&arrival.trace, &request.sampling, request.n, request.stream.is_some());
        let cache_salt = edge.cache_salt(caller, request.sampling.cache_salt.as_deref());
        let urgency = caller.priority.min(urgency(request.service_tier));
        let context = routed.bounded(edge.context(arrival, caller, urgency), spent);
        if let Some((mirror, request)) = self.mirror.take() {
            let (request_id, cache_salt, context) = (arrival.request_id.clone(), cache_salt.clone(), context.clone());
            let offer = self.offer.clone();
            mirror.chat(edge, Copy { request_id, request, offer, bytes: self.bytes, cache_salt, context });
        }
        let shared = Shared {
            request_id: &arrival.request_id,
            model: &model.id,
            sampling: &request.sampling,
            cache_salt,
            reading: &reading,
            top_logprobs: request.logprobs,
            echo: false,
            // One that may call once is cut off behind its call.
            whole: request.stream.is_none() && request.parallel_tool_calls,
            context,
        };
        let reply = (self.reply)(&Asked { request: &request, prompt_tokens: prompt.tokens });
        let turn = reading.turn.as_deref().map(|turn| {
            let prompt = text_prompt(prompt.text.clone(), false);
            let request = Shared { reading: &turn.then, ..shared.clone() }.generation(0, 0, prompt);
            Continuation { at: turn.at.clone(), request, begun: Instant::now(), reader: turn.then.reader.clone() }
        });
        let prompts = std::iter::repeat_n(prompt.text, request.n as usize);
        let generations =
            (0..).zip(prompts).map(|(choice, text)| shared.generation(choice, choice, text_prompt(text, false)));
        // Whole answers show theirs at the end in any case.
        let merge = request.stream.map_or(Duration::ZERO, |_| edge.config.stream.merge);
        let making = Making { reply, reader: reading.reader.clone(), merge, several_prompts: false, turn };
        Answer::start(generations, making, meter).await
    }
}

/// How urgent a client says its request is. Nobody is more urgent for their own saying so.
fn urgency(tier: ServiceTier) -> Priority {
    match tier {
        ServiceTier::Flex => Priority::Low,
        ServiceTier::Default | ServiceTier::Priority => Priority::High,
    }
}

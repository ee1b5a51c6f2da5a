//! `POST /v1/completions`

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use cloudach_openai::{
    PromptInput,
    completions::{self, CompletionRequest, Echo},
    ids,
};
use cloudach_service::trace::names;

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
    catalog::{Counting, Model, Routed},
    error::ApiError,
    fallback::{self, Begun, Question, Unanswered},
    generations::{Shared, fits, text_prompt, token_prompt},
    metrics::Endpoint,
    mirror::Mirror,
    reading::Reading,
    reply::Reply,
    tokens, trace,
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
    let step = arrival.trace.step("translate");
    let request = edge.work.run(body.len(), move || completions::parse(&body)).await??;
    step.end();
    arrival.trace.set_text(names::MODEL_ASKED, &request.model);
    edge.texts.prompts(&arrival.trace, &caller, &request.prompts);
    let routed = edge.catalog.generating(&request.model, &arrival.routing_key(&caller.tenant)).await?;
    permit.check_routed(&routed)?;
    let mirror = edge.mirrors.draw(&edge, &routed, &arrival.request_id);

    let name = request.model.clone();
    let best_of = request.best_of > request.n;
    let form = request.stream.map_or(Form::Whole, |_| Form::Stream("text/event-stream"));
    let merge = form.merge(&edge);
    let reply = |request: &CompletionRequest| {
        let head = answer::head(ids::completion(arrival::random()), &request.model, arrival.unix);
        completions::Reply::new(&head, request)
    };
    let (response, routed) = if best_of {
        let reply = |request: &CompletionRequest, candidates| BestOf::new(reply(request), request, candidates);
        let completing = Completing { edge: &edge, arrival: &arrival, caller: &caller, mirror, merge, reply };
        let Begun { answer, routed } = fallback::begin(completing, request, permit, routed).await?;
        (respond(&edge, answer, form).await?, routed)
    } else {
        let reply = |request: &CompletionRequest, _| reply(request);
        let completing = Completing { edge: &edge, arrival: &arrival, caller: &caller, mirror, merge, reply };
        let Begun { answer, routed } = fallback::begin(completing, request, permit, routed).await?;
        (respond(&edge, answer, form).await?, routed)
    };
    Ok(headers::name_routed(headers::name_model(response, &name), &routed))
}

/// Prompts that models can be asked to go on with.
struct Completing<'a, F> {
    edge: &'a Edge,
    arrival: &'a Arrival,
    caller: &'a Arc<Caller>,
    /// Who is asked as well, once.
    mirror: Option<Mirror>,
    merge: Duration,
    /// Made for a request, with so many candidates in all.
    reply: F,
}

/// The same, ready for one model.
struct Ready<R> {
    /// Without its prompts.
    request: CompletionRequest,
    prompts: Vec<PromptInput>,
    reply: R,
    reading: Reading,
    cost: Cost,
}

impl<R: Reply, F: Fn(&CompletionRequest, usize) -> R + Send + Sync> Question for Completing<'_, F> {
    type Request = CompletionRequest;
    type Ready = Ready<R>;
    type Reply = R;

    fn asked(&self) -> (&Edge, &Arrival, &Caller) {
        (self.edge, self.arrival, self.caller)
    }

    /// Token ids are one model's own.
    fn may_go_on(request: &CompletionRequest) -> bool {
        request.prompts.iter().all(|prompt| matches!(prompt, PromptInput::Text(_)))
    }

    async fn prepare(&self, model: &Arc<Model>, mut request: CompletionRequest) -> Result<Ready<R>, ApiError> {
        let work = &self.edge.work;
        let reading = match request.constraint.take() {
            Some(constraint) => {
                let (sampling, dialect) = (request.sampling.clone(), model.schema_dialect());
                work.run_long(move || Reading::of_prompt(&sampling, Some(constraint), dialect)).await??
            }
            None => Reading::of_prompt(&request.sampling, None, model.schema_dialect())?,
        };
        let choices = request.candidates() as usize;
        let reply = (self.reply)(&request, choices);
        let prompts = std::mem::take(&mut request.prompts);
        let prompt_bytes = tokens::bytes(&prompts);
        fits(prompt_bytes, request.best_of)?;
        let (prompts, prompt_tokens) = count(work, model.counting, prompts).await?;
        let cost = Cost { prompt_tokens, prompt_bytes, max_tokens: request.sampling.max_tokens, choices };
        Ok(Ready { request, prompts, reply, reading, cost })
    }

    fn cost(ready: &Ready<R>) -> &Cost {
        &ready.cost
    }

    async fn start(
        &mut self,
        permit: Permit,
        routed: &Routed,
        ready: Ready<R>,
        spent: Duration,
    ) -> Result<Answer<R>, Unanswered<R>> {
        let (edge, arrival, caller) = (self.edge, self.arrival, self.caller);
        let Ready { request, prompts, reply, reading, cost } = ready;
        let (model, candidates) = (&routed.model, cost.choices);
        let metered = Metered {
            endpoint: Endpoint::Completions,
            caller,
            arrival,
            asked: &request.model,
            model,
            prompt_tokens: cost.prompt_tokens,
            choices: candidates,
            choices_per_prompt: request.best_of as usize,
            max_tokens: request.sampling.max_tokens,
        };
        let meter = Meter::start(edge, permit, &metered);
        trace::sampling(&arrival.trace, &request.sampling, request.best_of, request.stream.is_some());
        // Without them, which candidate is the best is not known.
        let at_least = (request.best_of > request.n).then_some(0);
        let shared = Shared {
            request_id: &arrival.request_id,
            model: &model.id,
            sampling: &request.sampling,
            cache_salt: edge.cache_salt(caller, request.sampling.cache_salt.as_deref()),
            reading: &reading,
            top_logprobs: request.logprobs.or(at_least),
            echo: request.echo == Echo::FromEngine,
            whole: request.stream.is_none(),
            context: routed.bounded(edge.context(arrival, caller, caller.priority), spent),
        };
        // Token ids are one model's own.
        if let (Some(mirror), Some(PromptInput::Text(text))) = (self.mirror.take(), prompts.first()) {
            let prompt = text_prompt(text.clone(), request.add_special_tokens);
            mirror.generation(edge, shared.generation(0, 0, prompt));
        }
        let making = Making {
            reply,
            reader: reading.reader.clone(),
            merge: self.merge,
            several_prompts: candidates > request.best_of as usize,
            turn: None,
        };
        let prompts = prompts.into_iter().flat_map(|prompt| std::iter::repeat_n(prompt, request.best_of as usize));
        let generations = (0..).zip(prompts).map(|(choice, prompt)| {
            let prompt = match prompt {
                PromptInput::Text(text) => text_prompt(text, request.add_special_tokens),
                PromptInput::Tokens(ids) => token_prompt(ids),
            };
            shared.generation(choice, choice % request.best_of, prompt)
        });
        Answer::start(generations, making, meter).await
    }
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

//! What a request used: counted for the client, kept with the engine's own counts beside it, recorded once however
//! the request ends, and kept.

pub mod batch;
pub mod config;
pub mod entry;
pub mod keeper;
mod record;
pub mod report;
pub mod spool;
pub mod sums;
#[cfg(test)]
mod tests;

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use cloudach_model::{
    reading::Event,
    tokens::{self, Encoding},
};
use cloudach_openai::{FinishReason, Usage};
use cloudach_proto::v1::{Delta, Started, TokenUsage};
use cloudach_service::trace::Trace;

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    catalog::{Counting, Model},
    error::{ApiError, Words},
    http::arrival::Arrival,
    metrics::{Endpoint, Outcome},
    store::now,
    texts::Said,
    trace,
};
use keeper::Expected;
pub use record::{Counted, Record};

/// Follows a request and records it when it is dropped. A request that is dropped before it was finished was
/// abandoned by its client.
#[derive(Debug)]
pub struct Meter {
    edge: Edge,
    request_id: Arc<str>,
    /// None: it is part of no trace.
    trace_id: Option<Box<str>>,
    trace: Trace,
    /// The model by the name that the client gave it. None: its own.
    asked: Option<Box<str>>,
    endpoint: Endpoint,
    caller: Arc<Caller>,
    model: Arc<Model>,
    /// The last replica that ran it. Empty: none did.
    replica: String,
    outcome: Outcome,
    /// What the client was told: the answer's status, or that of the error which ended its stream.
    status: u16,
    arrived: Instant,
    /// Until a replica ran it.
    queued: Option<Duration>,
    first_token: Option<Duration>,
    counting: Counting,
    /// Prompt tokens as the client is told. None: as the engine counts.
    prompt_tokens: Option<u64>,
    choices: Vec<Choice>,
    /// How many choices each prompt has.
    choices_per_prompt: usize,
    max_tokens: Option<u64>,
    /// What the client was shown, once that is known.
    counted: Option<Counted>,
    permit: Permit,
    /// Taken when the request is over.
    expected: Option<Expected<Record>>,
    /// What it says, where that is told in its span.
    said: Option<Box<Said>>,
    /// Another one follows the request from now on.
    handed_over: bool,
}

#[derive(Debug, Default)]
struct Choice {
    /// Kept to be counted; empty where the engine counts.
    text: String,
    /// Kept to be counted, whoever counts the rest: engines do not tell it apart.
    reasoning: String,
    tokens_seen: u64,
    /// Of generations before the one that runs, if there were any.
    before: Option<Before>,
    /// As the engine said at the start. 0: it did not.
    prompt_tokens: u64,
    engine: Option<TokenUsage>,
    /// It calls tools.
    called: bool,
    /// Why it ended, once it has.
    reason: Option<FinishReason>,
}

/// What the generations of a choice came to before it went on in another one.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    tokens: u64,
    /// Of the first one's prompt. 0 where it was ended before its engine told.
    cached_tokens: u64,
}

impl Choice {
    /// Of its prompt, as the engine says at the end of what read it: what follows a turn finds all of it in the cache.
    fn cached_tokens(&self) -> Option<u64> {
        let said = self.engine.as_ref().map(|usage| u64::from(usage.cached_tokens));
        self.before.map(|before| before.cached_tokens).or(said)
    }

    /// The prompt has so many tokens, as the engine says. What follows a turn has a prompt that is longer by what was
    /// generated before it.
    fn note_prompt(&mut self, tokens: u32) {
        if self.before.is_none() {
            self.prompt_tokens = self.prompt_tokens.max(tokens.into());
        }
    }
}

/// What a meter needs to know of its request.
#[derive(Debug)]
pub struct Metered<'a> {
    pub endpoint: Endpoint,
    pub caller: &'a Arc<Caller>,
    pub arrival: &'a Arrival,
    /// The model by the name that the client gave it.
    pub asked: &'a str,
    pub model: &'a Arc<Model>,
    /// Prompt tokens as the client is told. None: as the engine counts.
    pub prompt_tokens: Option<u64>,
    pub choices: usize,
    pub choices_per_prompt: usize,
    /// What the client allowed each choice. Its tokens are the engine's; no count may be beyond it all the same, as
    /// none of OpenAI's ever is (compat-spec, token counting).
    pub max_tokens: Option<u32>,
}

impl Meter {
    /// Starts to follow a request that holds `permit`.
    pub fn start(edge: &Edge, permit: Permit, metered: &Metered<'_>) -> Self {
        edge.metrics.open.inc();
        permit.note_recorded();
        trace::begun(metered);
        Self {
            edge: edge.clone(),
            request_id: metered.arrival.request_id.clone(),
            trace_id: metered.arrival.trace_id().map(Into::into),
            trace: metered.arrival.trace.clone(),
            asked: (metered.asked != metered.model.id).then(|| metered.asked.into()),
            endpoint: metered.endpoint,
            caller: metered.caller.clone(),
            model: metered.model.clone(),
            replica: String::new(),
            outcome: Outcome::Abandoned,
            status: 200,
            arrived: metered.arrival.at,
            queued: None,
            first_token: None,
            counting: metered.model.counting,
            prompt_tokens: metered.prompt_tokens,
            choices: std::iter::repeat_with(Choice::default).take(metered.choices).collect(),
            choices_per_prompt: metered.choices_per_prompt.max(1),
            max_tokens: metered.max_tokens.map(u64::from),
            counted: None,
            permit,
            expected: Some(edge.keeper.expect()),
            said: edge.texts.listen(&metered.arrival.trace, metered.caller),
            handed_over: false,
        }
    }

    /// The request goes on, and another meter is started for it: this one records nothing.
    pub fn hand_over(&mut self) -> Permit {
        self.handed_over = true;
        let permit = self.permit.take();
        permit.note_unrecorded();
        permit
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The request's trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What an error that ends the stream is filled in with.
    pub fn words(&self) -> Words<'_> {
        let trace_id = self.trace_id.as_deref();
        Words { links: &self.edge.config.links, request_id: &self.request_id, trace_id }
    }

    /// Prompt tokens as the client is told. None: as the engine counts.
    pub fn prompt_tokens(&self) -> Option<u64> {
        self.prompt_tokens
    }

    /// What the client allowed each choice.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// A replica runs a choice.
    pub fn started(&mut self, choice: u32, started: Started) {
        self.queued.get_or_insert_with(|| self.arrived.elapsed());
        self.replica = started.replica;
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            // Where it goes on elsewhere, the tokens behind these are generated again.
            if let Some(kept) = started.kept_tokens {
                choice.tokens_seen = choice.tokens_seen.min(kept.into());
            }
            choice.note_prompt(started.prompt_tokens);
        }
    }

    /// Tokens were generated.
    pub fn generated(&mut self, choice: u32, delta: &Delta) {
        self.trace.token();
        if self.first_token.is_none() {
            self.first_token = Some(self.arrived.elapsed());
        }
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            choice.tokens_seen += delta.token_ids.len() as u64;
            choice.note_prompt(delta.prompt_tokens);
        }
    }

    /// The client is shown this of what was generated.
    pub fn shown(&mut self, choice: u32, text: &str) {
        if let (Counting::Tiktoken(_), Some(choice)) = (self.counting, self.choices.get_mut(choice as usize)) {
            choice.text.push_str(text);
        }
    }

    /// The client is shown this of what the model thought.
    pub fn reasoned(&mut self, choice: u32, text: &str) {
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            choice.reasoning.push_str(text);
        }
    }

    /// A choice says this, in its span.
    pub fn said(&mut self, choice: u32, event: Event<'_>) {
        if let Some(said) = &mut self.said {
            said.push(choice, event);
        }
    }

    /// A choice goes on in another generation, whose prompt holds what was written before.
    pub fn turned(&mut self, choice: u32) {
        let Some(choice) = self.choices.get_mut(choice as usize) else { return };
        let cached_tokens = choice.cached_tokens().unwrap_or_default();
        if let Some(usage) = choice.engine.take() {
            choice.note_prompt(usage.prompt_tokens);
            choice.tokens_seen = choice.tokens_seen.max(usage.completion_tokens.into());
        }
        let tokens = choice.before.unwrap_or_default().tokens + mem::take(&mut choice.tokens_seen);
        choice.before = Some(Before { tokens, cached_tokens });
    }

    /// The edge that the request came to.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// A choice is complete.
    pub fn choice_finished(&mut self, choice: u32, usage: Option<TokenUsage>) {
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            choice.engine = usage;
        }
    }

    /// A choice has told its client why it ended.
    pub fn choice_ended(&mut self, choice: u32, reason: FinishReason) {
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            choice.reason = Some(if choice.called { FinishReason::ToolCalls } else { reason });
        }
    }

    /// A choice calls tools.
    pub fn called(&mut self, choice: u32) {
        if let Some(choice) = self.choices.get_mut(choice as usize) {
            choice.called = true;
        }
    }

    /// The engine used this for an answer of one message.
    pub fn answered(&mut self, replica: String, usage: TokenUsage) -> Usage {
        self.replica = replica;
        let usage = TokenUsage { prompt_tokens: usage.prompt_tokens, ..TokenUsage::default() };
        self.choices = vec![Choice { engine: Some(usage), ..Choice::default() }];
        self.counted(Counted::default())
    }

    /// Counts what was used so far. The texts stay until that is [told](Meter::counted): the client may leave before.
    pub fn counting(&self) -> impl Future<Output = Counted> + Send + use<> {
        let (edge, bytes, count) = (self.edge.clone(), self.text_bytes(), self.count());
        async move { edge.work.run(bytes, count).await.unwrap_or_default() }
    }

    /// It was counted. What the client is told.
    pub fn counted(&mut self, counted: Counted) -> Usage {
        self.counted = Some(counted);
        self.usage(counted).0
    }

    /// Claims how the request ended.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Claims that it failed, and how the client is told so.
    pub fn fail(&mut self, error: &ApiError) {
        self.status = error.status(&self.words()).as_u16();
        self.finish(Outcome::Failed);
    }

    /// Counts a copy of the texts when it is called.
    fn count(&self) -> impl FnOnce() -> Counted + Send + use<> {
        let copy = |choice: &Choice| (choice.text.clone(), choice.reasoning.clone());
        let texts: Vec<(String, String)> = self.choices.iter().map(copy).collect();
        let most = self.max_tokens.unwrap_or(u64::MAX);
        let encoding = match self.counting {
            Counting::Tiktoken(encoding) => encoding,
            // Engines do not tell reasoning apart: its part is near enough.
            Counting::Engine => Encoding::default(),
        };
        move || {
            texts.iter().fold(Counted::default(), |sum, (text, reasoning)| {
                let reasoning = tokens::count(encoding, reasoning).min(most);
                let answer = tokens::count(encoding, text).min(most - reasoning);
                Counted { answer: sum.answer + answer, reasoning: sum.reasoning + reasoning }
            })
        }
    }

    fn text_bytes(&self) -> usize {
        self.choices.iter().map(|choice| choice.text.len() + choice.reasoning.len()).sum()
    }

    /// As the client is told, and as the engine counts: exact for finished choices, the tokens seen for others.
    fn usage(&self, counted: Counted) -> (Usage, Usage) {
        let (mut shown, mut engine) = (Usage::default(), Usage::default());
        for prompt in self.choices.chunks(self.choices_per_prompt) {
            // Choices share their prompt: it is counted once.
            let at_start = prompt.iter().map(|choice| choice.prompt_tokens);
            let first = prompt.iter().filter(|choice| choice.before.is_none());
            let at_end = first.filter_map(|choice| choice.engine.as_ref()).map(|usage| u64::from(usage.prompt_tokens));
            engine.prompt_tokens += at_end.chain(at_start).max().unwrap_or_default();
            // One choice finds in the cache what another one has just read.
            engine.cached_tokens += prompt.iter().filter_map(Choice::cached_tokens).min().unwrap_or_default();
            for choice in prompt {
                let exact = choice.engine.as_ref().map(|usage| u64::from(usage.completion_tokens));
                let before = choice.before.unwrap_or_default().tokens;
                engine.completion_tokens += before + exact.unwrap_or(choice.tokens_seen);
            }
        }
        // What no replica took has used nothing.
        if !self.replica.is_empty() {
            shown.prompt_tokens = self.prompt_tokens.unwrap_or(engine.prompt_tokens);
            shown.cached_tokens = engine.cached_tokens.min(shown.prompt_tokens);
            counted.show(self.counting, &engine, &mut shown);
        }
        (shown, engine)
    }

    /// The record of the request, which is over.
    fn record(&mut self) -> Record {
        let (shown, engine) = self.usage(self.counted.unwrap_or_default());
        Record {
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.take(),
            asked: self.asked.take(),
            finish_reasons: self.choices.iter().filter_map(|choice| choice.reason).collect(),
            endpoint: self.endpoint,
            caller: self.caller.clone(),
            model: self.model.clone(),
            replica: mem::take(&mut self.replica),
            outcome: self.outcome,
            status: self.status,
            shown,
            engine,
            cost: 0,
            queued: self.queued,
            first_token: self.first_token,
            duration: self.arrived.elapsed(),
            ended: u64::try_from(now().ms).unwrap_or_default(),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let reserved = self.permit.take_reserved();
        let expected = self.expected.take();
        self.edge.metrics.open.dec();
        if self.handed_over {
            return;
        }
        self.trace.over();
        if let Some(said) = self.said.take() {
            let reasons = self.choices.iter().map(|choice| choice.reason);
            self.edge.texts.said(&self.trace, said.over(reasons));
        }
        let mut record = self.record();
        if self.counted.is_none() && !record.replica.is_empty() && self.text_bytes() > 0 {
            // What the client was sent is counted when it has it, or has left: off the network threads.
            let (counting, count) = (self.counting, self.count());
            let (edge, trace) = (self.edge.clone(), self.trace.clone());
            self.edge.running.background.spawn_blocking(move || {
                count().show(counting, &record.engine, &mut record.shown);
                record.close(&trace, &edge.metrics, reserved, expected);
            });
            return;
        }
        record.close(&self.trace, &self.edge.metrics, reserved, expected);
    }
}

//! The one record of a request: settled and counted when the request is over, and handed on to be logged and kept.

use std::{borrow::Cow, sync::Arc, time::Duration};

use cloudach_openai::{FinishReason, Usage};
use cloudach_service::trace::Trace;
use tracing::info;

use super::{
    entry::Entry,
    keeper::{Expected, Keep},
};
use crate::{
    access::{
        admission::Reserved,
        caller::Caller,
        limits::{Amounts, Usd},
    },
    catalog::{Counting, Model},
    metrics::{Endpoint, Metrics, Outcome},
    trace,
};

/// The one record of a request that is over.
#[derive(Debug)]
pub struct Record {
    pub request_id: Arc<str>,
    /// None: it is part of no trace.
    pub trace_id: Option<Box<str>>,
    /// The model by the name that the client gave it. None: its own.
    pub asked: Option<Box<str>>,
    /// Of those choices that came to their end.
    pub finish_reasons: Vec<FinishReason>,
    pub endpoint: Endpoint,
    pub caller: Arc<Caller>,
    pub model: Arc<Model>,
    /// The last replica that ran it. Empty: none did.
    pub replica: String,
    pub outcome: Outcome,
    /// What the client was told: the answer's status, or that of the error which ended its stream.
    pub status: u16,
    /// As the client was told, or would have been.
    pub shown: Usage,
    /// As the engine counted.
    pub engine: Usage,
    /// By the catalogue's prices, in billionths of a dollar.
    pub cost: u64,
    /// Until a replica ran it.
    pub queued: Option<Duration>,
    pub first_token: Option<Duration>,
    pub duration: Duration,
    /// When it was over, in milliseconds since 1970.
    pub ended: u64,
}

impl Record {
    /// The request's key's limits are charged with what it used, and it is counted: at once, as the client may ask for either next.
    /// Its line of the log and what is kept of it are written when the answer is on its way.
    pub fn close(mut self, trace: &Trace, metrics: &Metrics, reserved: Reserved, expected: Option<Expected<Self>>) {
        self.cost = self.model.prices.of_usage(&self.shown);
        let tokens = self.shown.prompt_tokens + self.shown.completion_tokens;
        reserved.settle(Amounts { tokens, cost: self.cost });
        trace::ended(trace, &self);
        metrics.ended(&self);
        if let Some(expected) = expected {
            expected.keep(self);
        }
    }

    fn entry(&self) -> Entry<'_> {
        let (shown, engine) = (self.shown, self.engine);
        let Caller { tenant, key, key_id, .. } = &*self.caller;
        Entry {
            request_id: Cow::Borrowed(&self.request_id),
            ended: self.ended,
            endpoint: self.endpoint,
            tenant: Cow::Borrowed(tenant),
            key_id: Cow::Borrowed(key_id),
            key: Cow::Borrowed(key),
            model: Cow::Borrowed(&self.model.id),
            replica: Cow::Borrowed(&self.replica),
            outcome: self.outcome,
            prompt_tokens: shown.prompt_tokens,
            cached_tokens: shown.cached_tokens,
            completion_tokens: shown.completion_tokens,
            reasoning_tokens: shown.reasoning_tokens,
            engine_prompt_tokens: engine.prompt_tokens,
            engine_cached_tokens: engine.cached_tokens,
            engine_completion_tokens: engine.completion_tokens,
            cost: self.cost,
            queue_ms: self.queued.map(millis),
            first_token_ms: self.first_token.map(millis),
            duration_ms: millis(self.duration),
        }
    }

    /// Why its choices ended, in their order.
    fn reasons(&self) -> Cow<'_, str> {
        match &*self.finish_reasons {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(one.as_str()),
            all => all.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(",").into(),
        }
    }

    fn log(&self) {
        let Caller { tenant, key, key_id, .. } = &*self.caller;
        info!(
            target: "usage",
            request_id = &*self.request_id,
            trace_id = self.trace_id.as_deref(),
            endpoint = <&str>::from(self.endpoint),
            tenant = &**tenant,
            key,
            key_id,
            asked = self.asked.as_deref().unwrap_or(&self.model.id),
            model = self.model.id,
            replica = self.replica,
            outcome = <&str>::from(self.outcome),
            status = self.status,
            finish_reasons = &*self.reasons(),
            prompt_tokens = self.shown.prompt_tokens,
            completion_tokens = self.shown.completion_tokens,
            engine_prompt_tokens = self.engine.prompt_tokens,
            engine_completion_tokens = self.engine.completion_tokens,
            cached_tokens = self.engine.cached_tokens,
            reasoning_tokens = self.shown.reasoning_tokens,
            cost_usd = f64::from(Usd::from_billionths(self.cost)),
            queue_ms = self.queued.map(millis),
            first_token_ms = self.first_token.map(millis),
            duration_ms = millis(self.duration),
            "request ended"
        );
    }
}

impl Keep for Record {
    fn tell(&self, lines: &mut Vec<u8>) {
        self.log();
        self.entry().append_to(lines);
    }
}

/// Tokens of what the client was shown, by tiktoken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub answer: u64,
    pub reasoning: u64,
}

impl Counted {
    /// Tells the client of it: of what it was shown, as it is counted for it.
    pub fn show(self, counting: Counting, engine: &Usage, shown: &mut Usage) {
        shown.completion_tokens = match counting {
            Counting::Engine => engine.completion_tokens,
            Counting::Tiktoken(_) => self.answer + self.reasoning,
        };
        shown.reasoning_tokens = self.reasoning.min(shown.completion_tokens);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The one record of a request: settled, counted, logged and handed on to be kept when the request is over.

use std::{borrow::Cow, sync::Arc, time::Duration};

use cloudach_openai::{FinishReason, Usage};
use cloudach_service::trace::Trace;
use tracing::info;

use super::{entry::Entry, keeper::Expected};
use crate::{
    access::{
        admission::Reserved,
        caller::Caller,
        limits::{Amounts, Usd},
    },
    catalog::{Counting, Model},
    metrics::{Endpoint, Metrics, Outcome},
    store::now,
    trace,
};

/// The one record of a request.
#[derive(Debug, Clone)]
pub struct Record {
    pub request_id: Arc<str>,
    /// None: it is part of no trace.
    pub trace_id: Option<String>,
    pub trace: Trace,
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
}

impl Record {
    /// The request is over: it is counted and kept, and its key's limits are charged with what it used.
    pub fn close(&mut self, metrics: &Metrics, reserved: Reserved, expected: Option<Expected>) {
        self.cost = self.model.prices.of_usage(&self.shown);
        let tokens = self.shown.prompt_tokens + self.shown.completion_tokens;
        reserved.settle(Amounts { tokens, cost: self.cost });
        self.write();
        trace::ended(self);
        metrics.ended(self);
        if let Some(expected) = expected {
            expected.keep(&self.entry());
        }
    }

    fn entry(&self) -> Entry<'_> {
        let (shown, engine) = (self.shown, self.engine);
        let Caller { tenant, key, key_id, .. } = &*self.caller;
        Entry {
            request_id: Cow::Borrowed(&self.request_id),
            ended: u64::try_from(now().ms).unwrap_or_default(),
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

    /// What the client was shown is counted.
    pub fn show(&mut self, counting: Counting, counted: Counted) {
        let completion = match counting {
            Counting::Engine => self.engine.completion_tokens,
            Counting::Tiktoken(_) => counted.answer + counted.reasoning,
        };
        self.shown.completion_tokens = completion;
        self.shown.reasoning_tokens = counted.reasoning.min(completion);
    }

    /// Why its choices ended, in their order.
    fn reasons(&self) -> String {
        self.finish_reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(",")
    }

    fn write(&self) {
        let Caller { tenant, key, key_id, .. } = &*self.caller;
        info!(
            target: "usage",
            request_id = &*self.request_id,
            trace_id = self.trace_id,
            endpoint = <&str>::from(self.endpoint),
            tenant = &**tenant,
            key,
            key_id,
            asked = self.asked.as_deref().unwrap_or(&self.model.id),
            model = self.model.id,
            replica = self.replica,
            outcome = <&str>::from(self.outcome),
            status = self.status,
            finish_reasons = self.reasons(),
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

/// Tokens of what the client was shown, by tiktoken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub answer: u64,
    pub reasoning: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

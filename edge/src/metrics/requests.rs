//! Requests: how many, how they ended, how long they took and what they used.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use cloudach_service::{
    label, label_set,
    metrics::{Exposition, FIRST_TOKEN_SECONDS, Question, REQUEST_SECONDS, TOKEN_SECONDS, WAIT_SECONDS, label::Model},
    named,
};
use foldhash::HashMap;
use parking_lot::RwLock;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::{error::Refusal, usage::Record};

/// The endpoints that engines answer.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Endpoint {
    #[default]
    ChatCompletions,
    Completions,
    Messages,
    Embeddings,
    Responses,
    Rerank,
    Score,
    Tokenize,
    Detokenize,
}

impl Endpoint {
    /// Whether it generates text.
    pub fn generates(self) -> bool {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Messages | Self::Responses => true,
            Self::Embeddings | Self::Rerank | Self::Score | Self::Tokenize | Self::Detokenize => false,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The answer is complete.
    Served,
    /// The client was told why not.
    Failed,
    /// The client left first.
    #[default]
    Abandoned,
}

label!(Endpoint, Outcome);

named! {
    struct Status(u16) = "an error's status of HTTP";
    struct Code(&'static str) = "an error's code or type, of those that the gateway has";
}

label_set! {
    struct RequestLabels { endpoint: Endpoint, model: Model, outcome: Outcome }
    pub(super) struct ModelLabel { pub(super) model: Model }
    struct EndLabels { model: Model, outcome: Outcome }
    struct FailureLabels { model: Model, status: Status }
    struct RefusalLabels { status: Status, code: Code }
}

type Seconds<L> = Family<L, Histogram>;

/// What is counted of requests.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    prompt_tokens: Family<ModelLabel, Counter>,
    cached_tokens: Family<ModelLabel, Counter>,
    completion_tokens: Family<ModelLabel, Counter>,
    first_token: Seconds<ModelLabel>,
    per_token: Seconds<ModelLabel>,
    queued: Seconds<ModelLabel>,
    duration: Seconds<EndLabels>,
    /// Those of each model whose requests have ended, looked up once for each of them: by all of its labels, each of ten families
    /// would be asked for its own at the end of each request. As many as the families have: those that catalogues name.
    by_model: Arc<RwLock<HashMap<String, Arc<OfModel>>>>,
}

/// A model's own, those that have something to tell.
#[derive(Debug)]
struct OfModel {
    ends: [[OnceLock<Counter>; Outcome::VARIANTS.len()]; Endpoint::VARIANTS.len()],
    duration: [OnceLock<Histogram>; Outcome::VARIANTS.len()],
    prompt_tokens: Counter,
    cached_tokens: Counter,
    completion_tokens: Counter,
    first_token: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
    queued: OnceLock<Histogram>,
}

impl RequestMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self {
            requests: Family::default(),
            failures: Family::default(),
            refused: Family::default(),
            prompt_tokens: Family::default(),
            cached_tokens: Family::default(),
            completion_tokens: Family::default(),
            first_token: Family::new_with_constructor(|| Histogram::new(FIRST_TOKEN_SECONDS)),
            per_token: Family::new_with_constructor(|| Histogram::new(TOKEN_SECONDS)),
            queued: Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
            duration: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            by_model: Arc::default(),
        };
        page.add("requests", "Requests of a model that ended, by outcome", &metrics.requests)
            .add("request_failures", "Those of them that failed, by what their client was told", &metrics.failures)
            .add_in(&Unit::Seconds, "request_duration", "From the request's arrival to its end", &metrics.duration)
            .add_in(
                &Unit::Seconds,
                "time_to_first_token",
                "From the request's arrival to its first token",
                &metrics.first_token,
            )
            .add_in(
                &Unit::Seconds,
                "time_per_output_token",
                "The mean time between a served request's tokens, once for each request, at its end: from its first token to its end, through the tokens behind the first",
                &metrics.per_token,
            )
            .add_in(&Unit::Seconds, "request_queue", "From the request's arrival until a replica ran it", &metrics.queued)
            .add("prompt_tokens", "Prompt tokens as clients are told", &metrics.prompt_tokens)
            .add("cached_tokens", "Those of them that the engine had read before", &metrics.cached_tokens)
            .add("completion_tokens", "Completion tokens as clients are told", &metrics.completion_tokens);
        page.answering(Question::Refusals).add(
            "requests_refused",
            "Requests that no model was asked for: no key, a limit that is reached, what makes no sense, or nobody to ask",
            &metrics.refused,
        );
        metrics
    }

    pub(super) fn ended(&self, record: &Record) {
        let (endpoint, outcome) = (record.endpoint, record.outcome);
        let label = || ModelLabel { model: Model(record.model.id.clone()) };
        let of_model = self.of_model(&record.model.id);
        let ends = of_model.ends[endpoint as usize][outcome as usize].get_or_init(|| {
            self.requests.get_or_create_owned(&RequestLabels { endpoint, model: label().model, outcome })
        });
        ends.inc();
        if outcome == Outcome::Failed {
            let labels = FailureLabels { model: label().model, status: Status(record.status) };
            self.failures.get_or_create(&labels).inc();
        }
        let duration = of_model.duration[outcome as usize]
            .get_or_init(|| self.duration.get_or_create_owned(&EndLabels { model: label().model, outcome }));
        duration.observe(record.duration.as_secs_f64());
        of_model.prompt_tokens.inc_by(record.shown.prompt_tokens);
        of_model.cached_tokens.inc_by(record.shown.cached_tokens);
        of_model.completion_tokens.inc_by(record.shown.completion_tokens);
        let observe = |seconds: &OnceLock<Histogram>, family: &Seconds<ModelLabel>, time| {
            seconds.get_or_init(|| family.get_or_create_owned(&label())).observe(time);
        };
        if let Some(time) = record.first_token {
            observe(&of_model.first_token, &self.first_token, time.as_secs_f64());
        }
        if let Some(time) = record.queued {
            observe(&of_model.queued, &self.queued, time.as_secs_f64());
        }
        if outcome == Outcome::Served
            && let Some(first) = record.first_token
            && let Some(time) =
                per_token(record.duration, first, record.engine.completion_tokens, record.finish_reasons.len())
        {
            observe(&of_model.per_token, &self.per_token, time);
        }
    }

    fn of_model(&self, id: &str) -> Arc<OfModel> {
        if let Some(found) = self.by_model.read().get(id) {
            return found.clone();
        }
        let label = ModelLabel { model: Model(id.to_owned()) };
        let new = OfModel {
            ends: Default::default(),
            duration: Default::default(),
            prompt_tokens: self.prompt_tokens.get_or_create_owned(&label),
            cached_tokens: self.cached_tokens.get_or_create_owned(&label),
            completion_tokens: self.completion_tokens.get_or_create_owned(&label),
            first_token: OnceLock::new(),
            per_token: OnceLock::new(),
            queued: OnceLock::new(),
        };
        self.by_model.write().entry(id.to_owned()).or_insert_with(|| Arc::new(new)).clone()
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let labels =
            RefusalLabels { status: Status(refusal.status.as_u16()), code: Code(refusal.code.unwrap_or(refusal.kind)) };
        self.refused.get_or_create(&labels).inc();
    }
}

/// The mean time between the tokens of a choice, in seconds. None: there were not two.
fn per_token(duration: Duration, first_token: Duration, tokens: u64, choices: usize) -> Option<f64> {
    let choices = u32::try_from(choices.max(1)).ok()?;
    // Choices are written at once, each with as many as the others, about.
    let behind = tokens.checked_sub(choices.into()).filter(|&behind| behind > 0)?;
    let behind = f64::from(u32::try_from(behind).unwrap_or(u32::MAX));
    Some(duration.saturating_sub(first_token).as_secs_f64() * f64::from(choices) / behind)
}

/// One that is open until this is dropped.
#[derive(Debug)]
pub struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    /// Counted by this gauge.
    pub fn count(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_by_the_tokens_behind_the_first() {
        let (whole, first) = (Duration::from_millis(1100), Duration::from_millis(100));
        let cases = [
            ((11, 1), Some(0.1)),
            // Two at once, each of eleven.
            ((22, 2), Some(0.1)),
            ((11, 0), Some(0.1)),
            ((1, 1), None),
            ((0, 1), None),
            ((2, 2), None),
        ];
        for ((tokens, choices), expected) in cases {
            let found = per_token(whole, first, tokens, choices);
            let near = |expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-9);
            assert!(expected.map_or(found.is_none(), near), "{tokens} {choices}: {found:?}");
        }
        assert_eq!(per_token(first, whole, 2, 1), Some(0.0), "clocks do not run backwards");
    }
}

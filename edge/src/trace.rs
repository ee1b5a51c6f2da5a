//! What spans say of requests: OpenTelemetry's words for HTTP and generative AI, and this gateway's own.

use std::borrow::Cow;

use axum::{
    extract::{MatchedPath, Request},
    http::{Extensions, Method, StatusCode, header},
};
use cloudach_openai::Sampling;
use cloudach_service::trace::{
    Array, Context, KeyValue, Span, SpanKind, State, StringValue, Trace, Tracer, Value,
    names::{self, event},
};

use crate::{
    access::{
        caller::Caller,
        limits::{Ask, Cost, Exceeded, Measure, Usd},
    },
    error::{ApiError, Refusal},
    metrics::{Endpoint, Outcome},
    usage::{Metered, Record},
};

/// The gateway, as the system that generates.
const PROVIDER: &str = "cloudach";

/// A request has come.
pub fn arrived(tracer: &Tracer, request: &Request, parent: Option<Context>, state: &State) -> Trace {
    let method = method(request.method());
    let trace = tracer.begin(SpanKind::Server, parent, state, || Cow::Borrowed(method));
    if !trace.is_on() {
        return trace;
    }
    trace.set(names::HTTP_METHOD, method);
    trace.set(names::URL_SCHEME, "http");
    trace.set_text(names::URL_PATH, request.uri().path());
    if let Some(agent) = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        trace.set_text(names::USER_AGENT, agent);
    }
    trace
}

/// The request is one for the route that it was matched with.
pub fn matched(trace: &Trace, of: &Method, extensions: &Extensions) {
    if let Some(route) = extensions.get::<MatchedPath>() {
        routed(trace, of, route.as_str());
    }
}

/// The request is one for this route.
pub fn routed(trace: &Trace, of: &Method, route: &str) {
    if trace.is_on() {
        trace.rename(|| format!("{} {route}", method(of)));
        trace.set(names::HTTP_ROUTE, route.to_owned());
    }
}

/// Those that are known, so that nobody fills a collector with names.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// The head of the answer is on its way. What is the client's doing is no failure of the request here, as HTTP's
/// conventions have it.
pub fn answered(trace: &Trace, status: StatusCode, refusal: Option<&Refusal>) {
    if !trace.is_on() {
        return;
    }
    trace.set(names::HTTP_STATUS, i64::from(status.as_u16()));
    if status.is_server_error() {
        let failure = refusal.and_then(|refusal| refusal.failure.as_deref());
        trace.fail(status.as_str(), failure.unwrap_or_default());
    } else if status.is_client_error() {
        trace.set(names::ERROR_TYPE, status.as_str().to_owned());
    }
    if let Some(Refusal { kind, code, param, .. }) = refusal {
        trace.set(names::ERROR_CODE, code.unwrap_or(kind));
        if let Some(param) = param {
            trace.set_text(names::ERROR_PARAM, param);
        }
    }
}

/// The kind of an error, and what operators may read of it.
pub fn told(error: &ApiError) -> (&'static str, &str) {
    match error {
        ApiError::Upstream(failed) => (failed.kind(), failed.for_operators()),
        _ => ("not_sent", ""),
    }
}

/// The stream broke after its head was sent.
pub fn broken(trace: &Trace, error: &ApiError) {
    if trace.is_on() {
        let (kind, message) = told(error);
        trace.fail(kind, message);
    }
}

/// It is known who asks.
pub fn known(trace: &Trace, step: &mut Span, caller: &Caller) {
    if trace.is_on() {
        trace.set(names::KEY_ID, caller.key_id.clone());
        trace.set_text(names::TENANT, &caller.tenant);
        step.set(names::KEY_ID, caller.key_id.clone());
    }
}

/// So much is asked of limits.
pub fn reserving(step: &mut Span, ask: &Ask) {
    if step.is_on() {
        step.set(names::RESERVED_TOKENS, int(ask.amounts.tokens));
        step.set(names::RESERVED_USD, f64::from(Usd::from_billionths(ask.amounts.cost)));
        step.set(names::RESERVED_SCOPES, strings(ask.scopes.iter().map(|scope| scope.name.clone())));
    }
}

/// And one of them has not so much left.
pub fn exceeded(step: &mut Span, exceeded: &Exceeded) {
    if step.is_on() {
        let limit = match exceeded.measure {
            Measure::RequestsPerMinute => "requests_per_minute",
            Measure::TokensPerMinute => "tokens_per_minute",
            Measure::RequestsPerDay => "requests_per_day",
            Measure::TokensPerDay => "tokens_per_day",
            Measure::Concurrent => "concurrent_requests",
            Measure::Budget => "budget",
        };
        step.set(names::LIMIT, limit);
        step.fail("limit", &format!("{} of {} asked for", exceeded.requested, exceeded.limit));
    }
}

/// The prompt for a model is made.
pub fn rendered(step: &mut Span, model: &str, cost: &Cost) {
    if step.is_on() {
        step.set(names::MODEL, model.to_owned());
        step.set(names::PROMPT_BYTES, int(cost.prompt_bytes as u64));
        step.set_some(names::PROMPT_TOKENS, cost.prompt_tokens.map(int));
    }
}

/// It is known what is asked of which model, and within which limits.
pub fn begun(metered: &Metered<'_>) {
    let trace = &metered.arrival.trace;
    if !trace.is_on() {
        return;
    }
    let operation = match metered.endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages | Endpoint::Responses => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => "embeddings",
        // The conventions have no names for these.
        Endpoint::Rerank => "rerank",
        Endpoint::Score => "score",
        Endpoint::Tokenize => "tokenize",
        Endpoint::Detokenize => "detokenize",
    };
    trace.rename(|| format!("{operation} {}", metered.model.id));
    trace.set(names::OPERATION, operation);
    trace.set(names::PROVIDER, PROVIDER);
    trace.set_text(names::MODEL_ASKED, metered.asked);
    trace.set(names::MODEL_SERVED, metered.model.id.clone());
    if let Some(tokens) = metered.max_tokens {
        trace.set(names::MAX_TOKENS, i64::from(tokens));
    }
}

/// How tokens are to be chosen, and how many choices there are.
pub fn sampling(trace: &Trace, sampling: &Sampling, choices: u32, streamed: bool) {
    if !trace.is_on() {
        return;
    }
    trace.set(names::STREAM, streamed);
    if choices > 1 {
        trace.set(names::CHOICES, i64::from(choices));
    }
    for (name, value) in [(names::TEMPERATURE, sampling.temperature), (names::TOP_P, sampling.top_p)] {
        if let Some(value) = value {
            trace.set(name, f64::from(value));
        }
    }
    if let Some(seed) = sampling.seed {
        trace.set(names::SEED, seed);
    }
}

/// The next model of the route is asked.
pub fn fell_back(trace: &Trace, from: &str, to: &str, error: &ApiError) {
    trace.event(event::FALLBACK, || {
        let told = [("from", from.to_owned()), ("to", to.to_owned()), (names::MESSAGE, error.to_string())];
        told.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect()
    });
}

/// The request is over, and this is what it used.
pub fn ended(trace: &Trace, record: &Record) {
    if !trace.is_on() {
        return;
    }
    let shown = &record.shown;
    trace.set(names::INPUT_TOKENS, int(shown.prompt_tokens));
    trace.set(names::OUTPUT_TOKENS, int(shown.completion_tokens));
    trace.set(names::CACHED_TOKENS, int(shown.cached_tokens));
    trace.set(names::REASONING_TOKENS, int(shown.reasoning_tokens));
    trace.set(names::ENGINE_PROMPT_TOKENS, int(record.engine.prompt_tokens));
    trace.set(names::ENGINE_COMPLETION_TOKENS, int(record.engine.completion_tokens));
    if !record.finish_reasons.is_empty() {
        let reasons = record.finish_reasons.iter().map(|reason| reason.as_str());
        trace.set(names::FINISH_REASONS, strings(reasons));
    }
    if !record.replica.is_empty() {
        trace.set(names::REPLICA, record.replica.clone());
    }
    if let Some(first_token) = record.first_token {
        trace.set(names::FIRST_CHUNK, first_token.as_secs_f64());
    }
    trace.set(names::COST_USD, f64::from(Usd::from_billionths(record.cost)));
    trace.set(
        names::OUTCOME,
        match record.outcome {
            Outcome::Served => "served",
            Outcome::Failed => "failed",
            Outcome::Abandoned => "abandoned",
        },
    );
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn strings(texts: impl Iterator<Item = impl Into<StringValue>>) -> Value {
    Value::Array(Array::String(texts.map(Into::into).collect()))
}

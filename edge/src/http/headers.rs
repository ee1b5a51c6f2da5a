//! The headers that answers bear. How far a request came decides which: OpenAI's outermost layer adds none but the id
//! (counted over the recordings).

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use cloudach_service::trace::Trace;

use super::idempotent::Replayed;
use crate::{
    access::{
        account::Account,
        limits::{GoDuration, Level, Standing},
    },
    catalog::Routed,
    error::Dialect,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const VERSION: HeaderName = HeaderName::from_static("openai-version");
const PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
const ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const PROJECT: HeaderName = HeaderName::from_static("openai-project");
const MODEL: HeaderName = HeaderName::from_static("openai-model");
/// Why the replica was picked, for who asks.
const PICK: HeaderName = HeaderName::from_static("x-cloudach-pick");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const ROUTED: HeaderName = HeaderName::from_static("x-cloudach-model");

/// The API version that OpenAI's answers name.
const API_VERSION: HeaderValue = HeaderValue::from_static("2020-10-01");

/// What of a name fits into a header, in characters.
const MOST_LABEL: usize = 256;

/// How many headers are added at most, so that room is made once.
const MOST: usize = 16;

/// How far a request came. Each step adds headers to those of the steps before. A response carries it as an extension;
/// without one the request came all the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Turned away at the gate: `x-request-id`.
    Gate,
    /// The list of models: `openai-version` and `openai-processing-ms`.
    Models,
    /// A model was looked up for the caller: `openai-organization`.
    Account,
    /// What generates and embeds: `openai-project`, and `x-ratelimit-*` once limits were looked at.
    Engine,
}

/// A body of JSON, with room for the headers that follow.
pub fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    let mut headers = HeaderMap::with_capacity(MOST);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}

/// Adds the headers of an answer that took `time`.
pub fn add(response: &mut Response, request_id: &str, time: Duration, account: &Account) {
    let reach = response.extensions().get().copied().unwrap_or(Reach::Engine);
    let replayed = response.extensions_mut().remove::<Replayed>();
    let request_id = replayed.as_ref().map_or(request_id, |replayed| &replayed.0);
    let headers = response.headers_mut();
    headers.reserve(MOST);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if reach >= Reach::Models {
        headers.insert(VERSION, API_VERSION);
        headers.insert(PROCESSING, number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    }
    let Some(caller) = account.caller() else { return };
    if reach >= Reach::Account {
        headers.insert(ORGANIZATION, caller.organization.clone());
    }
    if reach >= Reach::Engine {
        headers.insert(PROJECT, caller.project.clone());
        if let Some(standing) = account.standing() {
            add_limits(headers, &standing);
        }
    }
}

/// Gives the request's id under the name that Anthropic's clients look for.
pub fn name_request(response: &mut Response, dialect: Dialect) {
    if dialect == Dialect::Anthropic
        && let Some(id) = response.headers().get(REQUEST_ID).cloned()
    {
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
    }
}

/// Says which trace the request is part of, and as which of its spans, where there is one.
pub fn name_trace(response: &mut Response, trace: &Trace) {
    let Some(context) = trace.context() else { return };
    let headers = response.headers_mut();
    for (name, text) in [(TRACEPARENT, context.to_string()), (TRACE_ID, context.trace_id.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

/// Names the model, as completions and embeddings do.
pub fn name_model(mut response: Response, model: &str) -> Response {
    if let Some(model) = header_value(model) {
        response.headers_mut().insert(MODEL, model);
    }
    response
}

/// Says why the replica was picked, to who asks.
pub fn name_picked(mut response: Response, picked: Option<&str>) -> Response {
    if let Some(picked) = picked.and_then(header_value) {
        response.headers_mut().insert(PICK, picked);
    }
    response
}

/// Names the model that a route led to.
pub fn name_routed(mut response: Response, routed: &Routed) -> Response {
    if let Some(model) = routed.route.as_ref().and_then(|_| header_value(&routed.model.id)) {
        response.headers_mut().insert(ROUTED, model);
    }
    response
}

/// What of a text a header can carry: its printable ASCII. None: nothing.
pub fn header_value(text: &str) -> Option<HeaderValue> {
    let fit: String = text.chars().filter(|c| matches!(c, ' '..='~')).take(MOST_LABEL).collect();
    let fit = fit.trim();
    HeaderValue::from_str(fit).ok().filter(|value| !value.is_empty())
}

/// The same as `HeaderValue::from`, which makes two pieces of memory of it.
fn number(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or(HeaderValue::from_static("0"))
}

fn add_limits(headers: &mut HeaderMap, standing: &Standing) {
    const REQUESTS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ];
    const TOKENS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ];
    let mut add = |[limit, remaining, reset]: [HeaderName; 3], level: Option<&Level>| {
        let Some(level) = level else { return };
        headers.insert(limit, number(level.limit));
        headers.insert(remaining, number(level.remaining));
        if let Ok(duration) = HeaderValue::from_str(&GoDuration(level.reset).to_string()) {
            headers.insert(reset, duration);
        }
    };
    add(REQUESTS, standing.requests.as_ref());
    add(TOKENS, standing.tokens.as_ref());
}

//! A request's arrival: its id, its time, and the trace it belongs to.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, request::Parts},
    response::Response,
};
use cloudach_openai::ids;
use cloudach_service::trace::{Context, State as TraceState, Trace, names};

use tracing::{debug, info};

use super::headers;
use crate::{
    Edge,
    access::{
        account::Account,
        caller::Caller,
        limits::{Amounts, Ask},
    },
    error::{self, ApiError, Dialect, Refusal, Words},
    trace,
};

/// The name of a session is no longer than this many bytes.
const SESSION_BYTES: usize = 256;

/// When a request came, and what it is called.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// `req_` and 32 hexadecimal digits.
    pub request_id: Arc<str>,
    pub at: Instant,
    /// Seconds since 1970.
    pub unix: u64,
    /// W3C trace context, as it is passed on: this edge's own, or where it traces nothing the client's. Empty: there is none.
    pub traceparent: String,
    pub tracestate: String,
    /// What the request does here.
    pub trace: Trace,
    /// The header `x-session-id`: what the client calls the conversation that this request is of. One that is too long or
    /// not of visible ASCII is some other tool's, and passed over.
    pub session: Option<String>,
    /// The header `x-cloudach-explain: 1`: the client wants to know why its replica was picked.
    pub explain: bool,
}

impl Arrival {
    fn of(edge: &Edge, request: &Request) -> Self {
        let headers = request.headers();
        let parent = parent(headers);
        let state = parent.map(|_| state(headers)).unwrap_or_default();
        let trace = trace::arrived(&edge.tracer, request, parent, &state);
        let passed_on = trace.context().or(parent);
        let request_id: Arc<str> = ids::request(random()).into();
        trace.set_text(names::REQUEST_ID, &request_id);
        Self {
            request_id,
            at: Instant::now(),
            unix: now_unix(),
            traceparent: passed_on.map(|context| context.to_string()).unwrap_or_default(),
            tracestate: state.header(),
            trace,
            session: headers.get("x-session-id").and_then(session),
            explain: headers.get("x-cloudach-explain").is_some_and(|value| value == "1"),
        }
    }
}

/// The trace that the client's request is part of. Several are none.
fn parent(headers: &HeaderMap) -> Option<Context> {
    let mut named = headers.get_all("traceparent").iter();
    let parent = named.next().filter(|_| named.next().is_none())?;
    Context::parse(parent.to_str().ok()?)
}

fn state(headers: &HeaderMap) -> TraceState {
    let lines = headers.get_all("tracestate").iter().map(HeaderValue::to_str).collect::<Result<Vec<_>, _>>();
    lines.map(|lines| TraceState::parse(&lines.join(","))).unwrap_or_default()
}

fn session(value: &HeaderValue) -> Option<String> {
    let is_name = (1..=SESSION_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    value.to_str().ok().filter(|_| is_name).map(str::to_owned)
}

impl Arrival {
    /// The id of its trace, for logs.
    pub fn trace_id(&self) -> Option<&str> {
        cloudach_service::trace::trace_id(&self.traceparent)
    }

    /// By what a request is given to one of the models of a route: its session, or itself where it has none.
    pub fn routing_key(&self, tenant: &str) -> Cow<'_, str> {
        match &self.session {
            Some(session) => format!("{tenant} {session}").into(),
            None => Cow::Borrowed(&self.request_id),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Arrival {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.remove().ok_or(ApiError::Internal("the request was not stamped"))
    }
}

/// Seconds since 1970.
pub fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Random bytes for an id, which nobody can guess, from this thread's generator: asking the system takes a system call each time.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

/// On a request that the gateway makes itself: for whom. Nothing that comes by a connection bears it.
#[derive(Debug, Clone)]
pub struct OnBehalf(pub Arc<Caller>);

/// A request that was refused for what it is counts too, as at OpenAI, or trying again without end would cost nothing.
async fn count_refused(edge: &Edge, account: &Account) {
    let Some(caller) = account.take_uncounted() else { return };
    let ask = Ask { tenant: caller.tenant.clone(), scopes: caller.scopes(None), amounts: Amounts::default() };
    account.note_standing(edge.limiter.count(&ask).await.standing);
}

/// The line of a request that came to no record. Nobody fills the log without a key.
fn note_refused(words: &Words<'_>, refusal: &Refusal, took: Duration, caller: Option<&Caller>) {
    let (request_id, trace_id, status) = (words.request_id, words.trace_id, refusal.status.as_u16());
    let (code, param) = (refusal.code, refusal.param.as_deref());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match caller {
        Some(Caller { tenant, key, key_id, .. }) => info!(
            target: "usage",
            request_id, trace_id, tenant = &**tenant, key, key_id, status, code, param, duration_ms, "request refused"
        ),
        None => debug!(target: "usage", request_id, trace_id, status, code, duration_ms, "request refused"),
    }
}

/// Gives the request its [`Arrival`], a refusal its words, and every answer its headers.
pub async fn stamp<F: Future<Output = Response>>(
    edge: &Edge,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let arrival = Arrival::of(edge, &request);
    let account = Account::new(arrival.trace.clone());
    if let Some(OnBehalf(caller)) = request.extensions_mut().remove() {
        account.note_caller(caller);
    }
    let (id, at, trace, traceparent) =
        (arrival.request_id.clone(), arrival.at, arrival.trace.clone(), arrival.traceparent.clone());
    request.extensions_mut().insert(arrival);
    request.extensions_mut().insert(account.clone());
    let trace_id = cloudach_service::trace::trace_id(&traceparent);
    let words = Words { links: &edge.config.links, request_id: &id, trace_id };
    let dialect = Dialect::of(request.uri().path());
    let response = next(request).await;
    count_refused(edge, &account).await;
    let refusal = error::refusal(&response, &words);
    let mut response = error::put_into_words(response, &words, dialect);
    if let Some(refusal) = refusal.as_ref().filter(|_| !account.is_recorded()) {
        let caller = account.caller();
        edge.metrics.refused(refusal, caller.as_ref().map(|caller| &*caller.tenant));
        note_refused(&words, refusal, at.elapsed(), caller.as_deref());
    }
    trace::answered(&trace, response.status(), refusal.as_ref());
    headers::add(&mut response, &id, at.elapsed(), &account);
    headers::name_request(&mut response, dialect);
    headers::name_trace(&mut response, &trace);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_short_visible_names() {
        let long = "x".repeat(SESSION_BYTES);
        for name in ["a", "4f1c-77", long.as_str()] {
            assert_eq!(session(&HeaderValue::from_str(name).unwrap()).as_deref(), Some(name));
        }
        for other in ["", "two words", "tab\t", "\u{fc}ber", &format!("{long}x")] {
            assert_eq!(session(&HeaderValue::from_bytes(other.as_bytes()).unwrap()), None, "{other}");
        }
    }
}

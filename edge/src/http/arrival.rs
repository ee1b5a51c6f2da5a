//! A request's arrival: its id, its time, and the trace it belongs to.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use cloudach_openai::ids;

use super::headers;
use crate::{
    Edge,
    access::{
        account::Account,
        caller::Caller,
        limits::{Amounts, Ask},
    },
    error::{self, ApiError, Dialect, Words},
};

/// A trace header longer than this many bytes is not passed on.
const TRACE_BYTES: usize = 512;

/// The name of a session is no longer than this many bytes.
const SESSION_BYTES: usize = 256;

/// When a request came, and what it is called.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// `req_` and 32 hexadecimal digits.
    pub request_id: String,
    pub at: Instant,
    /// Seconds since 1970.
    pub unix: u64,
    /// W3C trace context, as it came.
    pub traceparent: String,
    pub tracestate: String,
    /// The header `x-session-id`: what the client calls the conversation that this request is of. One that is too long or
    /// not of visible ASCII is some other tool's, and passed over.
    pub session: Option<String>,
    /// The header `x-cloudach-explain: 1`: the client wants to know why its replica was picked.
    pub explain: bool,
}

impl Arrival {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            value.filter(|text| text.len() <= TRACE_BYTES).unwrap_or_default().to_owned()
        };
        Self {
            request_id: ids::request(random()),
            at: Instant::now(),
            unix: now_unix(),
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
            session: headers.get("x-session-id").and_then(session),
            explain: headers.get("x-cloudach-explain").is_some_and(|value| value == "1"),
        }
    }
}

fn session(value: &HeaderValue) -> Option<String> {
    let is_name = (1..=SESSION_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    value.to_str().ok().filter(|_| is_name).map(str::to_owned)
}

impl Arrival {
    /// By what a request is given to one of the models of a route: its session, or itself where it has none.
    pub fn routing_key(&self, tenant: &str) -> String {
        match &self.session {
            Some(session) => format!("{tenant} {session}"),
            None => self.request_id.clone(),
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

/// Random bytes for an id.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The system's generator fails only where nothing works any more; ids need not be secret.
    let _ = getrandom::fill(&mut bytes);
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

/// Gives the request its [`Arrival`], a refusal its words, and every answer its headers.
pub async fn stamp(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let (arrival, account) = (Arrival::of(request.headers()), Account::default());
    let (id, at) = (arrival.request_id.clone(), arrival.at);
    if let Some(OnBehalf(caller)) = request.extensions_mut().remove() {
        account.note_caller(caller);
    }
    request.extensions_mut().insert(arrival);
    request.extensions_mut().insert(account.clone());
    let words = Words { links: &edge.config.links, request_id: &id };
    let dialect = Dialect::of(request.uri().path());
    let response = next.run(request).await;
    count_refused(&edge, &account).await;
    let mut response = error::put_into_words(response, &words, dialect);
    headers::add(&mut response, &id, at.elapsed(), &account);
    headers::name_request(&mut response, dialect);
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

//! A request's arrival: its id, its time, and the trace it belongs to.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use cloudach_openai::ids;

use crate::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
const VERSION: HeaderName = HeaderName::from_static("openai-version");

/// The API version that OpenAI's answers name.
const API_VERSION: HeaderValue = HeaderValue::from_static("2020-10-01");

/// A trace header longer than this many bytes is not passed on.
const TRACE_BYTES: usize = 512;

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
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Arrival {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.remove().ok_or(ApiError::Internal("the request was not stamped"))
    }
}

/// Random bytes for an id.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The system's generator fails only where nothing works any more; ids need not be secret.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

/// Gives the request its [`Arrival`] and the response the headers that every answer of OpenAI bears.
pub async fn stamp(mut request: Request, next: Next) -> Response {
    let arrival = Arrival::of(request.headers());
    let id = HeaderValue::from_str(&arrival.request_id);
    let at = arrival.at;
    request.extensions_mut().insert(arrival);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(PROCESSING, HeaderValue::from(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)));
    headers.insert(VERSION, API_VERSION);
    response
}

//! Requests with an `Idempotency-Key`: run once, and answered again with the same bytes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_stream::stream;
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tracing::info;

use super::{arrival::Arrival, body::Whole};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller},
    error::ApiError,
    idempotency::{
        Claim, Place, Turn,
        kept::{Head, Kept},
        key::{IDEMPOTENCY_KEY, Key, fingerprint},
    },
    trace,
};

/// As at Stripe.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Whether a stream came to its good end: on its response, set with the last bytes.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    /// The stream is complete with the bytes that follow.
    pub fn is_good(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn was_good(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// On an answer that is given again: the request that ran.
#[derive(Debug, Clone)]
pub struct Replayed(pub String);

/// What is run once: what generates, embeds and scores. Elsewhere the header says nothing.
const ONCE: [&str; 10] = [
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/v1/responses",
];

/// Lets a request through that has no key, else once.
pub async fn once<F: Future<Output = Response>>(
    edge: &Edge,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let is_named = request.headers().contains_key(IDEMPOTENCY_KEY) && edge.idempotency.is_on();
    if !is_named || request.method() != Method::POST || !ONCE.contains(&request.uri().path()) {
        return next(request).await;
    }
    // In a box: most requests hold no room for it.
    Box::pin(run_once(edge, request, next)).await.into_response()
}

async fn run_once<F: Future<Output = Response>>(
    edge: &Edge,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let arrival =
        parts.extensions.get::<Arrival>().cloned().ok_or(ApiError::Internal("the request was not stamped"))?;
    // An answer that is given again comes to no route.
    trace::routed(&arrival.trace, &parts.method, parts.uri.path());
    let caller = Arc::<Caller>::from_request_parts(&mut parts, edge).await?;
    let permit = Permit::from_request_parts(&mut parts, edge).await?;
    let key = Key::of(&parts.headers).map_err(|_| ApiError::InvalidIdempotencyKey)?;
    let Whole(body) = Whole::from_request(Request::from_parts(parts.clone(), body), edge).await?;
    let place = Place { tenant: caller.tenant.to_string(), slot: key.slot(&caller.key_id, parts.uri.path()) };
    let claim = match edge.idempotency.claim(place, &fingerprint(&body), &arrival).await {
        Turn::Run(claim) => claim,
        Turn::Replay(kept) => {
            info!(
                request_id = &*arrival.request_id,
                trace_id = arrival.trace_id(),
                replayed = kept.head.request_id,
                "answered again"
            );
            return Ok(replay(kept));
        }
        Turn::InUse => return Err(ApiError::IdempotencyKeyInUse),
        Turn::Reused => return Err(ApiError::IdempotencyKeyReused),
    };
    // The handler takes the same place.
    parts.extensions.insert(permit.place());
    drop(permit);
    let response = next(Request::from_parts(parts, Body::from(body))).await;
    record(response, claim).await
}

fn replay(kept: Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.headers_mut() = kept.head.headers();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(Replayed(kept.head.request_id));
    response
}

/// The response, which is kept when it has been given whole and well.
async fn record(response: Response, claim: Claim) -> Result<Response, ApiError> {
    // Whoever asks again after this answer runs, or gets it.
    if response.status() != StatusCode::OK {
        let _ = claim.release().await;
        return Ok(response);
    }
    let head = Head::new(claim.request_id().to_owned(), response.headers());
    if let Some(ending) = response.extensions().get::<Ending>().cloned() {
        let recording = Recording { claim: Some(claim), head, ending, bytes: Vec::new(), too_large: false };
        return Ok(response.map(|body| record_stream(body, recording)));
    }
    let (parts, body) = response.into_parts();
    if body.size_hint().lower() > claim.most_bytes() as u64 {
        claim.count_too_large();
        let _ = claim.release().await;
        return Ok(Response::from_parts(parts, body));
    }
    // It is whole already.
    let whole = body.collect().await.map_err(|_| ApiError::Internal("a whole answer broke"))?.to_bytes();
    let _ = claim.keep(head.with(&whole)).await;
    Ok(Response::from_parts(parts, Body::from(whole)))
}

/// A stream on its way to the client, and what has passed of it.
struct Recording {
    /// None: it is given back or used.
    claim: Option<Claim>,
    head: Head,
    ending: Ending,
    bytes: Vec<u8>,
    /// It goes on, and is not kept; nor does another run while it does.
    too_large: bool,
}

impl Recording {
    fn push(&mut self, bytes: &[u8]) {
        let Some(claim) = &self.claim else { return };
        if self.bytes.len() + bytes.len() <= claim.most_bytes() {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.bytes = Vec::new();
        self.too_large = true;
    }

    /// Keeps what came to its good end, and gives back the claim of what did not.
    fn end(&mut self) -> Option<JoinHandle<()>> {
        let claim = self.claim.take()?;
        if self.too_large {
            claim.count_too_large();
        }
        let is_whole = self.ending.was_good() && !self.too_large;
        Some(if is_whole { claim.keep(self.head.with(&self.bytes)) } else { claim.release() })
    }
}

impl Drop for Recording {
    /// Who leaves with the last byte had the whole stream all the same.
    fn drop(&mut self) {
        self.end();
    }
}

fn record_stream(body: Body, mut recording: Recording) -> Body {
    let mut chunks = body.into_data_stream();
    Body::from_stream(stream! {
        while let Some(chunk) = chunks.next().await {
            if let Ok(bytes) = &chunk {
                recording.push(bytes);
            }
            yield chunk;
        }
        // Whoever asks again after this answer gets it, or runs.
        if let Some(done) = recording.end() {
            let _ = done.await;
        }
    })
}

//! llama.cpp's HTTP surface, as its server speaks it natively.

mod completion;
mod embeddings;
mod errors;
mod info;
mod request;
mod rerank;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::engine::Shared;
use crate::fault::Trouble;
use crate::fields::Fields;
use crate::reply::{Call, Reply, Whole};
use crate::script::Script;
use errors::Refusal;

/// What all of this dialect's endpoints are given.
struct Context<'a> {
    call: &'a Call,
    script: &'a Script,
    shared: &'a Arc<Shared>,
}

pub(crate) fn route(call: &Call, script: &Script, shared: &Arc<Shared>) -> Reply {
    let context = Context { call, script, shared };
    dispatch(&context).unwrap_or_else(|refusal| refusal.answer().into())
}

/// What is answered when a request is ordered to fail with this status.
pub(crate) fn failure(status: StatusCode) -> Whole {
    Refusal::Ordered(status).answer()
}

/// What is answered in this trouble.
pub(crate) fn complaint(trouble: Trouble, context: u32) -> Whole {
    Refusal::in_trouble(trouble, context).answer()
}

fn dispatch(context: &Context<'_>) -> Result<Reply, Refusal> {
    if context.shared.ready_at > Instant::now() {
        return Err(Refusal::Loading);
    }
    let path = context.call.path.as_str();
    if context.call.method == Method::GET {
        let answer = match path {
            "/health" | "/v1/health" => Whole::ok(&json!({"status": "ok"})),
            "/props" => info::props(context.script),
            "/slots" => info::slots(context.script, context.shared),
            "/v1/models" | "/models" => info::models(context.script),
            "/metrics" => info::metrics(context.shared),
            _ => return Err(Refusal::NotFound),
        };
        return Ok(answer.into());
    }
    if context.call.method != Method::POST {
        return Err(Refusal::NotFound);
    }
    match path {
        "/completion" | "/completions" => request::completion(context, &body(context.call)?),
        "/tokenize" => Ok(info::tokenize(context.script, &Fields::new(&body(context.call)?))?.into()),
        "/detokenize" => Ok(info::detokenize(context.script, &Fields::new(&body(context.call)?))?.into()),
        "/v1/embeddings" => embeddings::embed(context, &body(context.call)?, embeddings::Shape::OpenAi),
        "/v1/rerank" | "/rerank" | "/reranking" => rerank::rerank(context, &body(context.call)?),
        "/embeddings" | "/embedding" => embeddings::embed(context, &body(context.call)?, embeddings::Shape::Native),
        _ => Err(Refusal::NotFound),
    }
}

fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(&call.body).map_err(|error| Refusal::BadJson(error.to_string()))
}

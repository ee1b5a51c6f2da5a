//! vLLM's HTTP surface, as both of its front ends speak it.

mod admin;
mod completion;
mod embeddings;
mod errors;
mod logprobs;
mod metrics;
mod request;
mod scores;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::engine::Shared;
use crate::fault::Trouble;
use crate::reply::{Call, Reply, Whole};
use crate::script::{FrontEnd, Script, Serves};
use errors::Refusal;

/// What all of this dialect's endpoints are given.
struct Context<'a> {
    call: &'a Call,
    script: &'a Script,
    front_end: FrontEnd,
    shared: &'a Arc<Shared>,
}

pub(crate) fn route(call: &Call, script: &Script, front_end: FrontEnd, shared: &Arc<Shared>) -> Reply {
    let context = Context { call, script, front_end, shared };
    dispatch(&context).unwrap_or_else(|refusal| refusal.answer(front_end).into())
}

/// What is answered when a request is ordered to fail with this status.
pub(crate) fn failure(front_end: FrontEnd, status: StatusCode) -> Whole {
    Refusal::ordered(status).answer(front_end)
}

/// What is answered in this trouble.
pub(crate) fn complaint(front_end: FrontEnd, trouble: Trouble, context: u32) -> Whole {
    Refusal::in_trouble(trouble, context).answer(front_end)
}

fn dispatch(context: &Context<'_>) -> Result<Reply, Refusal> {
    let script = context.script;
    let generates = script.serves == Serves::Generation;
    match context.call.path.as_str() {
        "/health" | "/ping" => context.get(|| Whole::empty(StatusCode::OK)),
        "/version" => context.get(|| Whole::ok(&json!({"version": env!("CARGO_PKG_VERSION")}))),
        "/v1/models" => context.get(|| admin::models(context)),
        "/openapi.json" => context.get(|| admin::openapi(context)),
        "/metrics" => context.get(|| context.shared.figures(script, || metrics::page(script, context.shared))),
        "/tokenize" => context.post(|body| Ok(admin::tokenize(context, &body)?.into())),
        "/detokenize" => context.post(|body| Ok(admin::detokenize(context, &body)?.into())),
        "/v1/completions" if generates => context.post(|body| request::completion(context, &body)),
        "/score" | "/v1/score" if !generates => context.post(|body| scores::score(context, &body)),
        "/v1/embeddings" if !generates => context.post(|body| embeddings::embed(context, &body)),
        "/v1/load_lora_adapter" if script.lora => context.post(|body| Ok(admin::load_adapter(context, &body)?.into())),
        "/v1/load_lora_adapter" => Err(Refusal::LoraOff),
        "/v1/unload_lora_adapter" if script.lora => {
            context.post(|body| Ok(admin::unload_adapter(context, &body)?.into()))
        }
        "/sleep" if script.dev_mode => context.act(|| admin::sleep(context)),
        "/wake_up" if script.dev_mode => context.act(|| admin::wake_up(context)),
        "/collective_rpc" if script.dev_mode => context.post(|body| Ok(admin::collective_rpc(&body)?.into())),
        "/is_sleeping" if script.dev_mode => context.get(|| admin::is_sleeping(context)),
        _ => Err(Refusal::NotFound),
    }
}

impl Context<'_> {
    fn get(&self, answer: impl FnOnce() -> Whole) -> Result<Reply, Refusal> {
        match self.call.method {
            Method::GET => Ok(answer().into()),
            _ => Err(Refusal::MethodNotAllowed),
        }
    }

    /// A `POST` without a body.
    fn act(&self, answer: impl FnOnce() -> Whole) -> Result<Reply, Refusal> {
        match self.call.method {
            Method::POST => Ok(answer().into()),
            _ => Err(Refusal::MethodNotAllowed),
        }
    }

    fn post(&self, answer: impl FnOnce(Value) -> Result<Reply, Refusal>) -> Result<Reply, Refusal> {
        if self.call.method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
        }
        match serde_json::from_slice(&self.call.body) {
            Ok(body @ Value::Object(_)) => answer(body),
            Ok(_) => Err(Refusal::BadJson("the body is no object".to_owned())),
            Err(error) => Err(Refusal::BadJson(error.to_string())),
        }
    }

    /// The model's name, or the adapter's, that a request asks for; leaving it out asks for the model.
    fn served(&self, model: Option<&str>) -> Result<String, Refusal> {
        let Some(model) = model else { return Ok(self.script.model.clone()) };
        if model == self.script.model || self.shared.admin().adapters.contains_key(model) {
            return Ok(model.to_owned());
        }
        Err(Refusal::UnknownModel { asked: model.to_owned(), served: self.script.model.clone() })
    }
}

/// Seconds since 1970, for `created`.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

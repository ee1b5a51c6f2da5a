//! vLLM's small endpoints: models, tokenizer, adapters, sleep.

use http::StatusCode;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::{Context, now, request};
use crate::fields::{Fields, Input};
use crate::reply::Whole;
use crate::script::Serves;
use crate::vocabulary;

pub(super) fn models(context: &Context<'_>) -> Whole {
    let script = context.script;
    let created = now();
    let mut data = vec![json!({
        "id": script.model,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": script.root.as_ref().unwrap_or(&script.model),
        "parent": null,
        "max_model_len": script.max_model_len,
        "permission": [],
    })];
    for (name, path) in &context.shared.admin().adapters {
        data.push(json!({
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": path,
            "parent": script.model,
            "max_model_len": null,
            "permission": [],
        }));
    }
    Whole::ok(&json!({"object": "list", "data": data}))
}

/// Which paths are served: what a sidecar learns the kind of model from.
pub(super) fn openapi(context: &Context<'_>) -> Whole {
    let path = match context.script.serves {
        Serves::Generation => "/v1/completions",
        Serves::Embeddings { .. } => "/v1/embeddings",
        Serves::Scores => "/score",
    };
    let paths = json!({"/health": {"get": {}}, "/v1/models": {"get": {}}, path: {"post": {}}});
    Whole::ok(&json!({"openapi": "3.1.0", "paths": paths}))
}

pub(super) fn tokenize(context: &Context<'_>, body: &Value) -> Result<Whole, Refusal> {
    with_fields(body, |fields| {
        context.served(fields.text("model")?)?;
        let prompt = fields.text("prompt")?.ok_or(Refusal::NoPrompt)?;
        let tokens = vocabulary::tokenize(prompt);
        let pieces = vocabulary::pieces(prompt, &context.script.special_tokens).into_iter();
        let texts: Vec<_> = pieces.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
        let texts = fields.boolean("return_token_strs")?.then_some(texts);
        Ok(Whole::ok(&json!({
            "count": tokens.len(),
            "max_model_len": context.script.max_model_len,
            "tokens": tokens,
            "token_strs": texts,
        })))
    })
}

pub(super) fn detokenize(context: &Context<'_>, body: &Value) -> Result<Whole, Refusal> {
    with_fields(body, |fields| {
        let tokens = request::ids(Input::Ids(fields.ids("tokens")?.into_iter().map(u64::from).collect()))?;
        Ok(Whole::ok(&json!({"prompt": vocabulary::detokenize(&tokens, &context.script.scripted_tokens())})))
    })
}

/// Loads an adapter; a path that contains `missing` has none.
pub(super) fn load_adapter(context: &Context<'_>, body: &Value) -> Result<Whole, Refusal> {
    with_fields(body, |fields| {
        let name = fields.text("lora_name")?.unwrap_or_default().to_owned();
        let path = fields.text("lora_path")?.unwrap_or_default().to_owned();
        if path.is_empty() || path.contains("missing") {
            return Err(Refusal::AdapterMissing(name));
        }
        let mut admin = context.shared.admin();
        if admin.adapters.contains_key(&name) {
            return Err(Refusal::AdapterLoaded(name));
        }
        if admin.adapters.len() >= MAX_ADAPTERS {
            return Err(Refusal::Other(StatusCode::BAD_REQUEST));
        }
        let done = format!("Success: LoRA adapter '{name}' added successfully.");
        admin.adapters.insert(name, path);
        Ok(Whole::text(done))
    })
}

pub(super) fn unload_adapter(context: &Context<'_>, body: &Value) -> Result<Whole, Refusal> {
    with_fields(body, |fields| {
        let name = fields.text("lora_name")?.unwrap_or_default();
        match context.shared.admin().adapters.remove(name) {
            Some(_) => Ok(Whole::text(format!("Success: LoRA adapter '{name}' removed successfully."))),
            None => Err(Refusal::AdapterUnknown(name.to_owned())),
        }
    })
}

pub(super) fn sleep(context: &Context<'_>) -> Whole {
    let level = context.call.query.split('&').find_map(|pair| pair.strip_prefix("level=")?.parse().ok());
    context.shared.admin().sleep_level = Some(level.unwrap_or(1));
    Whole::empty(StatusCode::OK)
}

/// With `tags`, only a part of the engine is woken: it is awake when its cache is.
pub(super) fn wake_up(context: &Context<'_>) -> Whole {
    if !context.call.query.split('&').any(|pair| pair == "tags=weights") {
        context.shared.admin().sleep_level = None;
    }
    Whole::empty(StatusCode::OK)
}

/// The one call of all workers that is needed after a deep sleep.
pub(super) fn collective_rpc(body: &Value) -> Result<Whole, Refusal> {
    with_fields(body, |fields| {
        if fields.text("method")? != Some("reload_weights") {
            return Err(Refusal::Other(StatusCode::BAD_REQUEST));
        }
        Ok(Whole::ok(&json!({"results": [null]})))
    })
}

pub(super) fn is_sleeping(context: &Context<'_>) -> Whole {
    Whole::ok(&json!({"is_sleeping": context.shared.admin().sleep_level.is_some()}))
}

/// More adapters than any engine serves.
const MAX_ADAPTERS: usize = 1000;

fn with_fields(body: &Value, answer: impl FnOnce(Fields<'_>) -> Result<Whole, Refusal>) -> Result<Whole, Refusal> {
    match body {
        Value::Object(object) => answer(Fields::new(object)),
        _ => Err(Refusal::BadJson("the body is no object".to_owned())),
    }
}

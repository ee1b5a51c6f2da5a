//! What llama.cpp's server tells about itself: props, slots, models, metrics; and its tokenizer.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::errors::Refusal;
use crate::engine::Shared;
use crate::fields::Fields;
use crate::reply::Whole;
use crate::script::{Script, Serves};
use crate::vocabulary;

/// More slots than any server has: what "no bound" is reported as.
const MOST_SLOTS: usize = 1024;

pub(super) fn props(script: &Script) -> Whole {
    Whole::ok(&json!({
        "default_generation_settings": {"params": {"temperature": 0.8}, "n_ctx": script.max_model_len},
        "total_slots": slot_count(script),
        "model_alias": script.model,
        "model_path": script.root.clone().unwrap_or_else(|| format!("/models/{}.gguf", script.model)),
        "modalities": {"vision": false, "audio": false},
        "endpoint_slots": true,
        "endpoint_props": false,
        "endpoint_metrics": true,
        "chat_template": script.chat_template,
        "bos_token": "",
        "eos_token": "",
        "build_info": "fake-engine",
        "is_sleeping": false,
    }))
}

pub(super) fn slots(script: &Script, shared: &Shared) -> Whole {
    let busy = shared.load.running();
    let slots: Vec<Value> = (0..slot_count(script))
        .map(|id| json!({"id": id, "n_ctx": script.max_model_len, "speculative": false, "is_processing": id < busy}))
        .collect();
    Whole::ok(&json!(slots))
}

pub(super) fn models(script: &Script) -> Whole {
    let dimensions = match script.serves {
        Serves::Embeddings { dimensions } => dimensions,
        Serves::Generation | Serves::Scores => 576,
    };
    Whole::ok(&json!({
        "object": "list",
        "data": [{
            "id": script.model,
            "aliases": [script.model],
            "object": "model",
            "created": 0,
            "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 2,
                "n_vocab": vocabulary::SIZE,
                "n_ctx": script.max_model_len,
                "n_ctx_train": script.max_model_len,
                "n_embd": dimensions,
            },
        }],
    }))
}

pub(super) fn metrics(shared: &Shared) -> Whole {
    let load = &shared.load;
    let cached = load.prefix_hits.load(Relaxed);
    let mut page = String::new();
    let mut metric = |kind: &str, name: &str, value: u64| {
        writeln!(
            page,
            "# HELP llamacpp:{name} As of the fake engine.\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}"
        )
        .expect("a string takes everything");
    };
    metric("counter", "prompt_tokens_total", load.prompt_tokens.load(Relaxed).saturating_sub(cached));
    metric("counter", "prompt_tokens_cached_total", cached);
    metric("counter", "tokens_predicted_total", load.generated());
    metric("gauge", "requests_processing", load.running() as u64);
    metric("gauge", "requests_deferred", load.waiting() as u64);
    Whole::text(page)
}

pub(super) fn tokenize(script: &Script, fields: &Fields<'_>) -> Result<Whole, Refusal> {
    let text = fields.text("content")?.unwrap_or_default();
    if !fields.boolean("with_pieces")? {
        return Ok(Whole::ok(&json!({"tokens": vocabulary::tokenize(text)})));
    }
    let special: &[String] = if fields.boolean("parse_special")? { &script.special_tokens } else { &[] };
    let pieces: Vec<Value> = vocabulary::pieces(text, special)
        .into_iter()
        .map(|(id, bytes)| {
            let piece = String::from_utf8(bytes).map_or_else(|error| json!(error.as_bytes()), Value::from);
            json!({"id": id, "piece": piece})
        })
        .collect();
    Ok(Whole::ok(&json!({"tokens": pieces})))
}

pub(super) fn detokenize(script: &Script, fields: &Fields<'_>) -> Result<Whole, Refusal> {
    let text = vocabulary::detokenize(&fields.ids("tokens")?, &script.scripted_tokens());
    Ok(Whole::ok(&json!({"content": text})))
}

fn slot_count(script: &Script) -> usize {
    script.max_running.min(MOST_SLOTS)
}

//! What a client gets to see when all goes well: bytes, keys, their order, headers, and the same answer streamed and
//! whole.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod alike;
mod chat;
mod completions;
mod embeddings;
mod headers;
mod models;

use cloudach_blackbox::{
    Answer, Client, Event, Events, Fleet, Head, Plan, Replica, Shared, chat, chat_text, completion, completion_text,
    with,
};
use cloudach_fake_engine::{Script, Serves};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("org/slashed", Script { model: "served/elsewhere".to_owned(), ..Script::vllm() }),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() }),
            Replica::of("counted", Script { prompt_tokens_details: true, ..Script::vllm() }),
        ],
        models: json!({
            "fake-model": { "aliases": ["gpt-4o", "other/name"], "owned_by": "tests", "created": 1_700_000_000 },
            "counted": { "counting": "engine" },
        }),
        ..Plan::default()
    })
});

fn streamed(request: Value) -> Value {
    with(request, json!({ "stream": true }))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

fn content_of(chunk: &Value) -> &str {
    chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default()
}

fn last_reason(chunks: &[Value], choice: u64) -> Value {
    let mut choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    choices.rfind(|found| found["index"] == choice).unwrap()["finish_reason"].clone()
}

/// A prefix and 29 alphanumerics.
fn assert_id(id: &Value, prefix: &str) {
    let rest = id.as_str().and_then(|id| id.strip_prefix(prefix)).unwrap_or_else(|| panic!("{id}"));
    assert!(rest.len() == 29 && rest.chars().all(|c| c.is_ascii_alphanumeric()), "{rest}");
}

fn assert_detailed_usage(usage: &Value) {
    let order =
        ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"];
    assert_eq!(keys(usage), order);
    assert_eq!(keys(&usage["prompt_tokens_details"]), ["cached_tokens", "audio_tokens"]);
    let details = ["reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"];
    assert_eq!(keys(&usage["completion_tokens_details"]), details);
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));
}

fn assert_constant(chunks: &[Value], object: &str) {
    for chunk in chunks {
        assert_eq!(chunk["object"], object);
        for key in ["id", "created", "model"] {
            assert_eq!(chunk[key], chunks[0][key]);
        }
    }
}

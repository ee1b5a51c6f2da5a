//! A model's own tokens, by raw bytes through the whole way, from both dialects of engines.

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Shared, admin_api, error_of, with};
use cloudach_fake_engine::{Script, Serves, vocabulary};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TOKENIZE: &str = "/tokenize";
const DETOKENIZE: &str = "/detokenize";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("llama", Script::llama_cpp()),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() }),
        ],
        models: json!({
            "fake-model": { "chat_template": Script::default().chat_template },
            "llama": { "chat_template": Script::default().chat_template },
            "nobodys": {},
        }),
        router: json!({ "catalogue": { "routes": { "either": { "split": { "fake-model": 1, "llama": 1 } } } } }),
        edge: json!({
            "admin_api": admin_api(),
            "limits": { "body_bytes": 100_000 },
            "keys": [
                key("all", json!({})),
                key("few", json!({ "rate_limits": { "requests_per_minute": 2, "tokens_per_minute": 1000 } })),
            ],
        }),
        ..Plan::default()
    })
});

fn secret(name: &str) -> String {
    format!("sk-tokens-{name}")
}

fn key(name: &str, more: Value) -> Value {
    let sha256: String = Sha256::digest(secret(name)).iter().map(|byte| format!("{byte:02x}")).collect();
    with(json!({ "name": name, "sha256": sha256, "tenant": "tokens" }), more)
}

fn client(fleet: &Fleet, name: &str) -> Client {
    Client { key: secret(name), ..fleet.client() }
}

fn answer(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body);
    assert_eq!(answer.head.status, 200, "{body}: {}", answer.text());
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    answer.json()
}

#[test]
fn texts_are_the_engines_tokens_and_tokens_are_texts() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "all");
    for model in ["fake-model", "llama", "embedder"] {
        for text in ["Hello, world", "naïve 日本語 🦀", "<|im_start|>"] {
            let ids = vocabulary::tokenize(text);
            let told = answer(&client, TOKENIZE, &json!({ "model": model, "prompt": text }));
            let expected = json!({ "count": ids.len(), "max_model_len": 8192, "tokens": ids, "token_strs": null });
            assert_eq!(told, expected, "{model}");
            let back = answer(&client, DETOKENIZE, &json!({ "model": model, "tokens": ids }));
            assert_eq!(back, json!({ "prompt": text }), "{model}");
        }
        let asked = json!({ "model": model, "prompt": "abcd<|im_end|>", "return_token_strs": true });
        assert_eq!(answer(&client, TOKENIZE, &asked)["token_strs"], json!(["ab", "cd", "<|im_end|>"]), "{model}");
    }
}

#[test]
fn chats_are_the_tokens_of_their_prompts() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "all");
    for model in ["fake-model", "llama"] {
        let messages = json!([{ "role": "user", "content": "hi" }]);
        for (more, prompt) in [
            (json!({}), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
            (json!({ "add_generation_prompt": false }), "<|im_start|>user\nhi<|im_end|>\n"),
        ] {
            let request = with(json!({ "model": model, "messages": messages }), more);
            let told = answer(&client, TOKENIZE, &request);
            assert_eq!(told["tokens"], json!(vocabulary::tokenize(prompt)), "{model} {request}");
            assert_eq!(told["count"], vocabulary::tokenize(prompt).len());
        }
    }
}

#[test]
fn what_has_no_tokens_is_refused() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "all");
    let refused = |path: &str, body: &Value| {
        let answer = client.post(path, body);
        let error = error_of(&answer);
        (answer.head.status, error["param"].as_str().unwrap_or_default().to_owned(), error["message"].clone())
    };
    let messages = json!([{ "role": "user", "content": "hi" }]);
    for (path, body, status, param) in [
        (TOKENIZE, json!({ "prompt": "a" }), 400, ""),
        (TOKENIZE, json!({ "model": "fake-model" }), 400, "prompt"),
        (TOKENIZE, json!({ "model": "fake-model", "prompt": 7 }), 400, "prompt"),
        (TOKENIZE, json!({ "model": "fake-model", "prompt": "a", "messages": messages }), 400, "prompt"),
        (TOKENIZE, json!({ "model": "fake-model", "messages": [] }), 400, "messages"),
        (TOKENIZE, json!({ "model": "embedder", "messages": messages }), 404, "model"),
        (TOKENIZE, json!({ "model": "nothing", "prompt": "a" }), 404, ""),
        (TOKENIZE, json!({ "model": "nobodys", "prompt": "a" }), 503, ""),
        (TOKENIZE, json!({ "model": "either", "prompt": "a" }), 403, ""),
        (DETOKENIZE, json!({ "model": "fake-model" }), 400, "tokens"),
        (DETOKENIZE, json!({ "model": "fake-model", "tokens": [] }), 400, "tokens"),
        (DETOKENIZE, json!({ "model": "fake-model", "tokens": [-1] }), 400, "tokens[0]"),
        (DETOKENIZE, json!({ "model": "llama", "tokens": [4_000_000_000_u32] }), 400, ""),
    ] {
        let (found, named, message) = refused(path, &body);
        assert_eq!((found, &*named), (status, param), "{body}: {message}");
    }
    assert_eq!(client.post(TOKENIZE, &json!({ "model": "llama", "prompt": "a".repeat(100_001) })).head.status, 413);
    assert_eq!(client.get(TOKENIZE).head.status, 405);
}

#[test]
fn they_are_requests_that_use_no_tokens() {
    let fleet = FLEET.visit();
    let request = json!({ "model": "fake-model", "prompt": "Hello" });
    let made = fleet.admin_of(0).post("/admin/v1/keys", &json!({ "name": "one", "models": ["llama"] })).json();
    let one = Client { key: made["key"].as_str().unwrap().to_owned(), ..fleet.client() };
    let other = one.post(TOKENIZE, &request);
    assert_eq!((other.head.status, error_of(&other)["code"].as_str()), (403, Some("model_not_found")));
    let nobody = Client { key: "sk-nobody".to_owned(), ..fleet.client() }.post(TOKENIZE, &request);
    assert_eq!((nobody.head.status, error_of(&nobody)["code"].as_str()), (401, Some("invalid_api_key")));
    let few = client(&fleet, "few");
    let first = few.post(TOKENIZE, &request);
    let left =
        ["requests", "tokens"].map(|of| first.head.get(&format!("x-ratelimit-remaining-{of}")).unwrap().to_owned());
    assert_eq!(left, ["1", "1000"]);
    assert_eq!(few.post(DETOKENIZE, &json!({ "model": "fake-model", "tokens": [72] })).head.status, 200);
    let third = few.post(TOKENIZE, &request);
    assert_eq!((third.head.status, error_of(&third)["type"].as_str()), (429, Some("requests")));
}

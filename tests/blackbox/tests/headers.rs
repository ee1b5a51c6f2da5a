//! The headers of each class of answer: exactly those that the recordings have, and nothing of what carries them.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use cloudach_blackbox::{Client, Fleet, Head, Plan, Replica, Shared, Visit, chat, completion, with};
use cloudach_fake_engine::{Script, Serves};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// What HTTP, proxies and browsers need, and the retry rules, which have tests of their own.
const CARRIERS: [&str; 9] = [
    "date",
    "content-length",
    "transfer-encoding",
    "cache-control",
    "x-accel-buffering",
    "allow",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
];

const GATE: [&str; 2] = ["content-type", "x-request-id"];
const MODELS: [&str; 4] = ["content-type", "openai-processing-ms", "openai-version", "x-request-id"];
const NO_SUCH_MODEL: [&str; 5] =
    ["content-type", "openai-organization", "openai-processing-ms", "openai-version", "x-request-id"];
const ENGINE: [&str; 12] = [
    "content-type",
    "openai-organization",
    "openai-processing-ms",
    "openai-project",
    "openai-version",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-request-id",
];

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("org/slashed", Script::vllm()),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 4 }, ..Script::vllm() }),
        ],
        models: json!({ "fake-model": { "aliases": ["other/name"] }, "nobodys": {} }),
        ..Plan::default()
    })
});

#[test]
fn answers_of_the_engine() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let streamed = json!({ "stream": true });
    assert_class(&client.post(CHAT, &chat("hi")).head, &ENGINE, "application/json");
    let chats = client.stream(CHAT, &with(chat("hi"), streamed.clone()));
    assert_class(chats.head(), &ENGINE, "text/event-stream; charset=utf-8");
    let mut named = ENGINE.to_vec();
    named.insert(1, "openai-model");
    let whole = client.post(COMPLETIONS, &completion("hi")).head;
    assert_class(&whole, &named, "application/json");
    let completions = client.stream(COMPLETIONS, &with(completion("hi"), streamed));
    assert_class(completions.head(), &named, "text/event-stream");
    let embeddings = client.post(EMBEDDINGS, &json!({ "model": "embedder", "input": "hi" })).head;
    assert_class(&embeddings, &named, "application/json");
    for head in [&whole, completions.head()] {
        assert_eq!(head.get("openai-model"), Some("fake-model"));
    }
    assert_eq!(embeddings.get("openai-model"), Some("embedder"));
    for head in [chats.head(), &whole] {
        assert_eq!((head.get("openai-organization"), head.get("openai-project")), (Some("blackbox"), Some("default")));
        assert_eq!(head.get("openai-version"), Some("2020-10-01"));
    }
}

#[test]
fn refusals_of_what_is_wrong() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for path in [CHAT, COMPLETIONS, EMBEDDINGS] {
        let bad_json = client.ask(&client.request("POST", path, &[], b"{"));
        assert_eq!(bad_json.head.status, 400);
        assert_class(&bad_json.head, &ENGINE, "application/json");
        let wrong = client.post(path, &json!({ "model": "fake-model", "user": 7 }));
        assert_eq!(wrong.head.status, 400);
        assert_class(&wrong.head, &ENGINE, "application/json");
    }
    let failed = client.post(CHAT, &with(chat("hi"), json!({ "model": "nobodys", "stream": true })));
    assert_eq!(failed.head.status, 503);
    assert_class(&failed.head, &ENGINE, "application/json");
}

#[test]
fn refusals_at_the_gate() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let stranger = Client { key: "sk-wrong".to_owned(), ..client.clone() };
    let no_model = |request| with(request, json!({ "model": "none" }));
    let answers = [
        (401, stranger.post(CHAT, &chat("hi"))),
        (401, stranger.get("/v1/models")),
        (401, client.ask(&client.request("POST", CHAT, &[("authorization", "")], b"{}"))),
        (404, client.post(CHAT, &no_model(chat("hi")))),
        (404, client.post(COMPLETIONS, &no_model(completion("hi")))),
        (404, client.post(EMBEDDINGS, &json!({ "model": "none", "input": "hi" }))),
        (403, client.post(CHAT, &with(chat("hi"), json!({ "model": "embedder" })))),
        (403, client.post(EMBEDDINGS, &json!({ "model": "fake-model", "input": "hi" }))),
        (404, client.get("/nothing")),
        (404, client.get("/v1/nothing")),
        (405, client.get(CHAT)),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.head.status, status, "{}", answer.text());
        assert_class(&answer.head, &GATE, "application/json; charset=utf-8");
    }
}

#[test]
fn models() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    assert_class(&client.get("/v1/models").head, &MODELS, "application/json");
    let missing = client.get("/v1/models/none");
    assert_eq!(missing.head.status, 404);
    assert_class(&missing.head, &NO_SUCH_MODEL, "application/json");
}

/// Checklist C28.
#[test]
fn names_of_models_may_hold_slashes() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for (path, id) in [
        ("/v1/models/org/slashed", "org/slashed"),
        ("/v1/models/org%2Fslashed", "org/slashed"),
        ("/v1/models/org%2fslashed", "org/slashed"),
        ("/v1/models/other/name", "other/name"),
        ("/v1/models/other%2Fname", "other/name"),
        ("/v1/models/fake%2Dmodel", "fake-model"),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.head.status, &answer.json()["id"]), (200, &json!(id)), "{path}");
        assert_class(&answer.head, &MODELS, "application/json");
    }
    for (path, id) in
        [("/v1/models/org/none", "org/none"), ("/v1/models/org%2Fnone", "org/none"), ("/v1/models/org", "org")]
    {
        let answer = client.get(path);
        assert_eq!(answer.head.status, 404);
        let error = json!({
            "message": format!("The model '{id}' does not exist"),
            "type": "invalid_request_error", "param": "model", "code": "model_not_found",
        });
        assert_eq!(answer.json(), json!({ "error": error }), "{path}");
    }
}

#[test]
fn a_model_without_a_chat_template_is_no_chat_model() {
    let unknown = Script { special_tokens: vec!["<s>".to_owned()], ..Script::vllm() };
    let fleet = Fleet::start(Plan {
        replicas: vec![Replica::fake(unknown)],
        sidecar: json!({ "engine": { "chat_template_file": null } }),
        ..Plan::default()
    });
    let client = fleet.client();
    assert_eq!(client.post(COMPLETIONS, &completion("hi")).head.status, 200);
    let refused = client.post(CHAT, &chat("hi"));
    assert_eq!(refused.head.status, 404, "{}", refused.text());
    assert_class(&refused.head, &ENGINE, "application/json");
    let error = json!({
        "message": "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to \
                    use v1/completions?",
        "type": "invalid_request_error", "param": "model", "code": null,
    });
    assert_eq!(refused.json(), json!({ "error": error }));
}

/// Nothing of another origin is allowed: keys do not belong into browsers.
#[test]
fn other_methods() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for (path, status) in
        [("/v1/models", 200), ("/v1/models/fake-model", 200), ("/v1/models/none", 404), (CHAT, 405), ("/x", 404)]
    {
        let head = head_only(&client, "HEAD", path);
        assert_eq!(head.status, status, "{path}");
        assert!(head.get("x-request-id").is_some());
    }
    let origin = [("origin", "https://example.com"), ("access-control-request-method", "POST")];
    for (path, allow) in [(CHAT, "POST"), ("/v1/models", "GET,HEAD")] {
        let answer = client.ask(&client.request("OPTIONS", path, &origin, b""));
        assert_eq!((answer.head.status, answer.head.get("allow")), (405, Some(allow)));
        let cors = |name: &str| name.starts_with("access-control");
        assert!(!answer.head.headers.iter().any(|(name, _)| cors(name)), "{:?}", answer.head);
    }
    assert_serves(&fleet);
}

/// The head of an answer that may have no body.
fn head_only(client: &Client, method: &str, path: &str) -> Head {
    let mut connection = client.connect();
    connection.send(&client.request(method, path, &[("connection", "close")], b"")).unwrap();
    let reading = connection.reading().unwrap();
    let head = reading.head.clone();
    assert!(reading.into_connection().is_closed_by_server().unwrap(), "{path} came with a body");
    head
}

fn assert_class(head: &Head, names: &[&str], content_type: &str) {
    let mut found: Vec<_> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
    found.retain(|name| !CARRIERS.contains(name));
    found.sort_unstable();
    assert_eq!(found, names, "{head:?}");
    assert_eq!(head.get("content-type"), Some(content_type));
    let id = head.get("x-request-id").and_then(|id| id.strip_prefix("req_")).unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    let whole_numbers = ["openai-processing-ms", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-requests"];
    for value in whole_numbers.iter().filter_map(|name| head.get(name)) {
        assert!(value.parse::<u64>().is_ok(), "{value}");
    }
}

fn assert_serves(fleet: &Visit) {
    assert_eq!(fleet.client().post(CHAT, &chat("hi")).head.status, 200);
}

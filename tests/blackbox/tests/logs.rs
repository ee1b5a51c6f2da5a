//! What the logs tell of requests, for whoever disputes a bill, and how much they tell, changed while a process runs.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Replica, Service, chat, eventually, with};
use cloudach_fake_engine::{Fault, FaultRule, Script};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// What a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

fn log_of(service: &Service, method: &str, path: &str, body: &str) -> (u16, String) {
    let client = Client { address: service.admin, key: String::new() };
    let answer = client.ask(&client.request(method, path, &[("authorization", "none")], body.as_bytes()));
    (answer.head.status, answer.text())
}

/// The one line about a request, which it comes to whatever becomes of it.
fn line(fleet: &Fleet, answer: &Answer) -> Value {
    let id = answer.head.get("x-request-id").unwrap();
    let mut found = Vec::new();
    eventually(SOON, "a line of the request", || {
        found = fleet.edges[0].logged(&["request ended", "request refused"]);
        found.retain(|line| line["request_id"] == id);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn each_request_of_a_key_comes_to_one_line() {
    let fault = FaultRule::from(Fault::Status(500)).matching("fail");
    let script = Script { faults: vec![fault], ..Script::vllm() };
    let fleet = Fleet::start(Plan {
        replicas: vec![Replica::fake(script)],
        models: json!({ "fake-model": { "aliases": ["other-name"] } }),
        ..Plan::default()
    });
    let client = fleet.client();
    let asked = with(chat("x"), json!({ "model": "other-name" }));

    let answer = client.post(CHAT, &asked);
    let told = line(&fleet, &answer);
    let usage = &answer.json()["usage"];
    for (field, value) in [
        ("tenant", json!("blackbox")),
        ("key", json!("test")),
        ("asked", json!("other-name")),
        ("model", json!("fake-model")),
        ("outcome", json!("served")),
        ("status", json!(200)),
        ("finish_reasons", json!("stop")),
        ("prompt_tokens", usage["prompt_tokens"].clone()),
        ("completion_tokens", usage["completion_tokens"].clone()),
        ("cached_tokens", json!(0)),
    ] {
        assert_eq!(told[field], value, "{field} of {told}");
    }
    assert!(told["key_id"].is_string() && told["duration_ms"].is_number() && told["first_token_ms"].is_number());

    let failed = client.post(CHAT, &with(asked.clone(), chat("fail")));
    assert_eq!(failed.head.status, 503);
    let told = line(&fleet, &failed);
    assert_eq!((&told["outcome"], &told["status"]), (&json!("failed"), &json!(503)));

    let refused = client.post(CHAT, &with(asked.clone(), json!({ "temperature": 9 })));
    let told = line(&fleet, &refused);
    assert_eq!(
        (&told["status"], &told["param"], &told["tenant"]),
        (&json!(400), &json!("temperature"), &json!("blackbox"))
    );
    assert_eq!(told["message"], "request refused");

    // Nobody fills the log without a key.
    let stranger = Client { key: "sk-wrong".to_owned(), ..client };
    let answer = stranger.post(CHAT, &asked);
    assert_eq!(answer.head.status, 401);
    assert!(!fleet.edges[0].log().contains(answer.head.get("x-request-id").unwrap()));
}

#[test]
fn levels_are_changed_for_a_while() {
    let fleet = Fleet::start(Plan::default());
    for service in fleet.services() {
        assert_eq!(log_of(service, "GET", "/log", ""), (200, "info\n".to_owned()));
        assert_eq!(log_of(service, "PUT", "/log", "debug"), (200, "debug\n".to_owned()));
        assert_eq!(log_of(service, "GET", "/log", ""), (200, "debug\n".to_owned()));
    }
    let edge = &fleet.edges[0];
    let is_debug = |line: &str| line.contains("\"level\":\"DEBUG\"");
    assert!(!edge.log().lines().any(|line| is_debug(line) && line.contains("request refused")));
    let stranger = Client { key: "sk-wrong".to_owned(), ..fleet.client() };
    stranger.post(CHAT, &chat("x"));
    eventually(SOON, "more is told", || {
        edge.log().lines().any(|line| is_debug(line) && line.contains("request refused"))
    });

    for wrong in ["debgu", "", "cloudach_edge"] {
        let (status, text) = log_of(edge, "PUT", "/log", wrong);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("neither a level"), "{text}");
    }
    assert_eq!(log_of(edge, "PUT", "/log?for=soon", "warn").0, 400);
    assert_eq!(log_of(edge, "PUT", "/log", &"x".repeat(10_000)).0, 413);
    assert_eq!(log_of(edge, "GET", "/log", "").1, "debug\n");

    assert_eq!(log_of(edge, "PUT", "/log?for=100ms", "warn,cloudach_edge=error").0, 200);
    eventually(SOON, "the usual level again", || log_of(edge, "GET", "/log", "").1 == "info\n");
}

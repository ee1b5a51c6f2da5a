//! `/v1/messages` by raw bytes: the events as they are on the wire, the envelope of errors, and that what holds of every
//! generation holds of these. The rest is tried by Anthropic's own clients (`tests/sdk/`). Checklist C30.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use cloudach_blackbox::{Answer, Fleet, Plan, Replica, Shared, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const MESSAGES: &str = "/v1/messages";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm()), Replica::fake(Script::vllm())],
        edge: json!({ "stream": { "keep_alive": "100ms" } }),
        ..Plan::default()
    })
});

fn message(text: &str) -> Value {
    json!({ "model": "fake-model", "max_tokens": 100, "messages": [{ "role": "user", "content": text }] })
}

/// The events of a stream, each with its name.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let text = answer.text();
    let events = text.strip_suffix("\n\n").unwrap().split("\n\n").map(|event| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name, "{event}");
        (name.to_owned(), data)
    });
    events.collect()
}

/// What is read of a stream, without its ids.
fn told(events: &[(String, Value)]) -> (String, Value) {
    let text = events.iter().filter_map(|(_, event)| event["delta"]["text"].as_str()).collect();
    let (_, end) = events.iter().find(|(name, _)| name == "message_delta").unwrap();
    (text, json!([end["delta"], end["usage"]["output_tokens"]]))
}

#[test]
fn a_stream_goes_on_where_its_replica_has_died() {
    let fleet = FLEET.visit();
    let stream = |orders: &str| {
        let said = "[[say:one two three four five six seven eight nine ten]][[cut=3]]";
        let request = with(message(&format!("{said}{orders}")), json!({ "stream": true }));
        events(&fleet.client().post(MESSAGES, &request))
    };
    let undisturbed = stream("");
    let names: Vec<&str> = undisturbed.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let counted = undisturbed[0].1["message"]["usage"]["input_tokens"].as_u64().unwrap();
    assert!(counted > 0);
    for token in [1, 7, 14] {
        let broken = stream(&format!("[[fault:die_after={token}]]"));
        assert_eq!(told(&broken), told(&undisturbed), "at token {token}");
        assert!(broken[0].1["message"]["usage"]["input_tokens"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_quiet_stream_is_kept_alive_by_pings() {
    let fleet = FLEET.visit();
    let request = with(message("[[say:late]][[first=1s]]"), json!({ "stream": true }));
    let events = events(&fleet.client().post(MESSAGES, &request));
    let pings = events.iter().filter(|(name, _)| name == "ping").count();
    assert!(pings >= 3, "{pings} pings in a second");
    assert_eq!(told(&events).0, "late");
}

#[test]
fn errors_have_anthropics_envelope() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let ask = |method: &str, path: &str, key: &str, body: &Value| {
        let headers = [("x-api-key", key), ("anthropic-version", "2023-06-01")];
        client.ask(&client.request(method, path, &headers, body.to_string().as_bytes()))
    };
    let good = message("x");
    let of_route = "/v1/messages/count_tokens";
    for (method, path, key, body, status, kind) in [
        ("POST", MESSAGES, "sk-wrong", &good, 401, "authentication_error"),
        ("POST", of_route, "sk-wrong", &good, 401, "authentication_error"),
        ("GET", MESSAGES, "sk-wrong", &good, 405, "not_found_error"),
        ("POST", "/v1/messages/batches", "sk-wrong", &good, 404, "not_found_error"),
    ] {
        let answer = ask(method, path, key, body);
        assert_eq!(answer.head.status, status, "{method} {path}");
        let id = answer.head.get("request-id").unwrap();
        let body = answer.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{body}");
        assert_eq!(body["request_id"], id);
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
    let answer = client.post(MESSAGES, &with(good, json!({ "max_tokens": 0 })));
    assert_eq!(answer.head.status, 400);
    assert_eq!(answer.json()["error"]["message"], "max_tokens: Input should be greater than or equal to 1");
}

#[test]
fn tokens_are_counted_without_an_engine() {
    let fleet = FLEET.visit();
    let before = fleet.engines.iter().map(|engine| engine.requests().len()).sum::<usize>();
    let counted = fleet.client().post("/v1/messages/count_tokens", &message("one two three"));
    assert_eq!(counted.head.status, 200, "{}", counted.text());
    let tokens = counted.json()["input_tokens"].as_u64().unwrap();
    assert_eq!(fleet.engines.iter().map(|engine| engine.requests().len()).sum::<usize>(), before);
    let usage = fleet.client().post(MESSAGES, &message("one two three")).json()["usage"].clone();
    let used = usage["input_tokens"].as_u64().unwrap() + usage["cache_read_input_tokens"].as_u64().unwrap();
    assert_eq!(tokens, used);
}

//! Limits of keys: what the headers tell is true, what is refused says when to come back, and what was reserved and not
//! used is given back.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::Duration;

use cloudach_blackbox::{
    Answer, Client, Event, Fleet, Head, Plan, Replica, Shared, chat, completion, error_of, eventually, with,
};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// A key for each test, with requests and tokens a minute.
const KEYS: [(&str, u64, u64); 10] = [
    ("idle", 30_000, 150_000_000),
    ("idle too", 30_000, 150_000_000),
    ("requests", 3, 1_000_000),
    ("mistakes", 2, 1_000_000),
    ("tokens", 100_000, 1000),
    ("waits", 100_000, 60_000),
    ("leaves", 100_000, 1000),
    ("owes", 100_000, 100),
    ("fails", 100_000, 1000),
    ("large", 100_000, 1000),
];

static FLEET: Shared = Shared::new(|| {
    let mut keys: Vec<_> = KEYS
        .iter()
        .map(|(name, requests, tokens)| {
            with(key(name), json!({ "rate_limits": { "requests_per_minute": requests, "tokens_per_minute": tokens } }))
        })
        .collect();
    keys.push(with(key("suspended"), json!({ "suspended": true })));
    keys.push(key("default"));
    keys.push(with(key("half"), json!({ "rate_limits": { "tokens_per_minute": 77 } })));
    Fleet::start(Plan {
        // Room for every `max_tokens` that is asked for here.
        replicas: vec![Replica::fake(Script { max_model_len: 100_000, ..Script::vllm() })],
        models: json!({ "nobodys": {} }),
        edge: json!({
            "keys": keys,
            "links": { "quota": "https://example.com/quota", "rate_limits": "https://example.com/limits" },
        }),
        ..Plan::default()
    })
});

/// As in the recordings: of 30000 requests a minute one is missing for 2ms.
#[test]
fn headers_tell_what_is_left_and_when_it_is_full_again() {
    let fleet = FLEET.visit();
    let request = with(chat("hi"), json!({ "max_tokens": 50_000, "n": 2 }));
    let whole = client(&fleet, "idle").post(CHAT, &request).head;
    let streamed = client(&fleet, "idle too").stream(CHAT, &with(request, json!({ "stream": true })));
    for head in [&whole, streamed.head()] {
        assert_eq!(limits(head, "requests"), ["30000", "29999", "2ms"]);
        let [limit, remaining, reset] = limits(head, "tokens");
        assert_eq!(limit, "150000000");
        let used = 150_000_000 - remaining.parse::<u64>().unwrap();
        assert!((100_001..100_100).contains(&used), "the prompt and twice the most: {used}");
        // 100000 of 2.5 million a second.
        assert_eq!(reset, "40ms");
    }
}

#[test]
fn limits_of_all_keys_are_those_of_keys_without_their_own() {
    let fleet = FLEET.visit();
    let answer = client(&fleet, "default").post(CHAT, &chat("hi"));
    assert_eq!((limits(&answer.head, "requests")[0], limits(&answer.head, "tokens")[0]), ("600000", "1000000000"));
    let answer = client(&fleet, "half").post(CHAT, &chat("hi"));
    assert_eq!((limits(&answer.head, "requests")[0], limits(&answer.head, "tokens")[0]), ("600000", "77"));
}

#[test]
fn too_many_requests() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "requests");
    for left in ["2", "1", "0"] {
        let answer = client.post(CHAT, &chat("hi"));
        assert_eq!((answer.head.status, limits(&answer.head, "requests")[1]), (200, left), "{}", answer.text());
    }
    for stream in [false, true] {
        let refused = client.post(CHAT, &with(chat("hi"), json!({ "stream": stream })));
        let wait = assert_refused(&refused, "requests");
        assert!((15_000..20_000).contains(&wait), "a third of a minute, less what has passed: {wait}");
        let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
        let start = "Rate limit reached for fake-model in organization blackbox on requests per min (RPM): Limit 3, Used 3, \
                     Requested 1. Please try again in ";
        let rest = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
        assert!(rest.ends_with("s. Visit https://example.com/limits to learn more."), "{message}");
        assert_eq!(limits(&refused.head, "requests")[1], "0");
    }
    // One key's limit is no other's.
    assert_eq!(self::client(&fleet, "default").post(CHAT, &chat("hi")).head.status, 200);
}

/// As at OpenAI, or trying again without end would cost nothing.
#[test]
fn requests_that_are_wrong_count_too() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "mistakes");
    for left in ["1", "0"] {
        let wrong = client.post(CHAT, &with(chat("hi"), json!({ "n": 0 })));
        assert_eq!((wrong.head.status, limits(&wrong.head, "requests")[1]), (400, left));
    }
    assert_refused(&client.post(CHAT, &chat("hi")), "requests");
}

#[test]
fn too_many_tokens_at_once_are_refused_and_what_was_not_used_comes_back() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "tokens");
    let large = with(chat("[[tokens=5]][[first=3s]]"), json!({ "max_tokens": 900 }));
    let open = client.stream(CHAT, &with(large, json!({ "stream": true })));
    assert!(limits(open.head(), "tokens")[1].parse::<u64>().unwrap() < 100);

    let second = with(chat("hi"), json!({ "max_tokens": 800 }));
    let refused = client.post(CHAT, &second);
    let wait = assert_refused(&refused, "tokens");
    assert!((30_000..60_000).contains(&wait), "{wait}");
    let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with(
            "Rate limit reached for fake-model in organization blackbox on tokens per min (TPM): Limit 1000, Used "
        ),
        "{message}"
    );

    // The first used a hundredth of what it had reserved.
    assert_eq!(open.rest().last(), Some(&Event::Done));
    eventually(Duration::from_secs(2), "the tokens are back", || client.post(CHAT, &second).head.status == 200);
}

#[test]
fn who_waits_as_told_is_served() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "waits");
    let most = with(completion("[[tokens=5]][[first=4s]]"), json!({ "max_tokens": 59_000, "stream": true }));
    let open = client.stream(COMPLETIONS, &most);
    let next = with(completion("hi"), json!({ "max_tokens": 2000 }));
    let wait = assert_refused(&client.post(COMPLETIONS, &next), "tokens");
    assert!((1..1200).contains(&wait), "{wait}");
    std::thread::sleep(Duration::from_millis(wait));
    assert_eq!(client.post(COMPLETIONS, &next).head.status, 200);
    drop(open);
}

#[test]
fn a_client_that_leaves_gives_back_what_it_did_not_use() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "leaves");
    let endless = with(chat("[[tokens=100000]][[delay=10ms]]"), json!({ "max_tokens": 900, "stream": true }));
    let mut open = client.stream(CHAT, &endless);
    open.chunk();
    let next = with(chat("hi"), json!({ "max_tokens": 900 }));
    assert_refused(&client.post(CHAT, &next), "tokens");
    drop(open);
    eventually(Duration::from_secs(3), "the tokens are back", || {
        let small = client.post(CHAT, &with(chat("hi"), json!({ "max_tokens": 1 })));
        limits(&small.head, "tokens")[1].parse::<u64>().unwrap() > 800
    });
}

#[test]
fn tokens_beyond_what_was_reserved_are_owed() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "owes");
    assert_eq!(client.post(CHAT, &chat("[[tokens=150]]")).head.status, 200);
    let mut last = None;
    eventually(Duration::from_secs(2), "the next is refused", || {
        let answer = client.post(CHAT, &chat("hi"));
        let is_refused = answer.head.status == 429;
        last = Some(answer);
        is_refused
    });
    let refused = last.unwrap();
    assert_refused(&refused, "tokens");
    assert_eq!(limits(&refused.head, "tokens")[1], "0");
}

#[test]
fn what_no_engine_took_uses_no_tokens() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "fails");
    for _ in 0..5 {
        let failed = client.post(CHAT, &with(chat("[[fault:die]]"), json!({ "max_tokens": 900 })));
        assert!(failed.head.status >= 500, "{}", failed.text());
    }
    assert_eq!(client.post(CHAT, &with(chat("hi"), json!({ "max_tokens": 900 }))).head.status, 200);
}

#[test]
fn a_request_larger_than_the_limit_is_not_tried_again() {
    let fleet = FLEET.visit();
    let refused = client(&fleet, "large").post(CHAT, &with(chat("hi"), json!({ "max_tokens": 1000 })));
    assert_eq!((refused.head.status, refused.head.get("x-should-retry")), (429, Some("false")));
    assert!(refused.head.get("retry-after").is_none() && refused.head.get("retry-after-ms").is_none());
    let error = error_of(&refused);
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!("tokens"), &json!("rate_limit_exceeded"), &Value::Null)
    );
    let message = error["message"].as_str().unwrap();
    let start =
        "Request too large for fake-model in organization blackbox on tokens per min (TPM): Limit 1000, Requested 10";
    assert!(message.starts_with(start), "{message}");
    assert!(message.ends_with("The input or output tokens must be reduced in order to run successfully. Visit https://example.com/limits to learn more."), "{message}");
}

#[test]
fn a_suspended_key_is_told_that_its_quota_is_used_up() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "suspended");
    for path in [CHAT, COMPLETIONS, "/v1/embeddings"] {
        let refused = client.post(path, &chat("hi"));
        assert_eq!((refused.head.status, refused.head.get("x-should-retry")), (429, Some("false")));
        assert!(refused.head.get("retry-after").is_none());
        let error = error_of(&refused);
        assert_eq!(
            error,
            json!({
                "message": "You exceeded your current quota, please check your plan and billing details. For more \
                            information on this error, read the docs: https://example.com/quota.",
                "type": "insufficient_quota", "param": null, "code": "insufficient_quota",
            })
        );
    }
    assert_eq!(client.get("/v1/models").head.status, 200);
}

fn key(name: &str) -> Value {
    let digest = Sha256::digest(secret(name));
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "name": name, "sha256": sha256, "tenant": "blackbox" })
}

fn secret(name: &str) -> String {
    format!("sk-rate-limits-{name}")
}

fn client(fleet: &Fleet, name: &str) -> Client {
    Client { key: secret(name), ..fleet.client() }
}

/// Limit, remaining and reset.
fn limits<'a>(head: &'a Head, of: &str) -> [&'a str; 3] {
    ["limit", "remaining", "reset"].map(|what| {
        let name = format!("x-ratelimit-{what}-{of}");
        head.get(&name).unwrap_or_else(|| panic!("no {name}: {head:?}"))
    })
}

/// A limit is reached; returns the milliseconds to wait, which text and headers agree on.
fn assert_refused(answer: &Answer, kind: &str) -> u64 {
    assert_eq!((answer.head.status, answer.head.get("x-should-retry")), (429, Some("true")), "{}", answer.text());
    let error = error_of(answer);
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!(kind), &json!("rate_limit_exceeded"), &Value::Null)
    );
    let number = |name| answer.head.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap();
    let wait = number("retry-after-ms");
    assert_eq!(number("retry-after"), wait.div_ceil(1000));
    let message = error["message"].as_str().unwrap();
    let told = message.split("Please try again in ").nth(1).and_then(|rest| rest.split(". ").next()).unwrap();
    assert!(milliseconds(told).min(60_000) == wait, "{told} is not {wait}ms");
    wait
}

/// Reads what Go prints.
fn milliseconds(duration: &str) -> u64 {
    if let Some(milliseconds) = duration.strip_suffix("ms") {
        return milliseconds.parse().unwrap();
    }
    let (minutes, seconds) = duration.split_once('m').unwrap_or(("0", duration));
    let (whole, fraction) =
        seconds.strip_suffix('s').unwrap().split_once('.').unwrap_or((seconds.trim_end_matches('s'), ""));
    let milliseconds: u64 = format!("{fraction:0<3}").parse().unwrap();
    minutes.parse::<u64>().unwrap() * 60_000 + whole.parse::<u64>().unwrap() * 1000 + milliseconds
}

//! Keys and tenants of the store: made by the admin API, known to every edge, revoked within a second, and never told
//! again. Each test runs with the embedded store and with a real Redis.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloudach_blackbox::{
    Answer, Client, Fleet, Plan, Redis, Replica, Shared, Visit, admin_api, chat, error_of, eventually, with,
};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CHAT: &str = "/v1/chat/completions";
const KEYS: &str = "/admin/v1/keys";
const TENANTS: &str = "/admin/v1/tenants";

/// A second, and what a busy machine takes beyond; far less than the time for which a key is remembered.
const SOON: Duration = Duration::from_secs(6);

static EMBEDDED: Shared = Shared::new(|| Fleet::start(plan(json!({ "admin_api": admin_api() }))));

/// Two edges.
static REDIS: Shared = Shared::new(|| {
    // As long as the fleet: it is never dropped.
    let redis = Box::leak(Box::new(Redis::start()));
    Fleet::start(Plan { edges: 2, ..plan(redis.edge()) })
});

fn plan(edge: Value) -> Plan {
    Plan {
        replicas: vec![
            Replica::fake(Script { max_model_len: 100_000, ..Script::vllm() }),
            Replica::of("other-model", Script::vllm()),
        ],
        // A dollar a token.
        models: json!({ "fake-model": { "prices": { "prompt": 0, "completion": 1_000_000 } } }),
        edge: with(edge, json!({ "trusted_proxies": ["127.0.0.0/8"] })),
        ..Plan::default()
    }
}

fn with_each(test: impl Fn(&Visit)) {
    test(&EMBEDDED.visit());
    test(&REDIS.visit());
}

fn admin(fleet: &Fleet, method: &str, path: &str, body: &Value) -> Answer {
    let client = fleet.admin_of(0);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.ask(&client.request(method, path, &[("content-type", "application/json")], body.as_bytes()))
}

/// What the admin API answers when it does what it is asked for.
fn done(fleet: &Fleet, method: &str, path: &str, body: &Value) -> Value {
    let answer = admin(fleet, method, path, body);
    assert!((200..300).contains(&answer.head.status), "{method} {path}: {} {}", answer.head.status, answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// A new key, and the clients that have it: one of each edge.
fn make(fleet: &Fleet, fields: Value) -> (Value, Vec<Client>) {
    let made = done(fleet, "POST", KEYS, &with(json!({ "name": "test" }), fields));
    let key = made["key"].as_str().unwrap().to_owned();
    let clients = (0..fleet.edges.len()).map(|edge| Client { key: key.clone(), ..fleet.client_of(edge) }).collect();
    (made, clients)
}

fn path(of: &str, document: &Value, rest: &str) -> String {
    format!("{of}/{}{rest}", document["id"].as_str().unwrap())
}

fn status(client: &Client) -> u16 {
    client.post(CHAT, &chat("hi")).head.status
}

fn code(answer: &Answer) -> (u16, Value) {
    (answer.head.status, error_of(answer)["code"].take())
}

#[test]
fn a_key_works_at_once_at_every_edge_and_is_shown_once() {
    with_each(|fleet| {
        let (made, clients) = make(fleet, json!({ "metadata": { "team": "blue" } }));
        let secret = clients[0].key.as_str();
        for client in &clients {
            assert_eq!(status(client), 200);
        }
        assert!(secret.starts_with("sk-cloudach-") && secret.len() == 55, "{secret}");
        let hint = made["hint"].as_str().unwrap();
        assert!(secret.starts_with(hint.split("...").next().unwrap()) && hint.len() < 24, "{hint}");
        let shown = admin(fleet, "GET", &path(KEYS, &made, ""), &Value::Null);
        assert_eq!(shown.json()["metadata"], json!({ "team": "blue" }));
        let listed = admin(fleet, "GET", &format!("{KEYS}?limit=100"), &Value::Null);
        let ids: Vec<_> = listed.json()["data"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
        assert!(ids.contains(&made["id"]), "{ids:?}");
        for text in [shown.text(), listed.text()] {
            assert!(!text.contains(secret) && !text.contains("fingerprint"), "{text}");
        }
        for service in fleet.services() {
            assert!(!service.log().contains(secret), "{} logs a key", service.name);
        }
    });
}

#[test]
fn a_key_that_nobody_made_is_wrong() {
    with_each(|fleet| {
        let client = Client { key: format!("sk-cloudach-{}", "x".repeat(43)), ..fleet.client() };
        for _ in 0..2 {
            assert_eq!(code(&client.post(CHAT, &chat("hi"))), (401, json!("invalid_api_key")));
        }
    });
}

#[test]
fn a_revoked_key_is_soon_wrong_at_every_edge() {
    with_each(|fleet| {
        let (made, clients) = make(fleet, json!({}));
        for client in &clients {
            assert_eq!(status(client), 200);
        }
        let revoked = done(fleet, "POST", &path(KEYS, &made, "/revoke"), &Value::Null);
        let begun = Instant::now();
        assert_eq!(revoked["status"], "revoked");
        for client in &clients {
            eventually(SOON, "it is revoked", || status(client) == 401);
        }
        show(&format!("revoked at {} edges within {:.0?}", clients.len(), begun.elapsed()));
        assert_eq!(code(&clients[0].post(CHAT, &chat("hi"))), (401, json!("invalid_api_key")));
        let rotated = admin(fleet, "POST", &path(KEYS, &made, "/rotate"), &Value::Null);
        assert_eq!(rotated.head.status, 409, "it does not come back");
        done(fleet, "DELETE", &path(KEYS, &made, ""), &Value::Null);
        assert_eq!(admin(fleet, "GET", &path(KEYS, &made, ""), &Value::Null).head.status, 404);
    });
}

#[test]
fn a_rotated_key_may_work_beside_the_new_one_for_a_while() {
    with_each(|fleet| {
        let (made, old) = make(fleet, json!({}));
        let rotate = |overlap: u64| {
            let body = json!({ "overlap_seconds": overlap });
            let rotated = done(fleet, "POST", &path(KEYS, &made, "/rotate"), &body);
            Client { key: rotated["key"].as_str().unwrap().to_owned(), ..fleet.client() }
        };
        let new = rotate(2);
        assert_eq!((status(&old[0]), status(&new)), (200, 200));
        eventually(SOON, "the old one ends", || status(&old[0]) == 401);
        assert_eq!(status(&new), 200);
        let newest = rotate(0);
        assert_eq!(status(&newest), 200);
        eventually(SOON, "the second one ends at once", || status(&new) == 401);
    });
}

#[test]
fn a_key_that_clients_have_is_imported_by_its_hash() {
    with_each(|fleet| {
        let client = Client { key: "sk-from-elsewhere-0123456789".to_owned(), ..fleet.client() };
        assert_eq!(status(&client), 401);
        let digest: String = Sha256::digest(&client.key).iter().map(|byte| format!("{byte:02x}")).collect();
        let body = json!({ "name": "imported", "sha256": digest });
        let made = done(fleet, "POST", KEYS, &body);
        assert!(made.get("key").is_none(), "{made}");
        eventually(SOON, "it is known", || status(&client) == 200);
        assert_eq!(admin(fleet, "POST", KEYS, &body).head.status, 409, "it is there already");
    });
}

#[test]
fn a_key_does_what_it_may_and_changes_reach_every_edge() {
    with_each(|fleet| {
        let (made, clients) = make(fleet, json!({ "models": ["other-model"], "project": "blue" }));
        let refused = clients[0].post(CHAT, &chat("hi"));
        assert_eq!(code(&refused), (403, json!("model_not_found")));
        assert_eq!(error_of(&refused)["message"], "Project `blue` does not have access to model `fake-model`");
        let listed = clients[0].get("/v1/models").json();
        let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
        assert_eq!(ids, ["other-model"]);
        assert_eq!(clients[0].get("/v1/models/fake-model").head.status, 404);
        let change = |body: Value| done(fleet, "PATCH", &path(KEYS, &made, ""), &body);
        let all_are = |expected: u16| {
            for client in &clients {
                eventually(SOON, "the change is known", || status(client) == expected);
            }
        };
        change(json!({ "models": null }));
        all_are(200);
        change(json!({ "suspended": true }));
        all_are(429);
        assert_eq!(code(&clients[0].post(CHAT, &chat("hi"))).1, "insufficient_quota");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let changed = change(json!({ "suspended": false, "expires": now + 2 }));
        assert_eq!((&changed["project"], &changed["suspended"]), (&json!("blue"), &json!(false)));
        all_are(200);
        eventually(SOON, "it expires", || status(&clients[0]) == 401);
    });
}

#[test]
fn a_key_is_bound_to_addresses() {
    with_each(|fleet| {
        let (made, clients) = make(fleet, json!({ "ip_ranges": ["192.0.2.0/24", "2001:db8::/32"] }));
        let refused = clients[0].post(CHAT, &chat("hi"));
        assert_eq!(code(&refused), (401, json!("ip_not_authorized")));
        let forwarded = |address: &str| {
            let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
            let body = chat("hi").to_string();
            clients[0].ask(&clients[0].request("POST", CHAT, &headers, body.as_bytes())).head.status
        };
        // The edges trust this machine's proxies.
        assert_eq!((forwarded("192.0.2.7"), forwarded("192.0.3.7")), (200, 401));
        assert_eq!(forwarded("192.0.2.7, 198.51.100.1"), 401, "the client's own invention");
        done(fleet, "PATCH", &path(KEYS, &made, ""), &json!({ "ip_ranges": ["127.0.0.0/8"] }));
        eventually(SOON, "the change is known", || status(&clients[0]) == 200);
    });
}

#[test]
fn keys_of_a_tenant_share_its_limits_at_all_edges() {
    with_each(|fleet| {
        let id = "shares";
        done(
            fleet,
            "POST",
            TENANTS,
            &json!({ "id": id, "name": "Shares Ltd", "rate_limits": { "requests_per_minute": 4 } }),
        );
        let keys: Vec<_> = (0..2).flat_map(|_| make(fleet, json!({ "tenant": id })).1).collect();
        let mut served = 0;
        for client in keys.iter().cycle().take(12) {
            let answer = client.post(CHAT, &chat("hi"));
            if answer.head.status == 200 {
                served += 1;
                assert_eq!(answer.head.get("openai-organization"), Some("Shares Ltd"));
                assert_eq!(answer.head.get("x-ratelimit-limit-requests"), Some("4"));
            } else {
                let message = error_of(&answer)["message"].as_str().unwrap().to_owned();
                assert!(message.contains("in organization Shares Ltd on requests per min (RPM): Limit 4"), "{message}");
            }
        }
        assert_eq!(served, 4);
        done(fleet, "PATCH", &format!("{TENANTS}/{id}"), &json!({ "rate_limits": null }));
        eventually(SOON, "the limit is gone", || status(&keys[0]) == 200);
        done(fleet, "DELETE", &format!("{TENANTS}/{id}"), &Value::Null);
        eventually(SOON, "its keys are gone", || status(&keys[0]) == 401);
    });
}

#[test]
fn a_key_has_limits_with_a_model_and_for_a_day_and_at_once() {
    with_each(|fleet| {
        let limits = json!({ "model_rate_limits": { "fake-model": { "requests_per_day": 1 } } });
        let (_, clients) = make(fleet, limits);
        assert_eq!(status(&clients[0]), 200);
        let refused = clients.last().unwrap().post(CHAT, &chat("hi"));
        assert_eq!((refused.head.status, refused.head.get("x-should-retry")), (429, Some("false")));
        let wait: u64 = refused.head.get("retry-after").unwrap().parse().unwrap();
        assert!((86_300..=86_400).contains(&wait), "a whole day: {wait}");
        let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("on requests per day (RPD): Limit 1, Used 1, Requested 1"), "{message}");
        let other = clients[0].post(CHAT, &with(chat("hi"), json!({ "model": "other-model" })));
        assert_eq!(other.head.status, 200, "{}", other.text());

        let (_, clients) = make(fleet, json!({ "rate_limits": { "concurrent_requests": 1 } }));
        let endless = with(chat("[[tokens=100000]][[delay=10ms]]"), json!({ "stream": true }));
        let mut open = clients[0].stream(CHAT, &endless);
        open.chunk();
        let refused = clients.last().unwrap().post(CHAT, &chat("hi"));
        let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("on concurrent requests: Limit 1, Used 1, Requested 1"), "{message}");
        assert_eq!((refused.head.status, refused.head.get("retry-after")), (429, Some("1")));
        drop(open);
        eventually(SOON, "its place is free", || status(&clients[0]) == 200);
    });
}

#[test]
fn what_would_pass_a_budget_is_refused() {
    with_each(|fleet| {
        let (made, clients) = make(fleet, json!({ "budget": { "month": { "soft": 5, "hard": 30 } } }));
        let request = with(chat("[[tokens=10]]"), json!({ "max_tokens": 15 }));
        let spent = || done(fleet, "GET", &path(KEYS, &made, ""), &Value::Null)["spent"]["month"].as_f64().unwrap();
        assert_eq!(clients[0].post(CHAT, &request).head.status, 200);
        eventually(SOON, "the first is paid for", || spent() > 0.0);
        let price = spent();
        assert!((1.0..=15.0).contains(&price), "ten words, as tokens are counted: {price}");
        let last = clients.last().unwrap();
        let mut served = 1;
        while last.post(CHAT, &request).head.status == 200 {
            served += 1;
            eventually(SOON, "it is paid for", || spent() >= price * f64::from(served) - 1e-6);
        }
        assert!(spent() <= 30.0 && spent() + 15.0 > 30.0, "{} of 30 are spent", spent());
        let refused = last.post(CHAT, &request);
        assert_eq!(code(&refused), (429, json!("insufficient_quota")));
        assert_eq!(refused.head.get("x-should-retry"), Some("false"));
        done(fleet, "PATCH", &path(KEYS, &made, ""), &json!({ "budget": { "month": { "hard": 1000 } } }));
        eventually(SOON, "there is more", || last.post(CHAT, &request).head.status == 200);
    });
}

#[test]
fn the_admin_api_is_for_the_admin() {
    with_each(|fleet| {
        let admin = fleet.admin_of(0);
        for (key, headers) in [("sk-wrong", &[] as &[_]), ("", &[("authorization", "Basic Og==")])] {
            let client = Client { key: key.to_owned(), ..admin.clone() };
            let answer = client.ask(&client.request("GET", KEYS, headers, b""));
            assert_eq!(code(&answer), (401, json!("wrong_token")));
        }
        assert_eq!(admin.get("/admin/v1/openapi.json").json()["openapi"], "3.1.0");
        assert_eq!(fleet.client().get(KEYS).head.status, 404, "clients have no admin API");
        for (method, path, body, expected) in [
            ("POST", KEYS, json!({}), 400),
            ("POST", KEYS, json!({ "name": "" }), 400),
            ("POST", KEYS, json!({ "name": "a", "nmae": "b" }), 400),
            ("POST", KEYS, json!({ "name": "a", "tenant": "nobody" }), 400),
            ("POST", KEYS, json!({ "name": "a", "rate_limits": { "requests_per_minute": 0 } }), 400),
            ("POST", KEYS, json!({ "name": "a", "budget": { "day": { "hard": -1 } } }), 400),
            ("POST", KEYS, json!({ "name": "a".repeat(70_000) }), 413),
            ("POST", TENANTS, json!({ "id": "a/b" }), 400),
            ("PATCH", "/admin/v1/keys/nobody", json!({}), 404),
            ("GET", "/admin/v1/keys?limit=0", Value::Null, 400),
            ("GET", "/admin/v1/keys?limit=x", Value::Null, 400),
            ("PUT", KEYS, json!({}), 405),
        ] {
            let answer = self::admin(fleet, method, path, &body);
            assert_eq!(answer.head.status, expected, "{method} {path} {body}: {}", answer.text());
            error_of(&answer);
        }
    });
}

/// Shown also when the test passes.
fn show(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

//! Tokens of an identity provider: whom they let in, what hostile ones come to, and what becomes of those who have good ones
//! while the provider changes its keys, hangs, talks nonsense or is away.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "identity/provider.rs"]
mod provider;

use std::{
    thread,
    time::{Duration, Instant},
};

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Redis, Replica, admin_api, chat, error_of, eventually, with};
use cloudach_fake_engine::Script;
use provider::{Mode, Provider, Signer, encoded, keys, now};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const TENANTS: &str = "/admin/v1/tenants";

/// A second or two, and what a busy machine takes beyond.
const SOON: Duration = Duration::from_secs(10);

/// A token that names an unknown key leads to a fetch so often at most.
const BETWEEN: Duration = Duration::from_secs(10);

fn issuer(provider: &Provider, changes: Value) -> Value {
    let issuer = json!({
        "name": "sso",
        "issuer": "https://sso.test",
        "jwks_url": format!("http://{}/keys", provider.address),
        "audiences": ["gateway"],
        "tenant": { "claim": "org" },
    });
    json!([with(issuer, changes)])
}

fn fleet(provider: &Provider, changes: Value) -> Fleet {
    start(json!({ "issuers": issuer(provider, changes), "admin_api": admin_api() }), 1)
}

fn start(edge: Value, edges: usize) -> Fleet {
    let replicas = vec![Replica::fake(Script::vllm()), Replica::of("other-model", Script::vllm())];
    let fleet = Fleet::start(Plan { edges, replicas, edge, ..Plan::default() });
    make_tenant(&fleet, &json!({ "id": "acme", "name": "Acme Inc" }));
    fleet
}

fn make_tenant(fleet: &Fleet, tenant: &Value) {
    let made = fleet.admin_of(0).post(TENANTS, tenant);
    assert!((200..300).contains(&made.head.status), "{}", made.text());
}

fn ask(fleet: &Fleet, token: &str) -> Answer {
    Client { key: token.to_owned(), ..fleet.client() }.post(CHAT, &chat("hi"))
}

fn status(fleet: &Fleet, token: &str) -> u16 {
    ask(fleet, token).head.status
}

fn code(answer: &Answer) -> (u16, Value) {
    (answer.head.status, error_of(answer)["code"].take())
}

/// Waits until the issuer's keys are there.
fn until_let_in(fleet: &Fleet, token: &str) {
    eventually(SOON, "the token lets in", || status(fleet, token) == 200);
}

fn ann() -> Value {
    json!({ "sub": "ann", "org": "acme" })
}

#[test]
fn a_token_lets_in_whom_its_claims_name() {
    let signer = Signer::new("k1");
    let provider = Provider::start_tls(Mode::Closes);
    let url = format!("https://localhost:{}", provider.address.port());
    let discovered = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    let documents = [("/.well-known/openid-configuration", discovered), ("/keys", keys(&[&signer]))];
    provider.now(Mode::Documents(documents.map(|(path, document)| (path.to_owned(), document)).to_vec()));
    let fleet = fleet(
        &provider,
        json!({
            "issuer": url,
            "jwks_url": null,
            "ca_file": concat!(env!("CARGO_MANIFEST_DIR"), "/tests/identity/authority.pem"),
            "project": { "claim": "team" },
            "models": "models",
            "require": [{ "claim": "scope", "contains": "llm" }],
            "plans": [{ "claim": "plan", "contains": "small", "limits": { "requests_per_minute": 7 } }],
        }),
    );
    let claims = json!({
        "iss": url, "sub": "ann", "org": "acme", "team": "ml", "models": ["fake-model"], "scope": "openid llm", "plan": "small",
    });
    let token = signer.token(&claims);
    until_let_in(&fleet, &token);
    let answer = ask(&fleet, &token);
    assert_eq!(answer.head.get("openai-organization"), Some("Acme Inc"));
    assert_eq!(answer.head.get("openai-project"), Some("ml"));
    assert_eq!(answer.head.get("x-ratelimit-limit-requests"), Some("7"));
    let client = Client { key: token.clone(), ..fleet.client() };
    let other = client.post(CHAT, &with(chat("hi"), json!({ "model": "other-model" })));
    assert_eq!(code(&other), (403, json!("model_not_found")));
    let listed = client.get("/v1/models").json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(fleet.client().post(CHAT, &chat("hi")).head.status, 200, "keys go on");

    for wrong in [
        json!({ "org": "nobody" }),
        json!({ "scope": "openid" }),
        json!({ "aud": "others" }),
        json!({ "exp": now() - 3600 }),
        json!({ "nbf": now() + 3600 }),
        json!({ "iss": "https://sso.test" }),
    ] {
        let answer = ask(&fleet, &signer.token(&with(claims.clone(), wrong.clone())));
        assert_eq!(code(&answer), (401, json!("invalid_api_key")), "{wrong}");
        let text = answer.text();
        assert!(text.contains("provided: eyJ***.") && !text.contains("scope"), "{text}");
    }
    // The reason is for the operator alone.
    let log = fleet.edges[0].log();
    assert!(
        log.contains("a token that its issuer has signed is refused") && log.contains(r#""says":"nobody""#),
        "{log}"
    );

    // The operator's word goes before the provider's.
    let admin = fleet.admin_of(0);
    let path = format!("{TENANTS}/acme");
    let patch = admin.request("PATCH", &path, &[("content-type", "application/json")], br#"{"suspended":true}"#);
    assert_eq!(admin.ask(&patch).head.status, 200);
    eventually(SOON, "the tenant is suspended", || {
        let answer = ask(&fleet, &token);
        answer.head.status == 429 && code(&answer).1 == "insufficient_quota"
    });
    let metrics = fleet.edges[0].admin_answer("/metrics").unwrap().1;
    for line in [
        r#"cloudach_edge_issuer_keys{issuer="sso"} 1"#,
        r#"cloudach_edge_issuer_away{issuer="sso"} 0"#,
        r#"cloudach_edge_tokens_refused_total{refusal="audience"} 1"#,
        r#"cloudach_edge_tokens_refused_total{refusal="unknown_tenant"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for service in fleet.services() {
        assert!(!service.log().contains(&token[..40]), "{} logs a token", service.name);
    }
}

#[test]
fn hostile_tokens_come_to_nothing() {
    let (signer, stranger) = (Signer::new("k1"), Signer::new("k1"));
    let provider = Provider::start(Mode::Says(keys(&[&signer]).to_string()));
    let fleet = fleet(&provider, json!({ "unknown_tenants": "accept", "limits": { "requests_per_day": 3 } }));
    let good = signer.token(&json!({ "sub": "eve:model:fake-model", "org": "unheard-of" }));
    until_let_in(&fleet, &good);
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let unsigned = |alg: &str| encoded(json!({ "alg": alg, "kid": "k1" }).to_string());
    let tokens = [
        stranger.token(&ann()),
        format!("{}.{claims}.", unsigned("none")),
        format!("{}.{claims}.{signature}", unsigned("HS256")),
        format!("{}.{claims}.{signature}", unsigned("RS256")),
        format!("{head}.{claims}.{}", encoded([0; 64])),
        format!("{head}.{claims}"),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{}.{signature}", encoded("[".repeat(4000))),
        format!("{}.{claims}.{signature}", encoded("{\"a\":".repeat(1000))),
        format!("{head}.{}.{signature}", "A".repeat(60_000)),
        "eyJ.".to_owned(),
        "eyJ..........".to_owned(),
        format!("eyJ.{}", "\u{fc}".repeat(20)),
        "eyJ.\t.\t".to_owned(),
    ];
    for token in &tokens {
        let mut connection = fleet.client().connect();
        let body = chat("hi").to_string();
        let request = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.send(request.as_bytes()).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.head.status, 401, "{token}: {}", answer.text());
        assert!(!answer.text().contains(&signature[..20]), "{}", answer.text());
    }
    assert_eq!(status(&fleet, &good), 200, "the second of three");
    assert_eq!(status(&fleet, &good), 200);
    assert_eq!(status(&fleet, &good), 429, "its own limit, not one of a model's");
    assert_eq!(provider.fetches(), 1, "nothing of this asks the provider");
}

#[test]
fn keys_are_changed_without_a_gap_and_floods_ask_the_provider_seldom() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let provider = Provider::start(Mode::Says(keys(&[&old]).to_string()));
    let fleet = fleet(&provider, json!({}));
    let (by_old, by_new) = (old.token(&ann()), new.token(&ann()));
    until_let_in(&fleet, &by_old);
    let begun = Instant::now();
    assert_eq!(provider.fetches(), 1);

    // The new key is published beside the old one; what asks for it is a token, in the midst of others that nobody signed.
    provider.publishes(&[&old, &new]);
    let mut flood = 0;
    eventually(BETWEEN + SOON, "the new key is known", || {
        flood += 1;
        assert_eq!(status(&fleet, &old.named(&format!("made-up-{flood}"), &ann())), 401);
        assert_eq!(status(&fleet, &by_old), 200);
        status(&fleet, &by_new) == 200
    });
    assert!(begun.elapsed() < BETWEEN + SOON && flood > 10, "{flood} in {:?}", begun.elapsed());
    assert_eq!(provider.fetches(), 2, "after {flood} tokens of unknown keys");
    // Then the old one is taken away: tokens that were checked a moment ago end with it.
    provider.publishes(&[&new]);
    eventually(BETWEEN + SOON, "the old key is gone", || {
        status(&fleet, &new.named("made-up", &ann()));
        status(&fleet, &by_old) == 401
    });
    assert_eq!(status(&fleet, &by_new), 200);
    let most = 2 + begun.elapsed().as_secs() / BETWEEN.as_secs();
    assert!(provider.fetches() as u64 <= most, "{} fetches", provider.fetches());
}

#[test]
fn a_provider_that_misbehaves_harms_nobody_who_was_let_in() {
    let signer = Signer::new("k1");
    let provider = Provider::start(Mode::Closes);
    let fleet = fleet(&provider, json!({ "refresh": "1s", "timeout": "1s" }));
    let token = signer.token(&ann());
    // Nobody can say yet whether the token is good: later, and not "wrong".
    let answer = ask(&fleet, &token);
    assert_eq!(answer.head.status, 503, "{}", answer.text());
    assert_eq!((answer.head.get("retry-after"), answer.head.get("x-should-retry")), (Some("2"), Some("true")));
    assert_eq!(error_of(&answer)["type"], "server_error");
    assert_eq!(fleet.client().post(CHAT, &chat("hi")).head.status, 200, "keys need no provider");

    provider.publishes(&[&signer]);
    until_let_in(&fleet, &token);
    let large = format!("{{\"keys\":[],\"a\":\"{}\"}}", "x".repeat(300_000));
    let many = json!({ "keys": vec![keys(&[&signer])["keys"][0].clone(); 101] });
    for mode in [
        Mode::Closes,
        Mode::Hangs,
        Mode::Says("<html>Login</html>".to_owned()),
        Mode::Says("[".repeat(100_000)),
        Mode::Says(large),
        Mode::Says(many.to_string()),
        Mode::Says(json!({ "keys": [] }).to_string()),
        Mode::Bytes(vec![0xff; 4096]),
        Mode::Bytes(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Mode::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}".to_vec()),
    ] {
        provider.publishes(&[&signer]);
        let away = || {
            let metrics = fleet.edges[0].admin_answer("/metrics").unwrap().1;
            metrics.contains(r#"cloudach_edge_issuer_away{issuer="sso"} 1"#)
        };
        eventually(SOON, "the provider is there", || !away());
        provider.now(mode.clone());
        eventually(SOON, "it is away", away);
        assert_eq!(status(&fleet, &token), 200, "{mode:?}");
        let fresh = signer.token(&with(ann(), json!({ "sub": "bob" })));
        assert_eq!(status(&fleet, &fresh), 200, "{mode:?}");
    }
}

#[test]
fn keys_that_nobody_confirms_are_used_for_so_long_and_no_longer() {
    let signer = Signer::new("k1");
    let provider = Provider::start(Mode::Says(keys(&[&signer]).to_string()));
    let fleet = fleet(&provider, json!({ "refresh": "1s", "stale": "3s" }));
    let token = signer.token(&ann());
    until_let_in(&fleet, &token);
    provider.now(Mode::Closes);
    let begun = Instant::now();
    eventually(SOON, "the keys are given up", || status(&fleet, &token) == 503);
    // It was asked a second ago at most when it went away.
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    provider.publishes(&[&signer]);
    until_let_in(&fleet, &token);
}

#[test]
fn a_fetch_that_hangs_holds_up_no_stop() {
    let provider = Provider::start(Mode::Hangs);
    let fleet = fleet(&provider, json!({ "timeout": "60s" }));
    eventually(SOON, "it is asked", || provider.fetches() == 1);
    fleet.edges[0].terminate();
    let exit = fleet.edges[0].exit_within(SOON);
    assert_eq!(exit.and_then(|exit| exit.code), Some(0), "{exit:?}");
}

#[test]
fn a_tenants_limit_is_shared_by_its_keys_and_its_tokens_at_every_edge() {
    let redis = Redis::start();
    let signer = Signer::new("k1");
    let provider = Provider::start(Mode::Says(keys(&[&signer]).to_string()));
    let issuers = json!({ "issuers": issuer(&provider, json!({})), "store": redis.store("10s") });
    let fleet = start(with(redis.edge(), issuers), 2);
    make_tenant(&fleet, &json!({ "id": "small", "rate_limits": { "requests_per_day": 12 } }));
    let key = fleet.admin_of(0).post("/admin/v1/keys", &json!({ "name": "batch", "tenant": "small" })).json();
    let of = |sub: &str| signer.token(&json!({ "sub": sub, "org": "small" }));
    let callers = [key["key"].as_str().unwrap().to_owned(), of("ann"), of("bob")];
    let warm = signer.token(&ann());
    for edge in 0..2 {
        let client = Client { key: warm.clone(), ..fleet.client_of(edge) };
        eventually(SOON, "the token lets in", || client.post(CHAT, &chat("hi")).head.status == 200);
    }
    let mut statuses = Vec::new();
    for round in 0..4 {
        for (number, caller) in callers.iter().enumerate() {
            let client = Client { key: caller.clone(), ..fleet.client_of((round + number) % 2) };
            statuses.push(client.post(CHAT, &chat("hi")).head.status);
        }
    }
    assert_eq!(statuses, [200; 12]);
    for (number, caller) in callers.iter().enumerate() {
        let client = Client { key: caller.clone(), ..fleet.client_of(number % 2) };
        assert_eq!(code(&client.post(CHAT, &chat("hi"))), (429, json!("rate_limit_exceeded")));
    }
    assert_eq!(Client { key: warm, ..fleet.client() }.post(CHAT, &chat("hi")).head.status, 200, "another tenant's");
}

/// Nobody has ever come with a key of this Redis, so only tenants were looked up in it.
#[test]
fn a_redis_that_is_away_or_wiped_locks_nobody_out_who_was_let_in() {
    let mut redis = Redis::start();
    let signer = Signer::new("k1");
    let provider = Provider::start(Mode::Says(keys(&[&signer]).to_string()));
    let fleet = start(with(redis.edge(), json!({ "issuers": issuer(&provider, json!({})) })), 1);
    let (known, unknown) = (signer.token(&ann()), signer.token(&with(ann(), json!({ "org": "globex" }))));
    until_let_in(&fleet, &known);
    // That the tenant was made is heard on another connection than the answer came by, and what has changed is forgotten.
    thread::sleep(Duration::from_millis(500));
    assert_eq!(status(&fleet, &known), 200);
    redis.kill();
    assert_eq!(status(&fleet, &known), 200);
    let another = signer.token(&with(ann(), json!({ "sub": "bob" })));
    assert_eq!(status(&fleet, &another), 200, "another caller of a tenant that is known");
    assert_eq!(status(&fleet, &unknown), 503, "whether there is this tenant cannot be known");
    redis.restart();
    eventually(3 * SOON, "the wiped store is noticed", || {
        assert_eq!(status(&fleet, &known), 200);
        fleet.edges[0].log().contains("the store is another one than before, or was wiped")
    });
    assert_eq!(status(&fleet, &known), 200);
    assert_eq!(status(&fleet, &unknown), 401);
}

/// A token lives for minutes and a batch for hours: its lines are asked for whom the token named, as they are now.
#[test]
fn a_batch_goes_on_when_its_token_has_expired() {
    let signer = Signer::new("k1");
    let provider = Provider::start(Mode::Says(keys(&[&signer]).to_string()));
    let issuers = issuer(&provider, json!({ "models": "models", "leeway": "0s" }));
    let settings = json!({ "issuers": issuers, "admin_api": admin_api(), "batches": { "tenant_concurrency": 2 } });
    let fleet = start(settings, 1);
    let token = |seconds: u64| {
        let claims = json!({ "models": ["fake-model"], "exp": now() + seconds });
        signer.token(&with(ann(), claims))
    };
    until_let_in(&fleet, &token(60));
    let short = token(3);
    let begin = |token: &str, model: &str, count: usize| {
        let client = Client { key: token.to_owned(), ..fleet.client() };
        let body =
            json!({ "model": model, "messages": [{ "role": "user", "content": "[[tokens=2]][[first=200ms]]" }] });
        let line = |number| json!({ "custom_id": format!("{number}"), "method": "POST", "url": CHAT, "body": body });
        let lines: String = (0..count).map(|number| format!("{}\r\n", line(number))).collect();
        let part = |name: &str, content: &str| {
            format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let form = format!("{}{}--x--\r\n", part("purpose", "batch"), part("file", &lines));
        let kind = [("content-type", "multipart/form-data; boundary=x")];
        let file = client.ask(&client.request("POST", "/v1/files", &kind, form.as_bytes())).json();
        let batch = json!({ "input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h" });
        let batch = client.post("/v1/batches", &batch);
        assert_eq!(batch.head.status, 200, "{}", batch.text());
        format!("/v1/batches/{}", batch.json()["id"].as_str().unwrap())
    };
    let batches = [begin(&short, "fake-model", 50), begin(&short, "other-model", 1)];
    let later = Client { key: token(600), ..fleet.client() };
    let [done, refused] = batches.map(|batch| {
        let over = || Some(later.get(&batch).json()).filter(|batch| batch["status"] == "completed");
        eventually(4 * SOON, "the batch is over", || over().is_some());
        over().unwrap()["request_counts"].take()
    });
    assert_eq!(status(&fleet, &short), 401, "the token has expired meanwhile");
    assert_eq!(done, json!({ "total": 50, "completed": 50, "failed": 0 }));
    assert_eq!(refused, json!({ "total": 1, "completed": 0, "failed": 1 }));
    let stranger = Client { key: signer.token(&json!({ "sub": "eve", "org": "other" })), ..fleet.client() };
    make_tenant(&fleet, &json!({ "id": "other", "name": "Other" }));
    eventually(SOON, "it is let in", || stranger.get("/v1/batches").head.status == 200);
    assert_eq!(stranger.get("/v1/batches").json()["data"], json!([]));
}

//! Which replica a request goes to, and who goes first where requests wait: sessions, prompts that were read, classes of
//! keys, and tenants that share nothing.

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Replica, chat, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn key(name: &str, tenant: &str, priority: &str) -> Value {
    let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "name": name, "sha256": hash, "tenant": tenant, "priority": priority })
}

fn client(fleet: &Fleet, key: &str) -> Client {
    Client { key: key.to_owned(), ..fleet.client() }
}

fn replicas(count: usize) -> Vec<Replica> {
    (0..count).map(|_| Replica::fake(Script::vllm())).collect()
}

fn ask(client: &Client, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let answer = client.ask(&client.request("POST", CHAT, &headers, body.to_string().as_bytes()));
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer
}

/// How many requests each engine has met.
fn met(fleet: &Fleet) -> Vec<usize> {
    fleet.engines.iter().map(|engine| engine.requests().len()).collect()
}

/// The engine that this request goes to.
fn goes_to(fleet: &Fleet, headers: &[(&str, &str)], body: &Value) -> (usize, Answer) {
    let before = met(fleet);
    let answer = ask(&fleet.client(), headers, body);
    let now = met(fleet);
    let grown: Vec<usize> = (0..now.len()).filter(|&engine| now[engine] > before[engine]).collect();
    assert_eq!(grown.len(), 1, "{before:?} became {now:?}");
    (grown[0], answer)
}

fn pick(answer: &Answer) -> &str {
    answer.head.get("x-cloudach-pick").expect("it was asked for")
}

#[test]
fn a_session_stays_at_its_replica_and_comes_back_to_it() {
    let models = json!({ "fake-model": { "policy": "session" } });
    let mut fleet = Fleet::start(Plan { replicas: replicas(3), models, ..Plan::default() });
    let of = |session: &'static str| [("x-session-id", session), ("x-cloudach-explain", "1")];
    let owner = |fleet: &Fleet, session| goes_to(fleet, &of(session), &chat("hi")).0;
    let sessions = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let owners = sessions.map(|session| owner(&fleet, session));
    assert!((0..3).all(|engine| owners.contains(&engine)), "twelve sessions spread over three replicas: {owners:?}");
    for (session, expected) in sessions.into_iter().zip(owners) {
        let (engine, answer) = goes_to(&fleet, &of(session), &chat("again"));
        assert_eq!(engine, expected, "session {session}");
        assert!(pick(&answer).starts_with("policy=session candidates=3 "), "{}", pick(&answer));
    }

    // Where its replica is gone, it goes to another one, and to the same one each time; the other sessions stay.
    let lost = owners[0];
    fleet.sidecars[lost].kill();
    let attached = || fleet.routers[0].metric("cloudach_router_replicas_attached");
    eventually(PATIENCE, "the router knows", || attached() == Some(2.0));
    let meanwhile = sessions.map(|session| owner(&fleet, session));
    assert_eq!(sessions.map(|session| owner(&fleet, session)), meanwhile);
    for (before, now) in owners.into_iter().zip(meanwhile) {
        assert!(now == before || before == lost, "{owners:?} became {meanwhile:?}");
        assert_ne!(now, lost);
    }
    fleet.restart_sidecar(lost);
    assert_eq!(sessions.map(|session| owner(&fleet, session)), owners);
}

#[test]
fn a_conversation_goes_where_it_was_read() {
    let fleet = Fleet::start(Plan { replicas: replicas(3), ..Plan::default() });
    let explained = [("x-cloudach-explain", "1")];
    for conversation in 0..6 {
        let question = format!("{conversation} {}", "a long question. ".repeat(300));
        let first = chat(&question);
        let (engine, answer) = goes_to(&fleet, &explained, &first);
        assert!(pick(&answer).contains(" cached=0/"), "{}", pick(&answer));
        let said = answer.json()["choices"][0]["message"].clone();
        let mut turns = first["messages"].as_array().unwrap().clone();
        turns.extend([said, json!({ "role": "user", "content": "go on" })]);
        let (again, answer) = goes_to(&fleet, &explained, &with(first, json!({ "messages": turns })));
        assert_eq!(again, engine, "{}", pick(&answer));
        let cached = pick(&answer).split(" cached=").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        assert!(cached.parse::<u32>().unwrap() > 1000, "{}", pick(&answer));
    }
    let streamed = fleet.client().request(
        "POST",
        CHAT,
        &[("content-type", "application/json"), ("x-cloudach-explain", "1")],
        with(chat("hi"), json!({ "stream": true })).to_string().as_bytes(),
    );
    assert!(pick(&fleet.client().ask(&streamed)).starts_with("policy=prefix candidates=3 "));
    let unasked = fleet.client().post(CHAT, &chat("hi"));
    assert_eq!(unasked.head.get("x-cloudach-pick"), None);
}

#[test]
fn classes_go_one_before_the_other() {
    let keys = [key("sk-high", "a", "high"), key("sk-normal", "b", "normal"), key("sk-low", "c", "low")];
    let fleet = Fleet::start(Plan {
        models: json!({ "fake-model": { "max_concurrent": 1 } }),
        router: json!({ "queue": { "wait": "60s" } }),
        edge: json!({ "keys": keys }),
        ..Plan::default()
    });
    let waiting = || fleet.routers[0].metric("cloudach_router_requests_waiting");
    let slow = with(chat("first [[tokens=5000]] [[delay=100ms]]"), json!({ "stream": true }));
    let first = client(&fleet, "sk-high").stream(CHAT, &slow);
    // A client may be less urgent than its key, and never more.
    let asked = [
        ("sk-high", "flex", "flex"),
        ("sk-low", "priority", "low"),
        ("sk-normal", "auto", "normal"),
        ("sk-high", "auto", "high"),
    ];
    let mut sent = Vec::new();
    for (number, (key, tier, text)) in asked.into_iter().enumerate() {
        sent.push(client(&fleet, key).send(CHAT, &with(chat(text), json!({ "service_tier": tier }))));
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let count = (number + 1) as f64;
        eventually(PATIENCE, "it waits", || waiting() == Some(count));
    }
    drop(first);
    for mut connection in sent {
        assert_eq!(connection.answer().unwrap().head.status, 200);
    }
    let text = |request: &Value| {
        let prompt = request["prompt"].to_string();
        ["flex", "low", "normal", "high"].into_iter().find(|text| prompt.contains(&format!("|>{text}")))
    };
    let order: Vec<_> = fleet.engine().requests().iter().filter_map(text).collect();
    assert_eq!(order, ["high", "normal", "flex", "low"]);
}

#[test]
fn engines_are_told_of_classes_where_they_schedule_by_them() {
    let keys = [key("sk-high", "a", "high"), key("sk-normal", "b", "normal"), key("sk-low", "c", "low")];
    for schedules in [true, false] {
        let mut plan = Plan { edge: json!({ "keys": keys }), ..Plan::default() };
        plan.sidecar = json!({ "engine": { "priority": schedules } });
        let fleet = Fleet::start(plan);
        let told = |key: &str, own: Value| {
            ask(&client(&fleet, key), &[], &with(chat("hi"), json!({ "priority": own })));
            fleet.engine().requests().last().unwrap()["priority"].as_i64()
        };
        if schedules {
            let all = [("sk-high", 9), ("sk-normal", -3), ("sk-normal", 0), ("sk-normal", 3), ("sk-low", -9)];
            let told = all.map(|(key, own)| told(key, own.into()).unwrap());
            assert!(told.is_sorted_by(|one, next| one < next) && told[2] == 0, "{told:?}");
        } else {
            assert_eq!((told("sk-high", Value::Null), told("sk-low", json!(-9))), (None, Some(-9)));
        }
    }
}

#[test]
fn tenants_share_no_cache() {
    let keys = [key("sk-a1", "a", "normal"), key("sk-a2", "a", "normal"), key("sk-b", "b", "normal")];
    for isolated in [true, false] {
        let edge = json!({ "keys": keys, "isolation": { "prefix_cache": isolated } });
        let replicas = vec![Replica::fake(Script { prompt_tokens_details: true, ..Script::vllm() })];
        let fleet = Fleet::start(Plan { replicas, edge, ..Plan::default() });
        let prompt = "the same beginning. ".repeat(200);
        // What the engine is told, what it had read before, and what the router thought that it had.
        let told = |key: &str, salt: Value| {
            let answer = ask(
                &client(&fleet, key),
                &[("x-cloudach-explain", "1")],
                &with(chat(&prompt), json!({ "cache_salt": salt })),
            );
            let cached = answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
            assert_eq!(cached > 0, !pick(&answer).contains(" cached=0/"), "{cached}: {}", pick(&answer));
            (fleet.engine().requests().last().unwrap()["cache_salt"].clone(), cached > 0)
        };
        let (a, first) = told("sk-a1", Value::Null);
        let (same, second) = told("sk-a2", Value::Null);
        let (b, of_another) = told("sk-b", Value::Null);
        let (own, of_its_own) = told("sk-a1", json!("s"));
        let (others, of_anothers) = told("sk-b", json!("s"));
        assert!(!first && second && a == same && a != own && !of_its_own);
        if isolated {
            assert!(a.as_str().is_some_and(|salt| salt.len() == 32), "{a}");
            assert!(a != b && own != others && !of_another && !of_anothers, "{a} {b} {own} {others}");
            // Nobody finds another's by sending what the engine is told.
            assert!(!told("sk-b", a.clone()).1);
        } else {
            assert!(a.is_null() && b.is_null() && own == json!("s") && others == own && of_another && of_anothers);
        }
    }
}

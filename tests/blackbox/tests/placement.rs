//! Models are loaded where and when they are asked for, sleep when nobody asks, and make room for one another.

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Engine, Fleet, Plan, Redis, Replica, chat, eventually, running, with};
use serde_json::{Value, json};

/// How long a model may take to be there, on a machine that is busy compiling.
const SOON: Duration = Duration::from_secs(30);

const ENGINE: &[&str] = &["fake-engine", "--root", "{source}", "--model", "{model}", "--dev-mode", "--enable-lora"];

/// A fleet of managed sidecars that each have a GPU of 10 GiB, or share one.
fn fleet(sidecars: usize, models: Value, placement: Value) -> Fleet {
    fleet_of(1, sidecars, models, placement)
}

fn fleet_of(routers: usize, sidecars: usize, models: Value, placement: Value) -> Fleet {
    // They are ready at once.
    fleet_that_begins(routers, sidecars, models, placement, "0s")
}

fn fleet_that_begins(routers: usize, sidecars: usize, models: Value, placement: Value, first_order: &str) -> Fleet {
    let managed = json!({
        "sources": ["/models/"],
        "arguments": ["--startup-delay", "--nonsense"],
        "gpus": [{ "id": "gpu-0", "memory_mib": 10_000 }],
        "sleeps": true,
        "first_order": first_order,
    });
    Fleet::start(Plan {
        routers,
        replicas: (0..sidecars).map(|_| Replica { model: "", engine: Engine::Managed(ENGINE) }).collect(),
        models,
        router: json!({ "placement": with(json!({ "settle": "100ms", "hold": "0s", "remembered": "1s" }), placement) }),
        sidecar: json!({ "managed": managed }),
        // Shorter than these tests wait for an answer.
        edge: json!({ "limits": { "load_time": "15s" } }),
        ..Plan::default()
    })
}

fn model(more: Value) -> Value {
    json!({ "placement": with(json!({ "source": "/models/m", "memory_mib": 9000 }), more) })
}

fn ask(client: &Client, model: &str) -> Answer {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 3 });
    client.post("/v1/chat/completions", &body)
}

/// Asks again and again, as clients do.
fn served(client: &Client, model: &str) {
    eventually(SOON, &format!("{model} answers"), || {
        let answer = ask(client, model);
        assert!([200, 503].contains(&answer.head.status), "{}", answer.text());
        answer.head.status == 200
    });
}

/// What the router has decided, as `action model`.
fn decided(fleet: &Fleet) -> Vec<String> {
    decided_by(fleet, 0)
}

fn decided_by(fleet: &Fleet, router: usize) -> Vec<String> {
    let log = fleet.routers[router].log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let decisions = lines.filter(|line| line["message"] == "placement");
    decisions.map(|line| format!("{} {}", told(&line, "action"), told(&line, "model"))).collect()
}

fn told<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

fn engines(fleet: &Fleet) -> Vec<u32> {
    let name =
        |sidecar: usize| format!("unix:{}", fleet.folder.join(format!("sidecar{sidecar}-engine.sock")).display());
    (0..fleet.sidecars.len()).flat_map(|sidecar| running("fake-engine", &name(sidecar))).collect()
}

#[test]
fn a_model_is_loaded_when_it_is_asked_for_and_gives_way_when_it_is_idle() {
    let fleet = fleet(1, json!({ "one": model(json!({})), "two": model(json!({})) }), json!({}));
    let client = fleet.client();
    assert_eq!(engines(&fleet), [0; 0], "nobody has asked for anything");
    for model in ["one", "two", "one"] {
        let answer = ask(&client, model);
        assert_eq!(answer.head.status, 200, "it is waited for: {}", answer.text());
    }
    assert_eq!(decided(&fleet), ["load one", "unload one", "load two", "unload two", "load one"]);
    assert_eq!(engines(&fleet).len(), 1);
    assert_eq!(ask(&client, "three").head.status, 404);
}

#[test]
fn an_idle_model_sleeps_and_is_woken() {
    let fleet = fleet(1, json!({ "one": model(json!({ "sleep_after": "1s" })) }), json!({}));
    let client = fleet.client();
    served(&client, "one");
    let engine = engines(&fleet);
    eventually(SOON, "it sleeps", || fleet.routers[0].log().contains("MODEL_PHASE_SLEEPING"));
    served(&client, "one");
    assert_eq!(decided(&fleet)[..3], ["load one", "sleep one", "wake one"]);
    assert_eq!(engines(&fleet), engine, "it is the same engine");
}

#[test]
fn operators_see_what_is_where_and_why_not() {
    let fleet = fleet(1, json!({ "one": model(json!({})), "two": model(json!({ "memory_mib": 99_000 })) }), json!({}));
    let client = fleet.client();
    served(&client, "one");
    assert_eq!(ask(&client, "two").head.status, 503);
    let shown = |path| serde_json::from_str::<Value>(&fleet.routers[0].admin_answer(path).unwrap().1).unwrap();
    let replica = &shown("/fleet")["replicas"][0];
    assert_eq!(
        (&replica["name"], &replica["model"], &replica["phase"]),
        (&json!("sidecar0"), &json!("one"), &json!("ready"))
    );
    assert_eq!(replica["gpus"], json!([{ "id": "gpu-0", "memory_mib": 10_000 }]));
    let models = shown("/models");
    assert_eq!((&models["models"][0]["ready"], &models["models"][0]["waits_for"]), (&json!(1), &json!("")));
    assert_eq!((&models["models"][1]["ready"], &models["models"][1]["max"]), (&json!(0), &json!(1)));
    let why = models["models"][1]["waits_for"].as_str().unwrap_or_default();
    assert!(why.starts_with("no managed sidecar has what it needs: vllm, 1 GPUs, 99000 MiB"), "{why}");
}

#[test]
fn two_share_a_gpu_by_sleeping_in_turns() {
    let models = json!({ "one": model(json!({})), "two": model(json!({})) });
    let fleet = fleet(2, models, json!({}));
    let client = fleet.client();
    served(&client, "one");
    served(&client, "two");
    served(&client, "one");
    let decided = decided(&fleet);
    assert_eq!(decided, ["load one", "sleep one", "load two", "sleep two", "wake one"], "{decided:?}");
    assert_eq!(engines(&fleet).len(), 2);
}

/// Whoever replaces sidecars one after the other goes on when the last one is ready.
#[test]
fn a_managed_sidecar_is_ready_when_it_has_what_it_is_to_begin_with() {
    let models = json!({ "one": model(json!({ "min": 1, "arguments": ["--startup-delay", "2s"] })) });
    // Both wait until it is ready.
    let mut fleet = fleet_that_begins(1, 1, models, json!({}), "60s");
    assert_eq!(fleet.sidecars[0].metric("cloudach_sidecar_engine_up"), Some(1.0));
    fleet.sidecars[0].terminate();
    fleet.restart_sidecar(0);
    assert_eq!(fleet.sidecars[0].metric("cloudach_sidecar_engine_up"), Some(1.0));
}

#[test]
fn a_minimum_is_kept_when_its_engine_dies() {
    let fleet = fleet(1, json!({ "one": model(json!({ "min": 1 })) }), json!({}));
    let client = fleet.client();
    served(&client, "one");
    let [engine] = engines(&fleet)[..] else { panic!("one engine") };
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    eventually(SOON, "it is told", || fleet.routers[0].log().contains("signal 9"));
    served(&client, "one");
    assert_eq!(decided(&fleet), ["load one", "load one"]);
}

#[test]
fn a_load_that_fails_is_told_and_tried_again_after_a_while() {
    let slow = json!({ "min": 1, "arguments": ["--startup-delay", "60s"] });
    let fleet = fleet(1, json!({ "one": model(slow), "bad": model(json!({ "source": "/etc/passwd" })) }), json!({}));
    eventually(SOON, "its engine starts", || engines(&fleet).len() == 1);
    let [engine] = engines(&fleet)[..] else { panic!("one engine") };
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    eventually(SOON, "it is told", || fleet.routers[0].log().contains("signal 9"));
    assert_eq!(decided(&fleet), ["load one"]);
    // Five seconds later.
    eventually(SOON, "it is loaded again", || decided(&fleet) == ["load one", "load one"]);
    eventually(SOON, "its engine starts", || engines(&fleet).len() == 1);
    // A model of a higher need does not go for one that nothing may load.
    assert_eq!(ask(&fleet.client(), "bad").head.status, 503);
    assert_eq!(engines(&fleet).len(), 1);
}

#[test]
fn an_adapter_is_a_model_of_its_own() {
    let one = model(json!({ "adapters": { "polite": "/models/polite" } }));
    let fleet = fleet(1, json!({ "one": one }), json!({}));
    let client = fleet.client();
    served(&client, "polite");
    served(&client, "one");
    assert_eq!(decided(&fleet), ["load one", "load_adapter one"]);
    let listed = client.get("/v1/models").json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["one", "polite"]);
}

#[test]
fn an_adapter_is_asked_where_it_lies() {
    let adapters = json!({ "kind": "/models/kind", "polite": "/models/polite", "terse": "/models/terse" });
    let one = model(json!({ "memory_mib": 4000, "min": 2, "max": 2, "adapters": adapters }));
    // Not by what was read before.
    let fleet = fleet(2, json!({ "one": with(one, json!({ "policy": "least_loaded" })) }), json!({}));
    let client = fleet.client();
    eventually(SOON, "all is loaded", || decided(&fleet).len() == 8);
    let picked = |model: &str| {
        let body = with(chat("hi"), json!({ "model": model })).to_string();
        let headers = [("content-type", "application/json"), ("x-cloudach-explain", "1")];
        let answer = client.ask(&client.request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
        answer.head.get("x-cloudach-pick").unwrap_or_default().to_owned()
    };
    // Each engine has a place for one adapter, and says so once a second.
    for adapter in ["polite", "kind"] {
        eventually(SOON, "it lies somewhere, and is asked there again and again", || {
            (0..6).all(|_| {
                let why = picked(adapter);
                assert!(why.starts_with("policy=least_loaded candidates=2 "), "{why}");
                why.ends_with(" adapter=resident")
            })
        });
    }
    assert!(!picked("one").contains("adapter"));
}

#[test]
fn of_two_routers_one_orders_and_the_other_takes_over() {
    let redis = Redis::start();
    let lease = json!({ "settle": "1s", "lease": { "url": redis.url(), "time": "2s" } });
    let fleet = fleet_of(2, 1, json!({ "one": model(json!({ "min": 1 })) }), lease);
    let client = fleet.client();
    served(&client, "one");
    let leader = usize::from(decided_by(&fleet, 0).is_empty());
    assert_eq!((decided_by(&fleet, leader), decided_by(&fleet, 1 - leader)), (vec!["load one".to_owned()], Vec::new()));

    fleet.routers[leader].kill();
    let [engine] = engines(&fleet)[..] else { panic!("one engine") };
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    eventually(SOON, "the other loads it", || decided_by(&fleet, 1 - leader) == ["load one"]);
    served(&client, "one");
    assert!(!fleet.sidecars[0].log().contains("is over"), "no epoch was refused");

    // Without Redis nobody orders, and what is there goes on.
    redis.freeze();
    eventually(SOON, "nobody orders", || {
        let lines = fleet.routers[1 - leader].log();
        lines.rsplit("this router orders").next().is_some_and(|after| after.contains("another router orders"))
    });
    assert_eq!(ask(&client, "one").head.status, 200);
    redis.thaw();
    fleet.assert_well();
}

/// A Redis that is full throws away what has no time to live first: the epoch, and not the lease.
#[test]
fn who_orders_goes_on_when_redis_has_forgotten_the_epoch() {
    const EPOCH: &str = "{cloudach:placement}:epoch";
    let redis = Redis::start();
    let lease = json!({ "settle": "100ms", "lease": { "url": redis.url(), "time": "2s" } });
    let fleet = fleet_of(1, 1, json!({ "one": model(json!({ "min": 1 })) }), lease);
    let client = fleet.client();
    served(&client, "one");
    let epoch = || {
        let answer = redis.command(&["GET", EPOCH]).unwrap();
        answer.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = epoch();
    assert!(before > 0);
    redis.command(&["DEL", EPOCH]).unwrap();
    eventually(SOON, "it is told anew", || epoch() >= before);
    let [engine] = engines(&fleet)[..] else { panic!("one engine") };
    assert!(std::process::Command::new("kill").args(["-KILL", &engine.to_string()]).status().unwrap().success());
    eventually(SOON, "it is loaded again", || decided(&fleet) == ["load one", "load one"]);
    served(&client, "one");
    assert!(!fleet.sidecars[0].log().contains("is over"), "no epoch was refused");
}

#[test]
fn what_is_loaded_outlives_its_router() {
    let mut fleet = fleet(1, json!({ "one": model(json!({})) }), json!({ "settle": "4s" }));
    let client = fleet.client();
    served(&client, "one");
    let engine = engines(&fleet);
    fleet.routers[0].kill();
    fleet.restart_router(0);
    served(&client, "one");
    assert_eq!(engines(&fleet), engine);
    assert_eq!(decided(&fleet), [""; 0]);
}

//! Names that stand for several models: traffic is split, falls back and is copied, and each model is prompted in its own way.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::Duration;

use cloudach_blackbox::{
    Answer, Client, Fleet, Plan, Replica, Shared, admin_api, chat, completion, error_of, eventually, with,
};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies that run at a time in one edge.
const MOST_COPIES: usize = 64;

const ENDLESS: &str = "[[tokens=100000]][[delay=1s]]";

fn plan() -> Plan {
    let replicas = ["a", "b", "shadow"];
    let own_way = "{% for message in messages %}OWN {{ message.content }}{% endfor %}";
    let routes = json!({
        "split": { "split": { "a": 3, "b": 1 } },
        "safe": { "split": { "a": 1 }, "fallbacks": ["b"] },
        "seen": { "split": { "a": 1 }, "mirror": { "to": "shadow", "share": 1.0 } },
        "quick": { "split": { "a": 1 }, "timeout": "300ms" },
    });
    Plan {
        replicas: replicas.into_iter().map(|model| Replica::of(model, Script::vllm().saying(model))).collect(),
        models: json!({ "b": { "chat_template": own_way, "timeout": "400ms" }, "shadow": { "chat_template": own_way } }),
        router: json!({ "catalogue": { "routes": routes } }),
        ..Plan::default()
    }
}

static FLEET: Shared = Shared::new(|| Fleet::start(plan()));

fn to(route: &str, message: &str) -> Value {
    with(chat(message), json!({ "model": route }))
}

/// The model that has answered; what the client is told of is what it asked for.
fn model(answer: &Answer, route: &str) -> String {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["model"], route);
    let model = answer.head.get("x-cloudach-model").unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], model);
    model.to_owned()
}

fn prompt(fleet: &Fleet, engine: usize) -> String {
    fleet.engines[engine].requests().last().unwrap()["prompt"].to_string()
}

#[test]
fn traffic_is_split_and_each_model_is_prompted_in_its_own_way() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let answers: Vec<String> = (0..200).map(|_| model(&client.post(CHAT, &to("split", "hi")), "split")).collect();
    let of_b = answers.iter().filter(|model| *model == "b").count();
    // Of 200 a quarter, give or take five deviations.
    assert!((20..=80).contains(&of_b), "{of_b} of 200");
    assert!(prompt(&fleet, 1).contains("OWN hi"), "{}", prompt(&fleet, 1));
    let session = |name: &str| {
        let headers = [("content-type", "application/json"), ("x-session-id", name)];
        let request = client.request("POST", CHAT, &headers, to("split", "hi").to_string().as_bytes());
        model(&client.ask(&request), "split")
    };
    let names: Vec<String> = (0..20).map(|name| format!("session {name}").replace(' ', "-")).collect();
    let first: Vec<String> = names.iter().map(|name| session(name)).collect();
    assert_eq!(names.iter().map(|name| session(name)).collect::<Vec<_>>(), first);
    // Plain models are as ever.
    assert_eq!(client.post(CHAT, &to("a", "hi")).head.get("x-cloudach-model"), None);
    let listed = client.get("/v1/models").json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "shadow", "quick", "safe", "seen", "split"]);
    assert_eq!(client.get("/v1/models/split").json()["id"], "split");
}

#[test]
fn time_outs_are_the_routes_and_the_models() {
    let fleet = FLEET.visit();
    for name in ["quick", "b"] {
        let answer = fleet.client().post(CHAT, &to(name, ENDLESS));
        assert_eq!(answer.head.status, 504, "{name}");
        error_of(&answer);
    }
    eventually(PATIENCE, "the engines are free", || fleet.running() == 0);
}

#[test]
fn another_model_answers_while_one_is_away() {
    let mut fleet = Fleet::start(plan());
    let client = fleet.client();
    let asked = |client: &cloudach_blackbox::Client| client.post(CHAT, &to("safe", "hi"));
    assert_eq!(model(&asked(&client), "safe"), "a");
    fleet.sidecars[0].kill();
    eventually(PATIENCE, "the edge knows", || asked(&client).head.status == 200);
    for _ in 0..5 {
        assert_eq!(model(&asked(&client), "safe"), "b");
    }
    assert!(prompt(&fleet, 1).contains("OWN hi"));
    let alone = client.post(CHAT, &to("quick", "hi"));
    assert_eq!(alone.head.status, 503, "it has no fallback");
    fleet.restart_sidecar(0);
    eventually(PATIENCE, "it is back", || model(&asked(&client), "safe") == "a");
}

#[test]
fn another_model_answers_while_one_has_no_room() {
    let crowded = json!({ "a": { "max_concurrent": 1 } });
    let fleet = Fleet::start(Plan {
        models: with(plan().models, crowded),
        router: with(plan().router, json!({ "queue": { "most": 1 } })),
        ..plan()
    });
    let client = fleet.client();
    // One is worked on and one waits.
    let first = client.send(CHAT, &to("a", ENDLESS));
    eventually(PATIENCE, "it runs", || fleet.engines[0].running() == 1);
    let second = client.send(CHAT, &to("a", ENDLESS));
    let waiting = || fleet.routers[0].metric("cloudach_router_requests_waiting");
    eventually(PATIENCE, "it waits", || waiting() == Some(1.0));
    // Who finds that out is answered by the other model, which is prompted in its own way; and so are those after it.
    for _ in 0..3 {
        assert_eq!(model(&client.post(CHAT, &to("safe", "hi")), "safe"), "b");
        assert!(prompt(&fleet, 1).contains("OWN hi"), "{}", prompt(&fleet, 1));
    }
    assert_eq!(ended(&fleet, "a", "failed"), None, "it is one request, of the model that has answered");
    assert_eq!(ended(&fleet, "b", "served"), Some(3.0));
    let refused = client.post(CHAT, &to("a", "hi"));
    assert_eq!((refused.head.status, refused.head.get("x-should-retry")), (503, Some("true")), "it is no route");
    drop((first, second));
    eventually(PATIENCE, "there is room again", || model(&client.post(CHAT, &to("safe", "hi")), "safe") == "a");
}

/// Chats that have ended.
fn ended(fleet: &Fleet, model: &str, outcome: &str) -> Option<f64> {
    let labels = format!("endpoint=\"chat_completions\",model=\"{model}\",outcome=\"{outcome}\"");
    fleet.edges[0].metric(&format!("cloudach_edge_requests_total{{{labels}}}"))
}

fn fallbacks(fleet: &Fleet, from: &str) -> Option<f64> {
    fleet.edges[0].metric(&format!("cloudach_edge_fallbacks_total{{model=\"{from}\"}}"))
}

#[test]
fn who_has_waited_in_vain_goes_on_to_the_next_model() {
    let fleet = Fleet::start(Plan {
        models: with(plan().models, json!({ "a": { "max_concurrent": 1 } })),
        router: with(plan().router, json!({ "queue": { "wait": "300ms" } })),
        ..plan()
    });
    let client = fleet.client();
    let first = client.send(CHAT, &to("a", ENDLESS));
    eventually(PATIENCE, "it runs", || fleet.engines[0].running() == 1);
    // Token ids are one model's own.
    let of_ids = with(completion("hi"), json!({ "model": "safe", "prompt": [1, 2, 3] }));
    assert_eq!((client.post(COMPLETIONS, &of_ids).head.status, fallbacks(&fleet, "a")), (503, None));
    // For a while it is passed over at once.
    eventually(PATIENCE, "it is asked again", || {
        let answer = client.post(COMPLETIONS, &with(completion("hi"), json!({ "model": "safe" })));
        assert_eq!(answer.json()["choices"][0]["text"], "b");
        fallbacks(&fleet, "a") == Some(1.0)
    });
    // The next model has no place, either: the client is told when to come again.
    fleet.sidecars[1].kill();
    let refused = || {
        let answer = client.post(CHAT, &to("safe", "hi"));
        (answer.head.status, answer.head.get("retry-after").is_some())
    };
    eventually(PATIENCE, "both are known to have none", || refused() == (503, true));
    drop(first);
    eventually(PATIENCE, "there is room again", || client.post(CHAT, &to("safe", "hi")).head.status == 200);
}

#[test]
fn a_request_that_goes_on_is_charged_once() {
    let key = json!({
        "name": "limited", "rate_limits": { "requests_per_day": 6 },
        "model_rate_limits": { "a": { "concurrent_requests": 3 }, "b": { "concurrent_requests": 1 } },
    });
    let fleet = Fleet::start(Plan {
        models: json!({ "a": { "max_concurrent": 1 } }),
        router: with(plan().router, json!({ "queue": { "most": 1, "wait": "60s" } })),
        edge: json!({ "admin_api": admin_api() }),
        ..plan()
    });
    let made = fleet.admin_of(0).post("/admin/v1/keys", &key).json();
    let client = Client { key: made["key"].as_str().unwrap().to_owned(), ..fleet.client() };
    let first = client.send(CHAT, &to("a", ENDLESS));
    eventually(PATIENCE, "it runs", || fleet.engines[0].running() == 1);
    let second = client.send(CHAT, &to("a", ENDLESS));
    let waiting = || fleet.routers[0].metric("cloudach_router_requests_waiting");
    eventually(PATIENCE, "it waits", || waiting() == Some(1.0));
    let moved = client.stream(CHAT, &with(to("safe", ENDLESS), json!({ "stream": true })));
    assert_eq!((moved.head().status, moved.head().get("x-cloudach-model")), (200, Some("b")));
    assert_eq!(fallbacks(&fleet, "a"), Some(1.0));
    // Its place among the first model's is free again, and it has one among those of the second.
    let status = |name: &str| client.post(CHAT, &to(name, "hi")).head.status;
    assert_eq!((status("a"), status("safe")), (503, 429));
    assert_eq!(status("shadow"), 200, "the sixth request of the day");
    assert_eq!(status("shadow"), 429, "and the seventh");
    drop((first, second, moved));
    let all =
        || [("a", "abandoned"), ("a", "failed"), ("b", "abandoned")].map(|(model, how)| ended(&fleet, model, how));
    eventually(PATIENCE, "all are recorded", || all() == [Some(2.0), Some(1.0), Some(1.0)]);
}

#[test]
fn copies_are_made_and_nobody_sees_it() {
    let fleet = Fleet::start(plan());
    let client = fleet.client();
    let copies = |outcome: &str| {
        let name = format!("cloudach_edge_mirrored_total{{model=\"shadow\",outcome=\"{outcome}\"}}");
        fleet.edges[0].metric(&name).unwrap_or_default()
    };
    let shadow = &fleet.engines[2];
    let before = shadow.requests().len();
    assert_eq!(model(&client.post(CHAT, &to("seen", "hi")), "seen"), "a");
    eventually(PATIENCE, "the copy is answered", || (copies("served") - 1.0).abs() < 0.1);
    assert_eq!(shadow.requests().len(), before + 1);
    assert!(prompt(&fleet, 2).contains("OWN hi"));
    let completed = client.post(COMPLETIONS, &with(completion("hi"), json!({ "model": "seen" })));
    assert_eq!(completed.json()["choices"][0]["text"], "a");
    eventually(PATIENCE, "the copy is answered", || (copies("served") - 2.0).abs() < 0.1);

    // One that fails, and more than may run: the originals are answered all the same, and at once.
    shadow.set_script(Script { fail_rate: 1.0, ..Script::vllm() });
    assert_eq!(model(&client.post(CHAT, &to("seen", "hi")), "seen"), "a");
    eventually(PATIENCE, "the copy failed", || (copies("failed") - 1.0).abs() < 0.1);
    let pace = cloudach_fake_engine::Pace { first_token: Duration::from_secs(3600), ..Default::default() };
    shadow.set_script(Script { pace, ..Script::vllm() });
    for _ in 0..MOST_COPIES + 6 {
        assert_eq!(model(&client.post(CHAT, &to("seen", "hi")), "seen"), "a");
    }
    eventually(PATIENCE, "they run", || shadow.running() == MOST_COPIES);
    assert!((copies("dropped") - 6.0).abs() < 0.1, "{}", copies("dropped"));
    // The client has used what it was answered, and no more.
    let ended = |model: &str, endpoint: &str| {
        let labels = format!("endpoint=\"{endpoint}\",model=\"{model}\",outcome=\"served\"");
        fleet.edges[0].metric(&format!("cloudach_edge_requests_total{{{labels}}}"))
    };
    assert_eq!(ended("shadow", "chat_completions"), None);
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let expected = (MOST_COPIES + 8) as f64;
    eventually(PATIENCE, "all are counted", || ended("a", "chat_completions") == Some(expected));
}

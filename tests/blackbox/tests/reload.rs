//! What is taken anew while streams run: the catalogue, keys, limits and the log's level.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use cloudach_blackbox::{Client, Event, Events, Fleet, Plan, Replica, Service, chat, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Streams for about 10 seconds.
const LONG: &str = "[[tokens=200]][[delay=50ms]]";
const TOKENS: usize = 200;

/// `sk-later` by its SHA-256.
const LATER: &str = "sk-later";
const LATER_SHA256: &str = "bef49c022e409f9c6691bc68c863d2bb25f4f3c9dcb97afcb59a91a6cea9dd55";

fn to(model: &str, message: &str) -> Value {
    with(chat(message), json!({ "model": model }))
}

fn begun(client: &Client, model: &str) -> Events {
    let mut stream = client.stream(CHAT, &with(to(model, LONG), json!({ "stream": true })));
    stream.chunk();
    stream.chunk();
    stream
}

fn assert_whole(stream: Events) {
    let events = stream.rest();
    assert_eq!(events.last(), Some(&Event::Done));
    // Two were read before.
    let pieces = events.iter().filter(|event| matches!(event, Event::Json(_))).count() + 2;
    assert!(pieces >= TOKENS, "{pieces} pieces");
}

fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).unwrap();
}

fn metric(service: &Service, name: &str) -> String {
    let (_, metrics) = service.admin_answer("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {metrics}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

fn names(client: &Client) -> Vec<String> {
    let listed = client.get("/v1/models").json();
    listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn answers(client: &Client, model: &str) -> u16 {
    client.post(CHAT, &to(model, "hi")).head.status
}

#[test]
fn the_catalogue_changes_under_running_streams() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("catalogue.yaml");
    fs::write(&file, "models: {a: {}, b: {}}\nroutes: {r: {split: {a: 1}}}\n").unwrap();
    let fleet = Fleet::start(Plan {
        replicas: ["a", "b", "c"].map(|model| Replica::of(model, Script::vllm())).into(),
        router: json!({ "catalogue": file }),
        ..Plan::default()
    });
    let (client, router) = (fleet.client(), &fleet.routers[0]);
    assert_eq!(names(&client), ["a", "b", "r"]);
    assert_eq!(answers(&client, "c"), 404);
    let streams = [begun(&client, "a"), begun(&client, "b"), begun(&client, "r")];

    // A model comes, one goes under its stream, and a route leads elsewhere.
    write(&file, "models: {a: {aliases: [first]}, c: {}}\nroutes: {r: {split: {c: 1}}, s: {split: {a: 1, c: 1}}}\n");
    router.hang_up();
    eventually(PATIENCE, "the edge knows", || names(&client) == ["a", "c", "first", "r", "s"]);
    assert_eq!([answers(&client, "c"), answers(&client, "b"), answers(&client, "first")], [200, 404, 200]);
    let answer = client.post(CHAT, &to("r", "hi"));
    assert_eq!(answer.head.get("x-cloudach-model"), Some("c"));

    // What is wrong is said, and nothing changes.
    for (text, why) in [
        ("models: {a: {polcy: prefix}}", "polcy"),
        ("models: {a: {aliases: [x]}, c: {aliases: [x]}}", "the name `x` stands for both `a` and `c`"),
        ("models: {a: {}}\nroutes: {r: {split: {gone: 1}}}", "leads to `gone`, which the catalogue does not have"),
        ("", "catalogue"),
    ] {
        if text.is_empty() {
            fs::remove_file(&file).unwrap()
        } else {
            write(&file, text)
        }
        router.hang_up();
        let says = || {
            let lines = router.logged(&["the catalogue has changed and cannot be used; the one from before goes on"]);
            lines.last().is_some_and(|line| line["error"].as_str().unwrap().contains(why))
        };
        eventually(PATIENCE, why, says);
        assert_eq!(names(&client), ["a", "c", "first", "r", "s"]);
        assert_eq!(metric(router, "cloudach_router_reload_refused{what=\"catalogue\"}"), "1");
    }

    // Nobody says so: the router looks by itself.
    write(&file, "models: {b: {}, c: {}}\n");
    eventually(PATIENCE, "the edge knows", || names(&client) == ["b", "c"]);
    assert_eq!(metric(router, "cloudach_router_reload_refused{what=\"catalogue\"}"), "0");
    assert_eq!(metric(router, "cloudach_router_reloads_total{what=\"catalogue\",outcome=\"taken\"}"), "2");
    assert_eq!(answers(&client, "b"), 200);
    streams.into_iter().for_each(assert_whole);
}

/// One model has two replicas that are full: who waits goes on waiting when its model leaves the catalogue.
#[test]
fn who_waits_is_served_although_its_model_leaves_the_catalogue() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("catalogue.yaml");
    fs::write(&file, "models: {a: {max_concurrent: 1}}\n").unwrap();
    let fleet = Fleet::start(Plan {
        replicas: vec![Replica::of("a", Script::vllm())],
        router: json!({ "catalogue": file, "queue": { "wait": "30s" } }),
        ..Plan::default()
    });
    let (client, router) = (fleet.client(), &fleet.routers[0]);
    let short = with(to("a", "[[tokens=60]][[delay=50ms]]"), json!({ "stream": true }));
    let mut first = client.stream(CHAT, &short);
    first.chunk();
    let second = client.send(CHAT, &to("a", "hi"));
    eventually(PATIENCE, "it waits", || metric(router, "cloudach_router_requests_waiting") == "1");
    for models in ["models: {b: {}}\n", "models: {c: {}}\n"] {
        write(&file, models);
        router.hang_up();
        let model = &models[9..10];
        eventually(PATIENCE, "the edge knows", || names(&client) == [model]);
    }
    assert_eq!(first.rest().last(), Some(&Event::Done));
    assert_eq!(second.reading().unwrap().head.status, 200);
}

#[test]
fn keys_limits_and_levels_change_under_running_streams() {
    let fleet = Fleet::start(Plan::default());
    let (client, edge) = (fleet.client(), &fleet.edges[0]);
    let later = Client { key: LATER.to_owned(), ..client.clone() };
    assert_eq!(answers(&later, "fake-model"), 401);
    let stream = begun(&client, "fake-model");
    let config = with(
        edge.config().clone(),
        json!({
            "listen": edge.listen,
            "log": "debug",
            "rate_limits": { "requests_per_minute": 2 },
            "keys": [{ "name": "later", "sha256": LATER_SHA256, "tenant": "other" }],
        }),
    );
    edge.rewrite(&config.to_string());
    edge.hang_up();
    eventually(PATIENCE, "the new key is known", || answers(&later, "fake-model") == 200);
    assert_eq!(answers(&client, "fake-model"), 401);
    let limited = later.post(CHAT, &chat("hi"));
    assert_eq!(limited.head.get("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(answers(&later, "fake-model"), 429);
    assert_eq!(edge.admin_answer("/log").unwrap().1, "debug\n");
    assert!(
        edge.logged(&["of what has changed in the configuration, some holds from the next start on only"]).len() == 1
    );

    for (text, why) in [
        (with(config.clone(), json!({ "limitz": 1 })).to_string(), "limitz"),
        (with(config.clone(), json!({ "routers": [] })).to_string(), "`routers` is empty"),
        (with(config.clone(), json!({ "log": "loud" })).to_string(), "`loud` is neither a level"),
        ("{".to_owned(), "not a valid configuration"),
    ] {
        edge.rewrite(&text);
        edge.hang_up();
        let says = || {
            let lines = edge.logged(&["the configuration has changed and cannot be used; what held before goes on"]);
            lines.last().is_some_and(|line| line["error"].as_str().unwrap().contains(why))
        };
        eventually(PATIENCE, why, says);
        assert_eq!(metric(edge, "cloudach_edge_reload_refused{what=\"configuration\"}"), "1");
    }
    edge.rewrite(&with(edge.config().clone(), json!({ "log": null })).to_string());
    eventually(PATIENCE, "as before", || answers(&client, "fake-model") == 200);
    assert_eq!(answers(&later, "fake-model"), 401);
    assert_eq!(edge.admin_answer("/log").unwrap().1, "info\n");
    assert_whole(stream);

    // Every service follows its file.
    for service in [&fleet.routers[0], &fleet.sidecars[0]] {
        service.rewrite(&with(service.config().clone(), json!({ "log": "warn" })).to_string());
        service.hang_up();
        eventually(PATIENCE, "it says less", || service.admin_answer("/log").unwrap().1 == "warn\n");
    }
}

/// The catalogue may stand in the router's own file.
#[test]
fn a_catalogue_in_the_routers_configuration_changes_too() {
    let fleet = Fleet::start(Plan {
        replicas: ["a", "b"].map(|model| Replica::of(model, Script::vllm())).into(),
        ..Plan::default()
    });
    let (client, router) = (fleet.client(), &fleet.routers[0]);
    let mut config = router.config().clone();
    config["catalogue"] = json!({ "models": { "a": {} }, "routes": { "b": { "split": { "a": 1 } } } });
    router.rewrite(&config.to_string());
    router.hang_up();
    let leads_to = || client.post(CHAT, &to("b", "hi")).head.get("x-cloudach-model").map(str::to_owned);
    eventually(PATIENCE, "the name leads to the other model", || leads_to().as_deref() == Some("a"));
    config["catalogue"] = json!({ "models": {}, "routes": { "b": { "split": { "a": 1 } } } });
    router.rewrite(&config.to_string());
    router.hang_up();
    let refused = "the configuration has changed and cannot be used; what held before goes on";
    eventually(PATIENCE, "it is refused", || router.logged(&[refused]).len() == 1);
    assert_eq!(leads_to().as_deref(), Some("a"));
}

//! A Redis that dies while a Sentinel watches it: nobody who is known waits for its replica to take its place, and what was
//! used until then and in between is all there, once.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use cloudach_blackbox::{Client, Fleet, Plan, Sentinel, admin_api, chat, eventually, with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any call may take here.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_replica_takes_the_place_of_a_master_that_dies() {
    let mut sentinel = Sentinel::start();
    let store = json!({ "redis": { "url": sentinel.url(), "deadline": "500ms" }, "pepper": "blackbox-0123456789" });
    let prices = json!({ "fake-model": { "prices": { "prompt": 1, "completion": 1 } } });
    let edge = json!({ "store": store, "admin_api": admin_api() });
    let fleet = Fleet::start(Plan { edges: 2, models: prices, edge, ..Plan::default() });
    eventually(PATIENCE, "the store is there", || are(&fleet, "cloudach_edge_store_up", 1.0));
    let (id, key) = make(&fleet, "known");
    let (_, other) = make(&fleet, "not asked for before");
    let ask = |edge: usize, key: &str| {
        let client = Client { key: key.to_owned(), ..fleet.client_of(edge) };
        let begun = Instant::now();
        let answer = client.post(CHAT, &with(chat("[[tokens=5]]"), json!({ "max_tokens": 10 })));
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        (answer.head.status, answer.head.get("x-request-id").unwrap().to_owned())
    };
    let mut asked = BTreeSet::new();
    let mut ask_both = || {
        for edge in 0..2 {
            let (status, request) = ask(edge, &key);
            assert_eq!(status, 200);
            assert!(asked.insert(request));
        }
    };
    (0..5).for_each(|_| ask_both());
    until_kept(&fleet);
    sentinel.wait_until_replicated();

    sentinel.master.kill();
    let died = Instant::now();
    while !sentinel.has_failed_over() || !are(&fleet, "cloudach_edge_store_up", 1.0) {
        assert!(died.elapsed() < PATIENCE, "no other takes its place");
        ask_both();
    }
    let took = died.elapsed();
    (0..5).for_each(|_| ask_both());
    until_kept(&fleet);
    writeln!(std::io::stderr().lock(), "{} requests; the replica was in use after {took:.1?}", asked.len()).unwrap();

    // What was written to the one is read from the other, and it takes what is new.
    assert_eq!(ask(0, &other).0, 200);
    let (_, new) = make(&fleet, "new");
    assert_eq!(ask(1, &new).0, 200);
    assert!(sentinel.replica.command(&["KEYS", "*"]).unwrap().contains("{directory}:keys"));
    // Every request has its record, once, and is paid for.
    until_kept(&fleet);
    let records = records(&fleet, &id);
    let ids: Vec<_> = records.iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), asked.len());
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), asked);
    let tokens = |record: &Value| {
        let count = |name: &str| record[name].as_u64().unwrap();
        count("prompt_tokens") + count("completion_tokens")
    };
    let used: u64 = records.iter().map(tokens).sum();
    let shown = fleet.admin_of(0).get(&format!("/admin/v1/keys/{id}")).json();
    let spent = shown["spent"]["month"].as_f64().unwrap() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let used = used as f64;
    assert!((spent - used).abs() < 1e-3, "{spent} are counted of {used}");
    fleet.assert_well();
}

fn make(fleet: &Fleet, name: &str) -> (String, String) {
    let mut answer = None;
    eventually(PATIENCE, "the key is made", || {
        let made = fleet.admin_of(0).post("/admin/v1/keys", &json!({ "name": name }));
        let is_made = made.head.status == 201 || made.head.status == 200;
        answer = is_made.then(|| made.json());
        is_made
    });
    let made = answer.unwrap();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn are(fleet: &Fleet, metric: &str, value: f64) -> bool {
    fleet.edges.iter().all(|edge| edge.metric(metric) == Some(value))
}

/// The store has all settlements and records.
fn until_kept(fleet: &Fleet) {
    eventually(PATIENCE, "all is settled", || are(fleet, "cloudach_edge_settlements_pending", 0.0));
    eventually(PATIENCE, "all is kept", || are(fleet, "cloudach_edge_usage_waiting_bytes", 0.0));
}

fn records(fleet: &Fleet, key: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = fleet.admin_of(0).get(&format!("/admin/v1/usage/records?limit=100&after={after}")).json();
        all.extend(page["data"].as_array().unwrap().iter().filter(|record| record["key_id"] == key).cloned());
        if page["has_more"] == json!(false) {
            return all;
        }
        after = page["last_id"].as_str().unwrap().to_owned();
    }
}

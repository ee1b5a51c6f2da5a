//! What was used: told by key, model and day, by OpenAI's own endpoints, and request by request; and still all there, once,
//! after Redis and an edge were killed.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloudach_blackbox::{Client, Fleet, Plan, Redis, admin_api, chat, eventually, with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const USAGE: &str = "/admin/v1/usage";
const RECORDS: &str = "/admin/v1/usage/records";

/// How long a record may take until it is kept.
const SOON: Duration = Duration::from_secs(30);

/// More tokens than any test waits for.
const ENDLESS: &str = "[[tokens=1000000]][[delay=5ms]]";

/// A dollar for a token of the answer.
fn prices() -> Value {
    json!({ "fake-model": { "prices": { "prompt": 0, "completion": 1_000_000 } } })
}

fn with_each(test: impl Fn(&Fleet)) {
    test(&Fleet::start(Plan { models: prices(), edge: json!({ "admin_api": admin_api() }), ..Plan::default() }));
    let redis = Redis::start();
    test(&Fleet::start(Plan { models: prices(), edge: redis.edge(), edges: 2, ..Plan::default() }));
}

fn make(fleet: &Fleet, name: &str) -> (String, Client) {
    let made = fleet.admin_of(0).post("/admin/v1/keys", &json!({ "name": name, "tenant": "acme" })).json();
    let [id, key] = ["id", "key"].map(|field| made[field].as_str().unwrap().to_owned());
    (id, Client { key, ..fleet.client_of(fleet.edges.len() - 1) })
}

fn ask(fleet: &Fleet, path: &str) -> Value {
    let mut answer = fleet.admin_of(0).get(path);
    // A busy machine's Redis may miss a deadline.
    eventually(SOON, "the store is there", || {
        if answer.head.status == 503 {
            answer = fleet.admin_of(0).get(path);
        }
        answer.head.status != 503
    });
    assert_eq!(answer.head.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// Every record that is kept.
fn records(fleet: &Fleet) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = ask(fleet, &format!("{RECORDS}?limit=100&after={after}"));
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == json!(false) {
            return all;
        }
        page["last_id"].as_str().unwrap().clone_into(&mut after);
    }
}

fn rows(fleet: &Fleet, by: &str) -> Vec<Value> {
    ask(fleet, &format!("{USAGE}?by={by}"))["data"].as_array().unwrap().clone()
}

#[test]
fn what_was_used_is_told_in_every_way() {
    with_each(|fleet| {
        let tenant = fleet.admin_of(0).post("/admin/v1/tenants", &json!({ "id": "acme" }));
        assert_eq!(tenant.head.status, 201, "{}", tenant.text());
        let ((first, one), (second, two)) = (make(fleet, "one"), make(fleet, "two"));
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let request = with(chat("[[tokens=5]]"), json!({ "max_tokens": 10 }));
        let (mut ids, mut tokens) = (BTreeSet::new(), BTreeMap::new());
        for (key, client, count) in [(&first, &one, 3), (&second, &two, 2)] {
            for _ in 0..count {
                let answer = client.post(CHAT, &request);
                assert_eq!(answer.head.status, 200, "{}", answer.text());
                ids.insert(answer.head.get("x-request-id").unwrap().to_owned());
                *tokens.entry(key.as_str()).or_insert(0) +=
                    answer.json()["usage"]["completion_tokens"].as_u64().unwrap();
            }
        }
        let mut left = two.stream(CHAT, &with(chat(ENDLESS), json!({ "stream": true })));
        (0..5).for_each(|_| drop(left.chunk()));
        drop(left);
        eventually(SOON, "all are kept", || records(fleet).len() == 6);

        let kept = records(fleet);
        let served = |record: &&Value| record["outcome"] == "served";
        let kept_ids: BTreeSet<_> =
            kept.iter().filter(served).map(|record| record["request_id"].as_str().unwrap()).collect();
        assert_eq!(kept_ids, ids.iter().map(String::as_str).collect());
        let abandoned: Vec<_> = kept.iter().filter(|record| record["outcome"] == "abandoned").collect();
        assert_eq!((abandoned.len(), &abandoned[0]["key_id"]), (1, &json!(second)));
        for record in &kept {
            assert!(record["duration_ms"].as_u64() >= record["first_token_ms"].as_u64(), "{record}");
            assert!(record["first_token_ms"].as_u64() >= record["queue_ms"].as_u64(), "{record}");
            assert!(record["engine_completion_tokens"].as_u64().unwrap() > 0, "{record}");
        }

        let of_abandoned = abandoned[0]["completion_tokens"].as_u64().unwrap();
        *tokens.get_mut(second.as_str()).unwrap() += of_abandoned;
        let by_key = rows(fleet, "key");
        assert_eq!(by_key.len(), 2, "{by_key:?}");
        for row in &by_key {
            let used = tokens[row["key_id"].as_str().unwrap()];
            assert_eq!((&row["requests"], &row["completion_tokens"]), (&json!(3), &json!(used)), "{row}");
            assert!(
                (row["cost_usd"].as_f64().unwrap() - f64::from(u32::try_from(used).unwrap())).abs() < 1e-9,
                "{row}"
            );
        }
        let all: u64 = tokens.values().sum();
        for (by, name) in [("tenant", "acme"), ("model", "fake-model")] {
            let rows = rows(fleet, by);
            assert_eq!((rows.len(), &rows[0][by]), (1, &json!(name)), "{rows:?}");
            assert_eq!((&rows[0]["completion_tokens"], &rows[0]["abandoned"]), (&json!(all), &json!(1)));
        }
        let days: u64 = rows(fleet, "day").iter().map(|row| row["requests"].as_u64().unwrap()).sum();
        assert_eq!(days, 6);
        as_openai_tells_it(fleet, start, &first, all, tokens[first.as_str()]);
    });
}

fn as_openai_tells_it(fleet: &Fleet, start: u64, key: &str, all: u64, of_key: u64) {
    let results = |path: &str| -> Vec<Value> {
        let page = ask(fleet, path);
        let buckets = page["data"].as_array().unwrap().iter();
        buckets.flat_map(|bucket| bucket["results"].as_array().unwrap().clone()).collect()
    };
    let sum = |results: &[Value], pointer: &str| {
        results.iter().map(|it| it.pointer(pointer).unwrap().as_f64().unwrap()).sum::<f64>()
    };
    let close = |one: f64, other: u64| (one - f64::from(u32::try_from(other).unwrap())).abs() < 1e-9;
    let completions = format!("/v1/organization/usage/completions?start_time={start}");
    for width in ["1d", "1h"] {
        let told = results(&format!("{completions}&bucket_width={width}"));
        assert!(close(sum(&told, "/output_tokens"), all) && close(sum(&told, "/num_model_requests"), 6), "{told:?}");
    }
    let told = results(&format!("{completions}&group_by[]=api_key_id&group_by[]=model&group_by[]=project_id"));
    let of_first: Vec<_> = told.iter().filter(|result| result["api_key_id"] == key).cloned().collect();
    assert!(close(sum(&of_first, "/output_tokens"), of_key), "{told:?}");
    assert!(told.iter().all(|result| result["model"] == "fake-model" && result["project_id"] == "acme"), "{told:?}");
    let told = results(&format!("{completions}&api_key_ids={key}"));
    assert!(close(sum(&told, "/output_tokens"), of_key), "{told:?}");
    let told = results(&format!("/v1/organization/costs?start_time={start}&group_by=line_item"));
    assert!(close(sum(&told, "/amount/value"), all), "{told:?}");
    assert_eq!(results(&format!("/v1/organization/usage/embeddings?start_time={start}")), [json!(null); 0]);
    let days = ask(fleet, "/v1/organization/costs?start_time=0&limit=2");
    assert_eq!((&days["has_more"], &days["next_page"]), (&json!(true), &json!("page_172800")));
    let wrong = fleet.admin_of(0).get(&format!("{completions}&bucket_width=1m"));
    assert_eq!((wrong.head.status, &wrong.json()["error"]["param"]), (400, &json!("bucket_width")));
    let nobody = Client { key: "nobody".to_owned(), ..fleet.admin_of(0) };
    assert_eq!(nobody.get(&completions).head.status, 401);
}

/// Redis is killed under load, then the edge, while its spool is full of what Redis has not seen.
#[test]
fn nothing_is_lost_or_doubled_when_redis_and_the_edge_are_killed() {
    let mut redis = Redis::with_settings(&["--appendonly", "yes", "--appendfsync", "always"]);
    let spool = tempfile::TempDir::new().unwrap();
    let edge = with(redis.edge(), json!({ "usage": { "spool": spool.path() } }));
    let mut fleet = Fleet::start(Plan { models: prices(), edge, ..Plan::default() });
    let over = AtomicBool::new(false);
    let request = with(chat("[[tokens=5]]"), json!({ "max_tokens": 10 }));
    let edge_metric =
        |fleet: &Fleet, name: &str| fleet.edges[0].metric(&format!("cloudach_edge_{name}")).unwrap_or(-1.0);
    let asked: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (client, over, request) = (fleet.client(), &over, &request);
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let answer = client.post(CHAT, request);
                        assert_eq!(answer.head.status, 200, "{}", answer.text());
                        ids.push(answer.head.get("x-request-id").unwrap().to_owned());
                    }
                    ids
                })
            })
            .collect();
        for _ in 0..2 {
            let kept = edge_metric(&fleet, "usage_kept_total");
            eventually(SOON, "records arrive", || edge_metric(&fleet, "usage_kept_total") > kept + 20.0);
            redis.kill();
            eventually(SOON, "it is told", || edge_metric(&fleet, "usage_spooling") == 1.0);
            eventually(SOON, "they wait", || edge_metric(&fleet, "usage_waiting_bytes") > 20_000.0);
            redis.restart();
            eventually(SOON, "it is over", || edge_metric(&fleet, "usage_spooling") == 0.0);
        }
        redis.kill();
        eventually(SOON, "they wait again", || edge_metric(&fleet, "usage_waiting_bytes") > 20_000.0);
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    // What was answered is written down when this does not change any more.
    let (mut before, mut since) = (-1.0, Instant::now());
    eventually(SOON, "everything is written down", || {
        let waiting = edge_metric(&fleet, "usage_waiting_bytes");
        if waiting != before {
            (before, since) = (waiting, Instant::now());
        }
        since.elapsed() > Duration::from_millis(300)
    });
    fleet.edges[0].kill();
    redis.restart();
    fleet.restart_edge(0);
    eventually(SOON, "everything is kept", || records(&fleet).len() >= asked.len());
    let kept = records(&fleet);
    let ids: BTreeSet<_> = kept.iter().map(|record| record["request_id"].as_str().unwrap()).collect();
    assert_eq!((kept.len(), ids.len()), (asked.len(), asked.len()), "records, different ones, and requests");
    assert_eq!(ids, asked.iter().map(String::as_str).collect());
    let _ = writeln!(
        std::io::stderr(),
        "{} requests, {} records, 3 kills of Redis, 1 of the edge",
        asked.len(),
        kept.len()
    );
    assert_eq!(ask(&fleet, &format!("{USAGE}?by=day"))["total"]["requests"], json!(asked.len()));
}

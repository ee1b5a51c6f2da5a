//! A bad day for Redis: frozen, killed, started again empty, full. Nothing hangs, keys that are known go on, limits are each
//! edge's share, those that are unknown are told to come back, and what was used is counted when it is over.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Redis, chat, error_of, eventually, with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

const CLIENTS: usize = 8;

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two edges, a Redis, and a key that both know.
struct Trial {
    fleet: Fleet,
    redis: Option<Redis>,
    id: String,
    key: String,
}

/// What clients saw: all were served.
#[derive(Debug)]
#[expect(dead_code, reason = "shown for people")]
struct Seen {
    served: usize,
    slowest: Duration,
}

/// Ends the clients.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_frozen_redis_hangs_nobody() {
    let trial = Trial::start(json!({}));
    let seen = trial.while_clients_ask(|served| {
        trial.redis().freeze();
        trial.assert_away();
        served();
        trial.redis().thaw();
        trial.until_back();
        served();
    });
    show(&format!("frozen: {seen:?}"));
    for edge in &trial.fleet.edges {
        let log = edge.log();
        let said = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        assert!(said("the store is away") <= 2, "{log}");
        assert!((1..=2).contains(&said("limits are this edge's share of them")), "not one line a request: {log}");
    }
    trial.assert_counted();
}

#[test]
fn a_killed_redis_that_comes_back_empty_loses_nobody_who_was_known() {
    let mut trial = Trial::start(json!({}));
    let mut redis = trial.redis.take().unwrap();
    let seen = trial.while_clients_ask(|served| {
        redis.kill();
        trial.assert_away();
        served();
        redis.restart();
        trial.until_back();
        // Its keys are gone; who was known goes on.
        served();
    });
    show(&format!("killed and empty: {seen:?}"));
    let unknown = Client { key: "sk-cloudach-nobody".to_owned(), ..trial.fleet.client() };
    assert_eq!(unknown.post(CHAT, &chat("hi")).head.status, 401);
}

#[test]
fn a_full_redis_counts_what_was_used_when_it_has_room_again() {
    let trial = Trial::start(json!({}));
    let room = |bytes: &str| trial.redis().command(&["CONFIG", "SET", "maxmemory", bytes]).unwrap();
    let seen = trial.while_clients_ask(|served| {
        room("1");
        trial.assert_away();
        served();
        room("0");
        trial.until_back();
        served();
    });
    show(&format!("full: {seen:?}"));
    trial.assert_counted();
}

#[test]
fn limits_are_each_edges_share_while_redis_is_away() {
    let mut trial = Trial::start(json!({ "requests_per_minute": 40 }));
    trial.redis.as_mut().unwrap().kill();
    for edge in 0..2 {
        let client = trial.client(edge);
        // The first may still find the connection that is gone.
        let statuses: Vec<_> = (0..40).map(|_| client.post(CHAT, &chat("hi")).head.status).collect();
        let served = statuses.iter().filter(|status| **status == 200).count();
        assert!((20..=21).contains(&served), "half of 40, and what comes back in the meantime: {statuses:?}");
        let refused = client.post(CHAT, &chat("hi"));
        let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("on requests per min (RPM): Limit 20"), "{message}");
    }
}

/// Going away gives nobody a full limit once more.
#[test]
fn a_share_begins_where_the_limit_was_left() {
    let mut trial = Trial::start(json!({ "requests_per_minute": 40 }));
    for _ in 0..15 {
        for answer in trial.ask_both() {
            assert_eq!(answer.head.status, 200);
        }
    }
    trial.redis.as_mut().unwrap().kill();
    for edge in 0..2 {
        let client = trial.client(edge);
        let served = (0..20).filter(|_| client.post(CHAT, &chat("hi")).head.status == 200).count();
        assert!(
            (5..=9).contains(&served),
            "half of the 10 that were left, and what comes back in the meantime: {served}"
        );
    }
}

impl Trial {
    fn redis(&self) -> &Redis {
        self.redis.as_ref().unwrap()
    }

    fn start(limits: Value) -> Self {
        let redis = Redis::start();
        let prices = json!({ "prompt": 1, "completion": 1 });
        let fleet = Fleet::start(Plan {
            edges: 2,
            models: json!({ "fake-model": { "prices": prices } }),
            edge: redis.edge(),
            ..Plan::default()
        });
        let body = json!({ "name": "bad day", "rate_limits": limits });
        let made = fleet.admin_of(0).post("/admin/v1/keys", &body).json();
        let [id, key] = ["id", "key"].map(|field| made[field].as_str().unwrap().to_owned());
        let trial = Self { fleet, redis: Some(redis), id, key };
        for edge in 0..2 {
            let both = || trial.fleet.edges[edge].metric("cloudach_edge_store_edges") == Some(2.0);
            eventually(PATIENCE, "the edges know of one another", both);
            // Makes the key known and uses nothing. Not before: that there is a new key is told too, and what was known of it
            // by then is forgotten.
            assert_eq!(trial.client(edge).get("/v1/models").head.status, 200);
        }
        trial
    }

    /// Clients ask without a pause from before the fault until after it. `fault` may wait until all of them were served
    /// again: nobody hangs for as long as the fault lasts.
    fn while_clients_ask(&self, fault: impl FnOnce(&dyn Fn())) -> Seen {
        let (served, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let request = with(chat("[[tokens=5]]"), json!({ "max_tokens": 10 }));
        let ask = |number: usize| {
            let (client, mut slowest) = (self.client(number % 2), Duration::ZERO);
            while !over.load(Relaxed) {
                let begun = Instant::now();
                let answer = client.post(CHAT, &request);
                assert_eq!(answer.head.status, 200, "{}", answer.text());
                served.fetch_add(1, Relaxed);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        };
        let more = || {
            let before = served.load(Relaxed);
            eventually(PATIENCE, "clients are served", || served.load(Relaxed) >= before + 5 * CLIENTS);
        };
        let slowest = thread::scope(|scope| {
            let ask = &ask;
            let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || ask(number))).collect();
            // Also where the test fails: or the clients would ask for ever.
            let _over = Over(&over);
            more();
            fault(&more);
            over.store(true, Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).max().unwrap()
        });
        self.until_back();
        Seen { served: served.load(Relaxed), slowest }
    }

    /// It shows, and who is unknown is told to come back.
    fn assert_away(&self) {
        for edge in &self.fleet.edges {
            let alone = || edge.metric("cloudach_edge_limits_by_share") == Some(1.0);
            eventually(PATIENCE, "limits are shares", || {
                self.ask_both();
                alone()
            });
        }
        if self.fleet.edges[0].metric("cloudach_edge_store_up") == Some(0.0) {
            let unknown = Client { key: "sk-cloudach-unknown".to_owned(), ..self.fleet.client() };
            let answer = unknown.post(CHAT, &chat("hi"));
            assert_eq!((answer.head.status, answer.head.get("retry-after")), (503, Some("2")));
            error_of(&answer);
        }
    }

    fn ask_both(&self) -> Vec<Answer> {
        (0..2).map(|edge| self.client(edge).post(CHAT, &chat("[[tokens=1]]"))).collect()
    }

    fn until_back(&self) {
        for edge in &self.fleet.edges {
            eventually(PATIENCE, "limits are shared again", || {
                self.ask_both();
                edge.metric("cloudach_edge_limits_by_share") == Some(0.0)
                    && edge.metric("cloudach_edge_settlements_pending") == Some(0.0)
            });
        }
    }

    /// Every token of the usage lines is paid for: a millionth of a dollar each.
    fn assert_counted(&self) {
        let logs: Vec<_> = self.fleet.edges.iter().map(|edge| edge.log()).collect();
        let lines = logs.iter().flat_map(|log| log.lines()).filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let count = |line: &Value, name: &str| line[name].as_u64().unwrap();
        let used: u64 = lines
            .filter(|line| line["message"] == "request ended")
            .map(|line| count(&line, "prompt_tokens") + count(&line, "completion_tokens"))
            .sum();
        let shown = self.fleet.admin_of(0).get(&format!("/admin/v1/keys/{}", self.id)).json();
        let spent = shown["spent"]["month"].as_f64().unwrap() * 1e6;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let used = used as f64;
        assert!((spent - used).abs() < 1e-3, "{spent} are counted of {used}");
    }

    fn client(&self, edge: usize) -> Client {
        Client { key: self.key.clone(), ..self.fleet.client_of(edge) }
    }
}

/// Shown also when the test passes.
fn show(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

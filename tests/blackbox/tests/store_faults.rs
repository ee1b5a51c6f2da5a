//! A bad day for Redis: frozen, killed, started again empty, full. Nothing hangs, keys that are known go on, limits are each
//! edge's share, those that are unknown are told to come back, and what was used is counted when it is over.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Redis, chat, error_of, eventually, with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How long one call to the store may take, and what a request may take beyond on a busy machine.
const DEADLINE: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_millis(1500);

const CLIENTS: usize = 8;

/// Two edges, a Redis, and a key that both know.
struct Trial {
    fleet: Fleet,
    redis: Redis,
    id: String,
    key: String,
}

/// What clients saw while they asked without a pause.
#[derive(Debug, Default)]
struct Seen {
    served: u64,
    refused: u64,
    slowest: Duration,
}

#[test]
fn a_frozen_redis_hangs_nobody() {
    let trial = Trial::start(json!({}));
    let during = trial.during(|redis| redis.freeze(), |redis| redis.thaw());
    trial.assert_over(&during, "frozen");
}

#[test]
fn a_killed_redis_that_comes_back_empty_loses_nobody_who_was_known() {
    let mut trial = Trial::start(json!({}));
    trial.redis.kill();
    let away = trial.ask_for(Duration::from_secs(2));
    trial.assert_away();
    trial.redis.restart();
    trial.until_back();
    // Its keys are gone; who was known goes on.
    let empty = trial.ask_for(Duration::from_secs(1));
    show(&format!("killed: {away:?}; empty: {empty:?}"));
    assert!(away.served > 0 && empty.served > 0 && away.refused + empty.refused == 0, "{away:?} {empty:?}");
    assert!(away.slowest.max(empty.slowest) < DEADLINE + SLACK, "{away:?} {empty:?}");
    // What was used while it was away is counted by whoever came back.
    let unknown = Client { key: "sk-cloudach-nobody".to_owned(), ..trial.fleet.client() };
    assert_eq!(unknown.post(CHAT, &chat("hi")).head.status, 401);
}

#[test]
fn a_full_redis_counts_what_was_used_when_it_has_room_again() {
    let trial = Trial::start(json!({}));
    let during = trial.during(
        |redis| {
            redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        },
        |redis| {
            redis.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        },
    );
    show(&format!("full: {during:?}"));
    assert!(during.served > 0 && during.refused == 0, "{during:?}");
    assert!(during.slowest < DEADLINE + SLACK, "{during:?}");
    trial.assert_counted();
}

#[test]
fn limits_are_each_edges_share_while_redis_is_away() {
    let mut trial = Trial::start(json!({ "requests_per_minute": 40 }));
    trial.redis.kill();
    for edge in 0..2 {
        let client = trial.client(edge);
        // The first may still find the connection that is gone.
        let served = (0..40).filter(|_| client.post(CHAT, &chat("hi")).head.status == 200).count();
        assert!((20..=21).contains(&served), "half of 40, and what comes back in the meantime: {served}");
        let refused = client.post(CHAT, &chat("hi"));
        let message = error_of(&refused)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("on requests per min (RPM): Limit 20"), "{message}");
    }
}

impl Trial {
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
        let trial = Self { fleet, redis, id, key };
        for edge in 0..2 {
            // A request that is wrong makes the key known and uses nothing.
            assert_eq!(trial.client(edge).get("/v1/models").head.status, 200);
            let both = || trial.fleet.edges[edge].metric("cloudach_edge_store_edges") == Some(2.0);
            eventually(Duration::from_secs(5), "the edges know of one another", both);
        }
        trial
    }

    /// What clients see from before the fault until after it, with what must hold meanwhile.
    fn during(&self, begin: impl Fn(&Redis), end: impl Fn(&Redis)) -> Seen {
        thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask_for(Duration::from_secs(4)));
            thread::sleep(Duration::from_millis(500));
            begin(&self.redis);
            self.assert_away();
            thread::sleep(Duration::from_secs(1));
            end(&self.redis);
            let seen = asking.join().unwrap();
            self.until_back();
            seen
        })
    }

    fn ask_for(&self, time: Duration) -> Seen {
        let end = Instant::now() + time;
        let request = with(chat("[[tokens=5]]"), json!({ "max_tokens": 10 }));
        let seen: Vec<Seen> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (client, request) = (self.client(number % 2), &request);
                    scope.spawn(move || {
                        let mut seen = Seen::default();
                        while Instant::now() < end {
                            let begun = Instant::now();
                            match client.post(CHAT, request).head.status {
                                200 => seen.served += 1,
                                _ => seen.refused += 1,
                            }
                            seen.slowest = seen.slowest.max(begun.elapsed());
                        }
                        seen
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        seen.into_iter().fold(Seen::default(), |sum, seen| Seen {
            served: sum.served + seen.served,
            refused: sum.refused + seen.refused,
            slowest: sum.slowest.max(seen.slowest),
        })
    }

    /// It shows, and who is unknown is told to come back.
    fn assert_away(&self) {
        for edge in &self.fleet.edges {
            let alone = || edge.metric("cloudach_edge_limits_by_share") == Some(1.0);
            eventually(Duration::from_secs(3), "limits are shares", || {
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
            eventually(Duration::from_secs(10), "limits are shared again", || {
                self.ask_both();
                edge.metric("cloudach_edge_limits_by_share") == Some(0.0)
                    && edge.metric("cloudach_edge_settlements_pending") == Some(0.0)
            });
        }
    }

    fn assert_over(&self, seen: &Seen, what: &str) {
        show(&format!("{what}: {seen:?}"));
        assert!(seen.served > 0 && seen.refused == 0, "{seen:?}");
        assert!(seen.slowest < DEADLINE + SLACK, "{seen:?}");
        for edge in &self.fleet.edges {
            let log = edge.log();
            let said = |text: &str| log.lines().filter(|line| line.contains(text)).count();
            assert!(said("the store is away") <= 2, "{log}");
            assert!((1..=2).contains(&said("limits are this edge's share of them")), "not one line a request: {log}");
        }
        self.assert_counted();
    }

    /// Every token of the usage lines is paid for: a millionth of a dollar each.
    fn assert_counted(&self) {
        let logs: Vec<_> = self.fleet.edges.iter().map(|edge| edge.log()).collect();
        let lines = logs.iter().flat_map(|log| log.lines()).filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let count = |line: &Value, name: &str| line[name].as_u64().unwrap();
        let used: u64 = lines
            .filter(|line| line["target"] == "usage")
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

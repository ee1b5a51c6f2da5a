//! A replica that takes a request and says nothing: a second one is asked, where that is wanted, and the first to speak answers.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{ops::Deref, time::Duration};

use cloudach_blackbox::{Answer, Connection, Fleet, Plan, Replica, chat, eventually, with};
use cloudach_fake_engine::{Break, FakeEngine, Fault, Pace, Script};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn stalling() -> Script {
    Script::vllm().fault(Fault::After(0, Break::Stall))
}

fn slow(first_token: Duration) -> Script {
    Script { pace: Pace { first_token, ..Pace::default() }, ..Script::vllm() }
}

/// A fleet, and its engines in the order in which requests go to them.
struct Turns {
    fleet: Fleet,
    order: Vec<usize>,
}

impl Deref for Turns {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Turns {
    fn engine(&self, turn: usize) -> &FakeEngine {
        &self.fleet.engines[self.order[turn]]
    }

    /// How many of the clients' requests each engine has met. Sidecars ask for something else when they start.
    fn met(&self) -> Vec<usize> {
        let is_ours = |request: &&Value| request["prompt"].to_string().contains("|>hi");
        let met = |turn| self.engine(turn).requests().iter().filter(is_ours).count();
        (0..self.order.len()).map(met).collect()
    }
}

/// Replicas that are as scripted once they are ready, in the order in which requests go to them.
fn fleet<const N: usize>(scripts: [Script; N], hedge: &Value) -> Turns {
    let fleet = Fleet::start(Plan {
        replicas: scripts.iter().map(|_| Replica::fake(Script::vllm())).collect(),
        models: json!({ "fake-model": { "policy": "round_robin" } }),
        router: json!({ "relay": { "hedge": hedge } }),
        ..Plan::default()
    });
    let probe = |number: usize| {
        let text = format!("probe {number}");
        assert_eq!(fleet.client().post(CHAT, &chat(&text)).head.status, 200);
        let has_met = |engine: &FakeEngine| engine.requests().iter().any(|request| request.to_string().contains(&text));
        fleet.engines.iter().position(has_met).unwrap()
    };
    let order: Vec<usize> = (0..N).map(probe).collect();
    order.iter().zip(scripts).for_each(|(&engine, script)| fleet.engines[engine].set_script(script));
    Turns { fleet, order }
}

fn send(fleet: &Fleet, body: &Value) -> Connection {
    let client = fleet.client();
    let headers = [("content-type", "application/json"), ("x-cloudach-explain", "1")];
    let mut connection = client.connect();
    connection.send(&client.request("POST", CHAT, &headers, body.to_string().as_bytes())).unwrap();
    connection
}

fn ask(fleet: &Fleet) -> Answer {
    let answer = send(fleet, &chat("hi")).answer().unwrap();
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer
}

fn hedges(fleet: &Fleet, outcome: &str) -> f64 {
    fleet.routers[0].metric(&format!("cloudach_router_hedges_total{{outcome=\"{outcome}\"}}")).unwrap_or_default()
}

fn pick(answer: &Answer) -> &str {
    answer.head.get("x-cloudach-pick").unwrap()
}

#[test]
fn a_second_replica_answers_where_the_first_says_nothing() {
    let fleet = fleet([stalling(), Script::vllm()], &json!({ "after": "200ms" }));
    let answer = ask(&fleet);
    assert!(pick(&answer).contains(" hedge=won after="), "{}", pick(&answer));
    fleet.engine(0).set_script(Script::vllm());
    let undisturbed = ask(&fleet);
    assert!(!pick(&undisturbed).contains("hedge"), "{}", pick(&undisturbed));
    assert_eq!(answer.json()["usage"], undisturbed.json()["usage"], "counted once");
    assert_eq!(answer.json()["choices"], undisturbed.json()["choices"]);
    assert_eq!(fleet.met().iter().sum::<usize>(), 3);
    eventually(PATIENCE, "the one that lost is free of it", || fleet.running() == 0);
    assert_eq!((hedges(&fleet, "won"), hedges(&fleet, "lost")), (1.0, 0.0));

    // It is the other one's turn.
    fleet.engine(1).set_script(stalling());
    let streamed = with(chat("hi"), json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let chunks = fleet.client().stream(CHAT, &streamed).chunks();
    let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string()).count();
    let usages = chunks.iter().filter(|chunk| chunk["usage"].is_object()).count();
    assert_eq!((roles, usages, hedges(&fleet, "won")), (1, 1, 2.0));
}

#[test]
fn whoever_speaks_first_answers() {
    let second = slow(Duration::from_secs(3600));
    let fleet = fleet([slow(Duration::from_secs(2)), second], &json!({ "after": "100ms" }));
    let answer = ask(&fleet);
    assert!(pick(&answer).contains(" hedge=lost after="), "{}", pick(&answer));
    assert_eq!((fleet.met(), hedges(&fleet, "lost")), (vec![1, 1], 1.0));
    eventually(PATIENCE, "the second one is free of it", || fleet.running() == 0);
}

#[test]
fn either_may_die() {
    let fleet = fleet(
        [slow(Duration::from_secs(2)), Script::vllm().fault(Fault::After(0, Break::Reset))],
        &json!({ "after": "100ms" }),
    );
    let answer = ask(&fleet);
    assert!(!pick(&answer).contains("hedge"), "{}", pick(&answer));
    assert_eq!((fleet.met(), hedges(&fleet, "failed")), (vec![1, 1], 1.0));

    fleet.engine(0).set_script(stalling());
    fleet.engine(1).set_script(slow(Duration::from_secs(2)));
    let mut asked = send(&fleet, &chat("hi"));
    eventually(PATIENCE, "both are asked", || fleet.running() == 2);
    fleet.engine(0).kill();
    let answer = asked.answer().unwrap();
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    assert!(pick(&answer).contains(" hedge=won "), "{}", pick(&answer));
    assert_eq!(hedges(&fleet, "won"), 1.0);
}

#[test]
fn never_unasked_and_never_where_it_may_be_what_kills() {
    let late = || slow(Duration::from_secs(1));
    let off = fleet([late(), late()], &Value::Null);
    assert!(!pick(&ask(&off)).contains("hedge"));
    assert_eq!(off.met(), [1, 0]);
    let deadly =
        fleet([Script::vllm().fault(Fault::After(0, Break::Reset)), late(), late()], &json!({ "after": "100ms" }));
    ask(&deadly);
    assert_eq!(deadly.met(), [1, 1, 0], "it has cost one replica already");
}

#[test]
fn no_more_than_a_share_at_once() {
    let fleet = fleet([stalling(), stalling()], &json!({ "after": "1s", "share": 0.2 }));
    let streams: Vec<Connection> = (0..10).map(|_| send(&fleet, &chat("hi"))).collect();
    let withheld = || hedges(&fleet, "withheld");
    // A machine that is slow has fewer of them open when the first one has waited for long.
    eventually(PATIENCE, "all have been looked at", || fleet.met().iter().sum::<usize>() as f64 + withheld() == 20.0);
    assert!((8.0..=9.0).contains(&withheld()), "{} withheld", withheld());
    drop(streams);
    eventually(PATIENCE, "the engines are free of all", || fleet.running() == 0);
    eventually(PATIENCE, "they are counted", || hedges(&fleet, "abandoned") + withheld() == 10.0);
}

//! A replica that fails again and again is left out, tried later, and taken back; never so many that too few are left.

use std::time::Duration;

use cloudach_blackbox::{Fleet, Plan, Replica, chat, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn failing() -> Script {
    Script { fail_rate: 1.0, ..Script::vllm() }
}

/// So many replicas, of which the first ones fail once all are ready.
fn fleet(replicas: usize, failing_ones: usize, base: &str) -> Fleet {
    let fleet = Fleet::start(Plan {
        replicas: (0..replicas).map(|_| Replica::fake(Script::vllm())).collect(),
        models: json!({ "fake-model": { "policy": "round_robin" } }),
        router: json!({ "relay": { "eject": { "failures": 3, "base": base, "most": "1h" } } }),
        ..Plan::default()
    });
    fleet.engines.iter().take(failing_ones).for_each(|engine| engine.set_script(failing()));
    fleet
}

fn figure(fleet: &Fleet, name: &str) -> Option<f64> {
    fleet.routers[0].metric(&format!("cloudach_router_{name}"))
}

#[test]
fn who_fails_is_left_out() {
    let fleet = fleet(3, 1, "1h");
    let client = fleet.client();
    let ask = |times: usize| (0..times).for_each(|_| assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200));
    ask(30);
    assert_eq!((figure(&fleet, "replicas_ejected"), figure(&fleet, "ejections_total")), (Some(1.0), Some(1.0)));
    let met = fleet.engines[0].requests().len();
    ask(30);
    assert_eq!(fleet.engines[0].requests().len(), met, "it is asked no more");
    assert_eq!(fleet.routers[0].logged(&["replica fails and is left out"]).len(), 1);
}

#[test]
fn who_is_well_again_is_taken_back() {
    let fleet = fleet(2, 1, "200ms");
    let client = fleet.client();
    let is_out = |out: f64| {
        assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
        figure(&fleet, "replicas_ejected") == Some(out)
    };
    eventually(PATIENCE, "it is left out", || is_out(1.0));
    fleet.engines[0].set_script(Script::vllm());
    eventually(PATIENCE, "it is taken back", || is_out(0.0));
    let met = fleet.engines[0].requests().len();
    (0..10).for_each(|_| assert!(is_out(0.0)));
    assert!(fleet.engines[0].requests().len() >= met + 4, "it has its share again");
    assert_eq!(fleet.routers[0].logged(&["replica is well again"]).len(), 1);
}

/// An answer may take minutes: the first of it says that the replica is well.
#[test]
fn who_answers_is_taken_back_before_the_answer_ends() {
    let fleet = fleet(2, 1, "200ms");
    let client = fleet.client();
    let is_out = |out: f64| figure(&fleet, "replicas_ejected") == Some(out);
    eventually(PATIENCE, "it is left out", || {
        assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
        is_out(1.0)
    });
    fleet.engines[0].set_script(Script::vllm());
    let long = with(chat("[[tokens=100000]][[delay=50ms]]"), json!({ "stream": true }));
    let mut streams = Vec::new();
    eventually(PATIENCE, "it is taken back", || {
        let mut stream = client.stream(CHAT, &long);
        (0..2).for_each(|_| drop(stream.chunk()));
        streams.push(stream);
        is_out(0.0)
    });
    assert_eq!(fleet.running(), streams.len(), "all of them run");
    let met = fleet.engines[0].requests().len();
    (0..10).for_each(|_| assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200));
    assert!(fleet.engines[0].requests().len() >= met + 4, "it has its share again");
}

#[test]
fn half_of_them_stay_whatever_they_do() {
    for (count, out) in [(1, 0.0), (2, 1.0), (3, 1.0)] {
        let fleet = fleet(count, count, "1h");
        let client = fleet.client();
        for _ in 0..20 {
            assert!(client.post(CHAT, &chat("hi")).head.status >= 500);
        }
        assert_eq!(figure(&fleet, "replicas_ejected"), Some(out), "of {count}");
        // Those that stay are asked, and are well.
        fleet.engines.iter().for_each(|engine| engine.set_script(Script::vllm()));
        for _ in 0..10 {
            assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
        }
    }
}

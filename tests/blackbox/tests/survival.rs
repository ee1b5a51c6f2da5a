//! Processes that are killed: the others carry on, and what is started again is used again.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use cloudach_blackbox::{
    Engine, Event, Events, Fleet, Link, Plan, Replica, chat, eventually, group_of, in_group, running, with,
};
use cloudach_fake_engine::Script;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// Two of each, reached over TCP as on different machines.
fn two_of_each() -> Plan {
    Plan {
        edges: 2,
        routers: 2,
        replicas: vec![Replica::fake(Script::vllm()), Replica::fake(Script::vllm())],
        link: Link::Tcp,
        ..Plan::default()
    }
}

/// Not one request is lost with a replica that dies, nor is one stream: what it was to be sent, and what it has begun, the
/// other one does.
#[test]
fn a_sidecar_is_killed_and_comes_back() {
    let mut fleet = Fleet::start(two_of_each());
    let streams = open_streams(&fleet, 12);
    eventually(Duration::from_secs(5), "all streams run", || fleet.running() == 12);
    let hit = fleet.engines[0].running();
    assert!((3..=9).contains(&hit), "both replicas share the work");
    fleet.sidecars[0].kill();
    for request in 0..40 {
        assert_eq!(ask(&fleet, request % 2), 200, "request {request} after the death");
    }
    let ends: Vec<_> = streams.into_iter().map(how_it_ends).collect();
    assert!(ends.iter().all(|end| *end == End::Done), "{ends:?}");
    let resumed = fleet.routers[0].metric("cloudach_router_resumptions_total").unwrap_or_default()
        + fleet.routers[1].metric("cloudach_router_resumptions_total").unwrap_or_default();
    assert!((resumed - hit as f64).abs() < 0.5, "its {hit} streams, and no others: {resumed}");

    let before = fleet.engines[0].requests().len();
    fleet.restart_sidecar(0);
    eventually(Duration::from_secs(5), "it is used again", || {
        assert_eq!(ask(&fleet, 0), 200);
        fleet.engines[0].requests().len() > before + 3
    });
}

/// Nothing is lost with a router: what it carried goes on through the other one, and so does what it was to be sent.
#[test]
fn a_router_is_killed_and_comes_back() {
    let mut fleet = Fleet::start(two_of_each());
    let streams = open_streams(&fleet, 12);
    eventually(Duration::from_secs(5), "all streams run", || fleet.running() == 12);
    let open = |router: usize| fleet.routers[router].metric("cloudach_router_requests_open").unwrap();
    let router = usize::from(open(1) > open(0));
    assert!(open(router) >= 6.0);
    fleet.routers[router].kill();
    for request in 0..40 {
        assert_eq!(ask(&fleet, request % 2), 200, "request {request} after the death");
    }
    let ends: Vec<_> = streams.into_iter().map(how_it_ends).collect();
    assert!(ends.iter().all(|end| *end == End::Done), "{ends:?}");

    fleet.restart_router(router);
    let served = "cloudach_router_requests_total{outcome=\"served\"}";
    eventually(Duration::from_secs(10), "it is used again", || {
        assert_eq!(ask(&fleet, 0), 200);
        fleet.routers[router].metric(served).is_some_and(|count| count > 3.0)
    });
}

#[test]
fn a_router_and_a_sidecar_are_killed_at_once() {
    let mut fleet = Fleet::start(two_of_each());
    for edge in 0..2 {
        assert_eq!(ask(&fleet, edge), 200);
    }
    fleet.routers[1].kill();
    fleet.sidecars[1].kill();
    for request in 0..40 {
        assert_eq!(ask(&fleet, request % 2), 200, "request {request} after the deaths");
    }
    fleet.restart_router(1);
    fleet.restart_sidecar(1);
    for request in 0..40 {
        let answer = fleet.client_of(request % 2).post(CHAT, &chat("[[tokens=2]]"));
        assert_eq!(answer.head.status, 200, "request {request}: {}", answer.text());
    }
    assert!(!fleet.engines[1].requests().is_empty());
}

/// What nobody can serve is a 503, at once where the routers have been away for longer than a rollout takes, and the edge says
/// that it is not ready.
#[test]
fn all_routers_are_killed_and_come_back() {
    let mut fleet = Fleet::start(Plan { routers: 2, link: Link::Tcp, ..Plan::default() });
    fleet.routers[0].kill();
    fleet.routers[1].kill();
    eventually(Duration::from_secs(1), "the edge is not ready", || !fleet.edges[0].is_ready());
    assert_eq!(ask(&fleet, 0), 503, "once it has been waited for another router");
    let begun = Instant::now();
    let answer = fleet.client().post(CHAT, &chat("hi"));
    assert_eq!(answer.head.status, 503);
    assert!(answer.head.get("retry-after").is_some());
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(fleet.client().get("/v1/models").head.status, 200, "what was known of the models is still known");
    fleet.restart_router(0);
    eventually(Duration::from_secs(10), "the edge is ready", || fleet.edges[0].is_ready());
    let answer = fleet.client().post(CHAT, &chat("hi"));
    assert_eq!(answer.head.status, 200, "{}", answer.text());
}

/// A router tells every 15 seconds that a request still waits. That is no sign of life to the client, who is given one in time
/// all the same.
#[test]
fn a_stream_whose_replica_is_gone_is_kept_alive() {
    let edge = json!({ "stream": { "keep_alive": "16s" } });
    let fleet = Fleet::start(Plan { edge, ..Plan::default() });
    let request = with(chat("[[tokens=100000]][[delay=5ms]]"), json!({ "stream": true }));
    let mut stream = fleet.client().stream(CHAT, &request);
    stream.chunk();
    fleet.sidecars[0].kill();
    let killed = Instant::now();
    let comment = loop {
        // A client here is patient for 20 seconds.
        match stream.event().unwrap() {
            Some(Event::Json(chunk)) => assert_eq!(chunk.get("error"), None, "another replica is waited for"),
            other => break other,
        }
    };
    assert!(matches!(comment, Some(Event::Comment(_))), "{comment:?}");
    assert!((15..19).contains(&killed.elapsed().as_secs()), "{:?}", killed.elapsed());
}

/// An engine with a process of its own, as vLLM has for each GPU.
const WITH_GRANDCHILD: &[&str] = &["sh", "-c", "sleep 86399 & exec \"$0\" \"$@\"", "fake-engine"];

fn with_child() -> Fleet {
    let replica = Replica { model: "fake-model", engine: Engine::Child(WITH_GRANDCHILD) };
    Fleet::start(Plan { replicas: vec![replica], ..Plan::default() })
}

#[test]
fn a_killed_sidecar_takes_its_engine_with_it_and_a_new_one_starts_its_own() {
    let mut fleet = with_child();
    let group = engine_group(&fleet);
    assert!(in_group(group).len() >= 2, "the engine and its own child");
    assert_eq!(ask(&fleet, 0), 200);
    fleet.sidecars[0].kill();
    eventually(Duration::from_secs(3), "the engine and its child are gone", || in_group(group).is_empty());
    fleet.restart_sidecar(0);
    assert_ne!(engine_group(&fleet), group);
    assert_eq!(ask(&fleet, 0), 200);
}

#[test]
fn a_killed_engine_is_started_again() {
    let fleet = with_child();
    let group = engine_group(&fleet);
    kill_process(Pid::from_raw(engine(&fleet).cast_signed()).unwrap(), Signal::KILL).unwrap();
    eventually(Duration::from_secs(3), "its own child is not left behind", || in_group(group).is_empty());
    eventually(Duration::from_secs(15), "another one serves", || ask(&fleet, 0) == 200);
    assert_ne!(engine_group(&fleet), group);
}

#[derive(Debug, PartialEq)]
enum End {
    Done,
    Error,
}

/// Streams through both edges that have begun and last for about two seconds.
fn open_streams(fleet: &Fleet, count: usize) -> Vec<Events> {
    // What begins alike goes to one router.
    let request = |number| with(chat(&format!("{number} [[tokens=100]][[delay=20ms]]")), json!({ "stream": true }));
    let open = |number: usize| fleet.client_of(number % 2).stream(CHAT, &request(number));
    let mut streams: Vec<_> = (0..count).map(open).collect();
    // From its first token on a stream belongs to its replica.
    for stream in &mut streams {
        stream.chunk();
        stream.chunk();
    }
    streams
}

/// A stream either is whole or says in one event why it is not.
fn how_it_ends(stream: Events) -> End {
    let events = stream.rest();
    let errors =
        events.iter().filter(|event| matches!(event, Event::Json(chunk) if chunk.get("error").is_some())).count();
    match events.last() {
        Some(Event::Done) if errors == 0 => End::Done,
        Some(Event::Json(Value::Object(last))) if errors == 1 && last.contains_key("error") => End::Error,
        _ => panic!("{events:?}"),
    }
}

/// Each time another prompt: what begins alike goes to one router.
fn ask(fleet: &Fleet, edge: usize) -> u16 {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let number = ASKED.fetch_add(1, Ordering::Relaxed);
    fleet.client_of(edge).post(CHAT, &chat(&format!("{number} [[tokens=2]]"))).head.status
}

/// The process of the engine that the sidecar has started.
fn engine(fleet: &Fleet) -> u32 {
    let socket = format!("unix:{}", fleet.folder.join("sidecar0-engine.sock").display());
    let engines = running("fake-engine", &socket);
    assert_eq!(engines.len(), 1, "{engines:?}");
    engines[0]
}

fn engine_group(fleet: &Fleet) -> u32 {
    group_of(engine(fleet)).expect("it runs")
}

//! SIGTERM: what runs is finished up to the deadline, what is new goes elsewhere or is refused, and the process ends
//! with exit code 0.

use std::time::{Duration, Instant};

use cloudach_blackbox::{
    Client, Engine, Event, Events, Exit, Fleet, Plan, Replica, Service, chat, chat_text, eventually, running, with,
};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// Streams for about a second and a half.
const SHORT: &str = "[[tokens=50]][[delay=30ms]]";
const ENDLESS: &str = "[[tokens=1000000]][[delay=5ms]]";

const IN_ORDER: Exit = Exit { code: Some(0), signal: None };

/// Stopping takes its time, and longer is a hang, also on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Edge,
    Router,
    Sidecar,
}

const KINDS: [Kind; 3] = [Kind::Edge, Kind::Router, Kind::Sidecar];

#[test]
fn an_idle_process_ends_promptly() {
    for kind in KINDS {
        let fleet = Fleet::start(Plan::default());
        // A connection that rests does not hold anything up.
        let client = fleet.client();
        let mut connection = client.connect();
        connection.send(&client.posting(CHAT, &chat("hi"))).unwrap();
        assert_eq!(connection.answer().unwrap().head.status, 200);
        let begun = Instant::now();
        service(&fleet, kind).terminate();
        assert_eq!(service(&fleet, kind).exit_within(SLACK), Some(IN_ORDER), "{kind:?}");
        println!("{kind:?} ended after {:?}", begun.elapsed());
    }
}

#[test]
fn an_edge_finishes_its_streams_and_takes_no_connection() {
    let fleet = Fleet::start(Plan::default());
    let client = fleet.client();
    let stream = open(&client, SHORT);
    let whole = client.send(CHAT, &chat(SHORT));
    eventually(Duration::from_secs(5), "both run", || fleet.running() == 2);
    let edge = &fleet.edges[0];
    edge.terminate();
    eventually(Duration::from_millis(500), "it is not ready", || !edge.is_ready());
    assert_eq!(edge.admin_answer("/readyz").unwrap().0, 503);
    assert_eq!(edge.admin_answer("/livez").unwrap().0, 200);
    eventually(Duration::from_millis(500), "connections are refused", || client.try_connect().is_err());
    assert_whole(stream);
    assert_eq!(whole.reading().unwrap().head.status, 200);
    assert_eq!(edge.exit_within(SLACK), Some(IN_ORDER));
}

/// Load balancers need a moment to notice; until then they still send.
#[test]
fn an_edge_takes_requests_while_load_balancers_notice() {
    let fleet = Fleet::start(Plan { edge: json!({ "drain": { "settle": "1s" } }), ..Plan::default() });
    let edge = &fleet.edges[0];
    edge.terminate();
    eventually(Duration::from_millis(500), "it is not ready", || !edge.is_ready());
    assert_eq!(fleet.client().post(CHAT, &chat("hi")).head.status, 200);
    assert_eq!(edge.exit_within(Duration::from_secs(1) + SLACK), Some(IN_ORDER));
}

#[test]
fn a_router_finishes_its_streams_and_new_ones_take_the_other() {
    let fleet = Fleet::start(Plan { routers: 2, ..Plan::default() });
    let client = fleet.client();
    // What begins alike goes to one router.
    let streams: Vec<_> = (0..6).map(|number| open(&client, &format!("{number} {SHORT}"))).collect();
    let open = |router: &&Service| router.metric("cloudach_router_requests_open").unwrap();
    let router = fleet.routers.iter().max_by(|one, other| open(one).total_cmp(&open(other))).unwrap();
    assert!(open(&router) >= 3.0);
    router.terminate();
    eventually(Duration::from_millis(500), "it is not ready", || !router.is_ready());
    for _ in 0..20 {
        assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
    }
    streams.into_iter().for_each(assert_whole);
    assert_eq!(router.exit_within(SLACK), Some(IN_ORDER));
    assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
}

#[test]
fn a_sidecar_finishes_its_streams_and_new_ones_take_the_other() {
    let fleet = Fleet::start(Plan::of([Script::vllm(), Script::vllm()]));
    let client = fleet.client();
    let streams: Vec<_> = (0..6).map(|_| open(&client, SHORT)).collect();
    assert!(fleet.engines[0].running() >= 2);
    let sidecar = &fleet.sidecars[0];
    sidecar.terminate();
    eventually(Duration::from_millis(500), "it is not ready", || !sidecar.is_ready());
    for _ in 0..20 {
        assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
    }
    streams.into_iter().for_each(assert_whole);
    assert_eq!(sidecar.exit_within(SLACK), Some(IN_ORDER));
    for _ in 0..20 {
        assert_eq!(client.post(CHAT, &chat("hi")).head.status, 200);
    }
}

#[test]
fn the_only_router_or_sidecar_refuses_what_is_new_while_it_finishes() {
    for kind in [Kind::Router, Kind::Sidecar] {
        let fleet = Fleet::start(Plan::default());
        let stream = open(&fleet.client(), SHORT);
        service(&fleet, kind).terminate();
        eventually(Duration::from_millis(500), "it takes nothing", || {
            fleet.client().post(CHAT, &chat("hi")).head.status == 503
        });
        assert_whole(stream);
        assert_eq!(service(&fleet, kind).exit_within(SLACK), Some(IN_ORDER));
    }
}

#[test]
fn what_outlasts_the_deadline_is_ended_with_one_error() {
    let drain = json!({ "drain": { "settle": "0s", "grace": "500ms" } });
    for kind in KINDS {
        let plan = Plan { edge: drain.clone(), router: drain.clone(), sidecar: drain.clone(), ..Plan::default() };
        let fleet = Fleet::start(plan);
        let stream = open(&fleet.client(), ENDLESS);
        let whole = fleet.client().send(CHAT, &chat(ENDLESS));
        eventually(Duration::from_secs(5), "both run", || fleet.running() == 2);
        let begun = Instant::now();
        service(&fleet, kind).terminate();
        let events = stream.rest();
        assert!(begun.elapsed() > Duration::from_millis(400), "{kind:?}: the stream had its time");
        let errors = events.iter().filter(|event| matches!(event, Event::Json(chunk) if chunk.get("error").is_some()));
        assert_eq!(errors.count(), 1, "{kind:?}");
        let Some(Event::Json(last)) = events.last() else { panic!("{kind:?}: {:?}", events.last()) };
        assert_eq!(last["error"]["type"], "server_error", "{kind:?}");
        let mut reading = whole.reading().unwrap();
        assert_eq!(reading.head.status, 503, "{kind:?}");
        while reading.bytes().unwrap().is_some() {}
        assert_eq!(service(&fleet, kind).exit_within(SLACK), Some(IN_ORDER), "{kind:?}");
        eventually(Duration::from_secs(1), "the engine is idle", || fleet.running() == 0);
    }
}

#[test]
fn a_second_signal_hurries() {
    for kind in KINDS {
        let fleet = Fleet::start(Plan::default());
        let stream = open(&fleet.client(), ENDLESS);
        let service = service(&fleet, kind);
        service.terminate();
        eventually(Duration::from_millis(500), "it is stopping", || !service.is_ready());
        service.terminate();
        assert_eq!(service.exit_within(SLACK), Some(IN_ORDER), "{kind:?}");
        assert!(matches!(stream.rest().last(), Some(Event::Json(last)) if last.get("error").is_some()), "{kind:?}");
    }
}

#[test]
fn a_sidecar_ends_the_engine_that_it_started() {
    let replica = Replica { model: "fake-model", engine: Engine::Child(&["fake-engine"]) };
    let fleet = Fleet::start(Plan { replicas: vec![replica], ..Plan::default() });
    let stream = open(&fleet.client(), SHORT);
    let socket = format!("unix:{}", fleet.folder.join("sidecar0-engine.sock").display());
    assert_eq!(running("fake-engine", &socket).len(), 1);
    fleet.sidecars[0].terminate();
    assert_whole(stream);
    assert_eq!(fleet.sidecars[0].exit_within(SLACK), Some(IN_ORDER));
    assert!(running("fake-engine", &socket).is_empty());
}

#[test]
fn a_fleet_is_stopped_from_the_front() {
    let fleet = Fleet::start(Plan::default());
    let stream = open(&fleet.client(), SHORT);
    for kind in KINDS {
        service(&fleet, kind).terminate();
    }
    assert_whole(stream);
    for kind in KINDS {
        assert_eq!(service(&fleet, kind).exit_within(SLACK), Some(IN_ORDER), "{kind:?}");
    }
}

fn service(fleet: &Fleet, kind: Kind) -> &Service {
    match kind {
        Kind::Edge => &fleet.edges[0],
        Kind::Router => &fleet.routers[0],
        Kind::Sidecar => &fleet.sidecars[0],
    }
}

/// A stream that has begun.
fn open(client: &Client, prompt: &str) -> Events {
    let mut events = client.stream(CHAT, &with(chat(prompt), json!({ "stream": true })));
    assert_eq!(events.chunk()["choices"][0]["delta"]["role"], "assistant");
    events
}

fn assert_whole(stream: Events) {
    let chunks: Vec<Value> = stream.chunks();
    assert_eq!(chat_text(&chunks, 0).split_whitespace().count(), 50);
    assert_eq!(chunks[chunks.len() - 1]["choices"][0]["finish_reason"], "stop");
}

//! Traces as a collector gets them: one unbroken tree from the client to the engine, of requests that stream, are tried again,
//! go on elsewhere, are refused; what is kept of those that are not sampled; and a collector that is slow, goes away and comes
//! back.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "traces/collector.rs"]
mod collector;
#[path = "traces/tree.rs"]
mod tree;

use std::time::{Duration, Instant};

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Replica, chat, eventually, with};
use cloudach_fake_engine::{Break, FakeEngine, Fault, FaultRule, Script, Serves, TraceHeaders};
use collector::{Collector, Span};
use serde_json::{Value, json};
use tree::{children, draw, one, root};

const CHAT: &str = "/v1/chat/completions";
const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EDGE: &str = "cloudach-edge";
const ROUTER: &str = "cloudach-router";
const SIDECAR: &str = "cloudach-sidecar";

/// What a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

/// The spans of a streamed chat that nothing happens to.
const SPANS: usize = 13;

fn tracing(collector: &Collector, ratio: f64) -> Value {
    json!({ "tracing": { "endpoint": format!("http://{}", collector.address), "ratio": ratio, "every": "50ms" } })
}

fn plan(collector: &Collector, ratio: f64, scripts: Vec<Script>) -> Plan {
    let settings = tracing(collector, ratio);
    Plan {
        replicas: scripts.into_iter().map(Replica::fake).collect(),
        edge: settings.clone(),
        router: settings.clone(),
        sidecar: settings,
        ..Plan::default()
    }
}

fn fleet(collector: &Collector, ratio: f64, scripts: Vec<Script>) -> Fleet {
    Fleet::start(plan(collector, ratio, scripts))
}

fn script() -> Script {
    Script { record: 100, ..Script::vllm() }
}

fn ask(client: &Client, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    client.ask(&client.request("POST", CHAT, &headers, body.to_string().as_bytes()))
}

fn trace_of(answer: &Answer) -> String {
    answer.head.get("x-trace-id").unwrap().to_owned()
}

fn streamed(message: &str) -> Value {
    with(chat(message), json!({ "stream": true }))
}

/// What an engine was told of traces, by requests that were told of one.
fn told_to(engine: &FakeEngine) -> Vec<TraceHeaders> {
    engine.traces().into_iter().flatten().collect()
}

/// The names of the events of a span.
fn events(span: &Span) -> Vec<&str> {
    span.events.iter().map(|(name, _)| name.as_str()).collect()
}

/// What the spans' identities are without their times.
fn names<'a>(spans: &[&'a Span]) -> Vec<&'a str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[test]
fn one_tree_from_the_client_to_the_engine() {
    let collector = Collector::start();
    // The client decides, not the ratio.
    let fleet = fleet(&collector, 0.0, vec![script()]);
    let headers = [("traceparent", CLIENTS), ("tracestate", "vendor=1"), ("tracestate", "b=2")];
    let request = with(streamed("[[tokens=200]]"), json!({ "temperature": 0.5, "max_tokens": 300 }));
    let answer = ask(&fleet.client(), &request, &headers);
    assert_eq!(answer.head.status, 200, "{}", answer.text());

    let spans = collector.trace(TRACE, SPANS);
    let picture = draw(&spans);
    println!("{picture}");
    assert_eq!(spans.len(), SPANS, "none for a token:\n{picture}");
    let root = root(&spans);
    assert_eq!((root.parent.as_str(), root.service.as_str()), ("b7ad6b7169203331", EDGE));
    assert_eq!(trace_of(&answer), TRACE);
    assert_eq!(answer.head.get("traceparent").unwrap(), format!("00-{TRACE}-{}-01", root.id));
    assert!(spans.iter().all(|span| span.sampled && span.state == "vendor=1,b=2" && span.start <= span.end));

    // The links from process to process.
    let (generate, route) = (one(&spans, EDGE, "generate"), one(&spans, ROUTER, "route fake-model"));
    let (attempt, engine) = (one(&spans, ROUTER, "attempt"), one(&spans, SIDECAR, "generate fake-model"));
    assert_eq!((&generate.parent, &route.parent), (&root.id, &generate.id));
    assert_eq!((&attempt.parent, &engine.parent), (&route.id, &attempt.id));
    let told = TraceHeaders {
        traceparent: format!("00-{TRACE}-{}-01", engine.id),
        tracestate: Some("vendor=1,b=2".to_owned()),
    };
    assert_eq!(told_to(fleet.engine()), [told]);

    // The steps within each.
    let steps = ["authenticate", "translate", "render", "reserve", "generate"];
    assert_eq!(names(&children(&spans, root)), steps);
    assert_eq!(names(&children(&spans, route)), ["queue", "pick", "attempt"]);
    assert_eq!(names(&children(&spans, engine)), ["prefill", "decode"]);
    for span in [root, route, engine] {
        assert_eq!(events(span), ["first_token"], "{span:?}");
    }
    assert!(spans.iter().all(|span| span.attributes["cloudach.broken_off"].is_null()), "{picture}");

    let told = |name: &str| root.attributes[name].clone();
    assert_eq!(root.name, "chat fake-model");
    assert_eq!(told("gen_ai.operation.name"), "chat");
    assert_eq!(
        (told("gen_ai.request.model"), told("gen_ai.response.model")),
        (json!("fake-model"), json!("fake-model"))
    );
    assert_eq!((told("gen_ai.request.temperature"), told("gen_ai.request.max_tokens")), (json!(0.5), json!(300)));
    assert!(told("gen_ai.usage.output_tokens").as_i64().unwrap() > 200);
    assert_eq!(told("cloudach.engine.completion_tokens"), 201);
    assert_eq!((told("gen_ai.response.finish_reasons"), told("gen_ai.request.stream")), (json!(["stop"]), json!(true)));
    assert_eq!((told("http.route"), told("http.response.status_code")), (json!(CHAT), json!(200)));
    assert_eq!((told("cloudach.tenant"), told("cloudach.outcome")), (json!("blackbox"), json!("served")));
    assert!(told("gen_ai.response.time_to_first_chunk").as_f64().unwrap() > 0.0);
    assert!(told("enduser.pseudo.id").is_string() && told("gen_ai.usage.input_tokens").as_i64().unwrap() > 0);
    let reserve = &one(&spans, EDGE, "reserve").attributes;
    assert!(reserve["cloudach.reserved.tokens"].as_i64().unwrap() > 300, "{reserve}");
    assert!(one(&spans, EDGE, "render").attributes["cloudach.prompt.bytes"].as_i64().unwrap() > 10);
    let pick = &one(&spans, ROUTER, "pick").attributes;
    assert_eq!((&pick["cloudach.replica"], &pick["cloudach.pick.candidates"]), (&json!("sidecar0"), &json!(1)));
    assert!(pick["cloudach.pick.score"].is_f64() && pick["cloudach.pick.reason"].is_string(), "{pick}");
    assert_eq!(engine.attributes["cloudach.engine.completion_tokens"], 201);

    // No secret anywhere, and no text of the conversation.
    let all = format!("{spans:?}");
    assert!(!all.contains(&fleet.client().key) && !all.contains("[[tokens"), "{all}");
    let ended = fleet.edges[0].logged(&["request ended"]);
    assert_eq!(ended[0]["trace_id"], TRACE);
    assert_documented(&picture);
}

/// The picture in the manual is this one.
fn assert_documented(picture: &str) {
    let manual = include_str!("../../../docs/traces.md");
    assert!(manual.contains(picture), "docs/traces.md shows another tree than this:\n{picture}");
}

#[test]
fn other_endpoints_have_theirs() {
    let collector = Collector::start();
    let embedder = Script { serves: Serves::Embeddings { dimensions: 4 }, ..script() };
    let plan = plan(&collector, 1.0, vec![script()]);
    let fleet =
        Fleet::start(Plan { replicas: vec![Replica::fake(script()), Replica::of("embedder", embedder)], ..plan });
    let client = fleet.client();

    let answer = client.post("/v1/embeddings", &json!({ "model": "embedder", "input": "text" }));
    let spans = collector.trace(&trace_of(&answer), 9);
    let (root, embed) = (root(&spans), one(&spans, EDGE, "embed"));
    assert_eq!(
        (root.name.as_str(), &root.attributes["gen_ai.operation.name"]),
        ("embeddings embedder", &json!("embeddings"))
    );
    let (route, attempt) = (one(&spans, ROUTER, "route embedder"), one(&spans, ROUTER, "attempt"));
    let sidecar = one(&spans, SIDECAR, "embed embedder");
    assert_eq!((&route.parent, &attempt.parent, &sidecar.parent), (&embed.id, &route.id, &attempt.id));
    let told = fleet.engines[1].traces().pop().unwrap().unwrap();
    assert_eq!(told.traceparent, format!("00-{}-{}-01", sidecar.trace, sidecar.id));

    let message = json!({ "model": "fake-model", "max_tokens": 5, "messages": [{ "role": "user", "content": "x" }] });
    let response = json!({ "model": "fake-model", "input": "x" });
    let completion = json!({ "model": "fake-model", "prompt": "x", "n": 3 });
    for (path, body, name, spans) in [
        ("/v1/messages", message, "chat fake-model", SPANS),
        ("/v1/responses", response, "chat fake-model", SPANS),
        ("/v1/completions", completion, "text_completion fake-model", 5 + 3 * 8),
    ] {
        let answer = client.post(path, &body);
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        let spans = collector.trace(&trace_of(&answer), spans);
        assert_eq!(tree::root(&spans).name, name, "{}", draw(&spans));
        let sidecars = spans.iter().filter(|span| span.name == "generate fake-model").count();
        assert_eq!(sidecars, if name.starts_with("chat") { 1 } else { 3 }, "{}", draw(&spans));
    }
    let listed = client.get("/v1/models");
    let spans = collector.trace(&trace_of(&listed), 2);
    assert_eq!(tree::root(&spans).name, "GET /v1/models");
}

#[test]
fn a_request_that_is_tried_again() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::After(0, Break::Reset)).matching("again").times(1);
    let scripts = [0, 1].map(|_| Script { faults: vec![fault.clone()], ..script() });
    // It succeeds, and is kept all the same: more than one replica was asked.
    let fleet = fleet(&collector, 0.0, scripts.to_vec());
    let answer = ask(&fleet.client(), &chat("again"), &[]);
    assert_eq!(answer.head.status, 200);
    let trace = trace_of(&answer);
    let spans = collector.trace(&trace, SPANS + 4);
    let route = one(&spans, ROUTER, "route fake-model");
    assert_eq!(names(&children(&spans, route)), ["queue", "pick", "attempt", "pick", "attempt"], "{}", draw(&spans));
    assert_eq!(events(route), ["retry", "first_token"]);
    assert_eq!((&route.attributes["cloudach.kept"], &route.error), (&json!("retried"), &None));
    let attempts: Vec<_> = children(&spans, route).into_iter().filter(|span| span.name == "attempt").collect();
    let replicas = attempts.iter().map(|span| span.attributes["cloudach.replica"].as_str().unwrap());
    assert_eq!(attempts.iter().map(|span| span.error.is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(attempts.iter().map(|span| &span.attributes["cloudach.attempt"]).collect::<Vec<_>>(), [1, 2]);
    // Each has its own replica's spans under it, and each engine was told of its own.
    for ((attempt, replica), flags) in attempts.iter().zip(replicas).zip(["00", "01"]) {
        let [generate] = children(&spans, attempt)[..] else { panic!("{}", draw(&spans)) };
        assert_eq!(generate.service, SIDECAR);
        assert_eq!(generate.error.is_some(), attempt.error.is_some());
        let number: usize = replica.trim_start_matches("sidecar").parse().unwrap();
        let told = fleet.engines[number].traces().pop().unwrap().unwrap().traceparent;
        assert_eq!(told, format!("00-{trace}-{}-{flags}", generate.id), "what comes after is sampled");
    }
    assert_eq!(root(&spans).attributes["cloudach.kept"], "below");
    let warned = fleet.routers[0].log();
    assert!(warned.lines().any(|line| line.contains("replica failed") && line.contains(&trace)), "{warned}");
}

#[test]
fn an_answer_that_goes_on_elsewhere() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::After(7, Break::Reset)).matching("user").times(1);
    let scripts = [0, 1].map(|_| Script { faults: vec![fault.clone()], ..script() });
    let fleet = fleet(&collector, 1.0, scripts.to_vec());
    let answer = ask(&fleet.client(), &streamed("[[tokens=20]]"), &[]);
    let spans = collector.trace(&trace_of(&answer), SPANS + 5);
    let route = one(&spans, ROUTER, "route fake-model");
    let steps = children(&spans, route);
    assert_eq!(names(&steps), ["queue", "pick", "attempt", "pick", "resume"], "{}", draw(&spans));
    assert_eq!(events(route), ["first_token", "resume"]);
    let (attempt, resume) = (one(&spans, ROUTER, "attempt"), one(&spans, ROUTER, "resume"));
    assert_eq!((&attempt.attributes["error.type"], &resume.error), (&json!("REPLICA_LOST"), &None));
    assert_eq!(resume.attributes["cloudach.attempt.resumed_tokens"], 7);
    for (step, ending) in [(attempt, true), (resume, false)] {
        let [generate] = children(&spans, step)[..] else { panic!("{}", draw(&spans)) };
        assert_eq!((generate.service.as_str(), generate.error.is_some()), (SIDECAR, ending));
    }
    let root = root(&spans);
    assert_eq!((&root.error, &root.attributes["cloudach.engine.completion_tokens"]), (&None, &json!(21)));
}

#[test]
fn a_router_that_is_lost() {
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let fleet = Fleet::start(Plan { routers: 2, ..plan });
    let mut events_of = fleet.client().stream(CHAT, &streamed("[[tokens=40]] [[delay=50ms]]"));
    let trace = events_of.head().get("x-trace-id").unwrap().to_owned();
    (0..5).for_each(|_| drop(events_of.chunk()));
    let carries = |router: &&cloudach_blackbox::Service| router.metric("cloudach_router_requests_open") == Some(1.0);
    fleet.routers.iter().find(carries).unwrap().kill();
    events_of.rest();
    // What the dead one had is lost with it; the other one's hangs on the same step of the edge.
    let spans = collector.trace(&trace, 17);
    let generate = one(&spans, EDGE, "generate");
    assert_eq!(events(generate), ["resume"]);
    let [route] = children(&spans, generate)[..] else { panic!("{}", draw(&spans)) };
    assert_eq!(names(&children(&spans, route)), ["pick", "resume"], "{}", draw(&spans));
}

#[test]
fn requests_that_are_refused() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let mut client = fleet.client();
    let key = std::mem::replace(&mut client.key, "sk-wrong".to_owned());
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS)]);
    assert_eq!((answer.head.status, trace_of(&answer).as_str()), (401, TRACE));
    let spans = collector.trace(TRACE, 2);
    let root = root(&spans);
    assert_eq!((root.name.as_str(), root.parent.as_str()), ("POST /v1/chat/completions", "b7ad6b7169203331"));
    assert_eq!(root.attributes["http.response.status_code"], 401);
    // As HTTP's conventions have it, the client's mistake is no failure of the server's.
    assert_eq!((&root.attributes["error.type"], &root.error), (&json!("401"), &None));
    assert_eq!(one(&spans, EDGE, "authenticate").attributes["cloudach.broken_off"], true);
    assert!(!format!("{spans:?}").contains("sk-wrong"));

    client.key = key;
    let body = with(chat("x"), json!({ "model": "nobodys" }));
    let answer = ask(&client, &body, &[]);
    assert_eq!(answer.head.status, 404);
    let spans = collector.trace(&trace_of(&answer), 3);
    assert_eq!(tree::root(&spans).attributes["gen_ai.request.model"], "nobodys");
    for url in ["/nowhere", "/v1/models"] {
        let answer = client.ask(&client.request("PUT", url, &[], b""));
        let spans = collector.trace(&trace_of(&answer), 1);
        assert!(tree::root(&spans).name.starts_with("PUT"), "{spans:?}");
    }
}

#[test]
fn without_sampling_what_fails_is_kept() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::Status(500)).matching("fail");
    let fleet = fleet(&collector, 0.0, vec![Script { faults: vec![fault], ..script() }]);
    let client = fleet.client();
    let parents = [None, Some(CLIENTS.replace("-01", "-00"))];
    let mut fine = Vec::new();
    for parent in parents {
        let headers: Vec<_> = parent.as_deref().map(|parent| ("traceparent", parent)).into_iter().collect();
        let good = ask(&client, &chat("good"), &headers);
        assert_eq!(good.head.status, 200);
        fine.push(good.head.get("traceparent").unwrap().split('-').nth(2).unwrap().to_owned());
        let wrong = ask(&client, &with(chat("x"), json!({ "temperature": 9 })), &headers);
        assert_eq!(wrong.head.status, 400);
        fine.push(wrong.head.get("traceparent").unwrap().split('-').nth(2).unwrap().to_owned());
        let failed = ask(&client, &chat("fail"), &headers);
        assert_eq!(failed.head.status, 503, "{}", failed.text());
        let spans = collector.trace(&trace_of(&failed), 12);
        // All three have seen it fail, and all that each knows of it is there.
        for (service, name) in
            [(EDGE, "chat fake-model"), (ROUTER, "route fake-model"), (SIDECAR, "generate fake-model")]
        {
            let span = one(&spans, service, name);
            assert_eq!((&span.attributes["cloudach.kept"], span.sampled), (&json!("error"), false));
            assert!(span.error.is_some(), "{span:?}");
        }
        assert_eq!(root(&spans).attributes["error.type"], "503");
        let last = fleet.edges[0].logged(&["request failed"]).pop().unwrap();
        assert_eq!(last["trace_id"], trace_of(&failed));
    }
    // They came before, and are not there after.
    assert!(collector.spans().iter().all(|span| !fine.contains(&span.id)), "{}", draw(&collector.spans()));
}

#[test]
fn what_is_slow_is_kept_in_all_three() {
    let collector = Collector::start();
    let plan = plan(&collector, 0.0, vec![script()]);
    let slow = json!({ "tracing": { "slow_first_token": "50ms", "stall": "50ms" } });
    let fleet = Fleet::start(Plan { sidecar: with(plan.sidecar.clone(), slow), ..plan });
    let answer = ask(&fleet.client(), &streamed("[[first=120ms]] [[tokens=3]] [[delay=120ms]]"), &[]);
    let spans = collector.trace(&trace_of(&answer), SPANS);
    let kept = |service, name| one(&spans, service, name).attributes["cloudach.kept"].clone();
    assert_eq!(kept(SIDECAR, "generate fake-model"), "slow");
    assert_eq!((kept(ROUTER, "route fake-model"), kept(EDGE, "chat fake-model")), (json!("below"), json!("below")));
    let stalls = events(one(&spans, SIDECAR, "generate fake-model"));
    assert!(
        stalls.len() >= 3 && stalls[0] == "first_token" && stalls[1..].iter().all(|name| *name == "stall"),
        "{stalls:?}"
    );
}

#[test]
fn a_client_that_leaves() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let mut stream = fleet.client().stream(CHAT, &streamed("[[tokens=1000]] [[delay=20ms]]"));
    let trace = stream.head().get("x-trace-id").unwrap().to_owned();
    (0..3).for_each(|_| drop(stream.chunk()));
    drop(stream);
    let spans = collector.trace(&trace, SPANS);
    let told = |service, name| one(&spans, service, name).attributes.clone();
    assert_eq!(told(EDGE, "chat fake-model")["cloudach.outcome"], "abandoned");
    for (service, name) in [(EDGE, "generate"), (ROUTER, "attempt"), (SIDECAR, "decode")] {
        assert_eq!(told(service, name)["cloudach.broken_off"], true, "{}", draw(&spans));
    }
    assert!(spans.iter().all(|span| span.error.is_none()), "{}", draw(&spans));
}

#[test]
fn hostile_headers_begin_a_trace_of_ones_own() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let client = fleet.client();
    let long = format!("{CLIENTS}-{}", "x".repeat(2000));
    let zero = CLIENTS.replace(TRACE, &"0".repeat(32));
    let upper = CLIENTS.to_uppercase();
    let wrong = [vec!["nonsense"], vec![&long], vec![&zero], vec![&upper], vec![CLIENTS, CLIENTS], vec![""]];
    for parents in wrong {
        let mut headers: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).collect();
        headers.push(("tracestate", "vendor=1"));
        let answer = ask(&client, &chat("x"), &headers);
        let trace = trace_of(&answer);
        assert_ne!(trace, TRACE, "{parents:?}");
        let spans = collector.trace(&trace, SPANS);
        assert_eq!((root(&spans).parent.as_str(), root(&spans).state.as_str()), ("", ""), "{parents:?}");
    }
    let state = format!("a={}", "x".repeat(600));
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS), ("tracestate", &state)]);
    assert_eq!(trace_of(&answer), TRACE);
    assert_eq!(root(&collector.trace(TRACE, SPANS)).state, "");
}

/// What a process says became of its spans.
fn fates(fleet: &Fleet) -> [u64; 4] {
    let (_, metrics) = fleet.edges[0].admin_answer("/metrics").unwrap();
    ["sent", "queue_full", "given_up", "too_many"].map(|fate| {
        let name = format!("cloudach_edge_trace_spans_total{{fate=\"{fate}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    })
}

/// How long so many requests take, one after the other: the middle one, and the longest.
fn times(client: &Client, requests: usize) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..requests)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(ask(client, &chat("x"), &[]).head.status, 200);
            begun.elapsed()
        })
        .collect();
    times.sort();
    (times[requests / 2], times[requests - 1])
}

#[test]
fn a_collector_that_is_slow_or_away() {
    const REQUESTS: usize = 60;
    /// Spans that the edge makes of one.
    const OURS: u64 = 6;
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let small = json!({ "tracing": { "queue": 40, "batch": 10, "retry_for": "1s", "timeout": "5s" } });
    let fleet = Fleet::start(Plan { edge: with(plan.edge.clone(), small), ..plan });
    let client = fleet.client();
    let well = times(&client, REQUESTS);
    let all = |requests: usize| {
        let made = OURS * requests as u64;
        eventually(SOON, "each span is sent or counted", || fates(&fleet).iter().sum::<u64>() == made);
        fates(&fleet)
    };
    all(REQUESTS);

    // Slower than spans are made: some are lost, and counted, and nobody waits.
    collector.slow_down(Duration::from_millis(500));
    let slow = times(&client, REQUESTS);
    let [_, queue_full, given_up, _] = all(2 * REQUESTS);
    assert!(queue_full > 0 && given_up == 0, "{:?}", fates(&fleet));
    collector.slow_down(Duration::ZERO);

    collector.go_away();
    let away = times(&client, REQUESTS);
    let [_, full_then, given_up, _] = all(3 * REQUESTS);
    assert!(given_up > 0 && full_then > queue_full, "{:?}", fates(&fleet));
    println!("the middle and the longest of {REQUESTS} requests: well {well:?}, slow {slow:?}, away {away:?}");
    for (middle, longest) in [slow, away] {
        // One that waited for the collector would have waited for a call, or for a time-out.
        assert!(middle < well.0 * 4 + Duration::from_millis(100), "{middle:?} instead of {:?}", well.0);
        assert!(longest < Duration::from_secs(5), "{longest:?}");
    }
    let log = &fleet.edges[0];
    assert_eq!(log.logged(&["the collector takes no spans: they wait, and what finds no room is dropped"]).len(), 1);

    // Back again: what is made from now on arrives.
    collector.come_back();
    eventually(SOON, "a trace arrives", || {
        let trace = trace_of(&ask(&client, &chat("x"), &[]));
        cloudach_blackbox::holds_within(Duration::from_secs(1), || {
            collector.spans().iter().any(|span| span.trace == trace && span.service == EDGE && span.kind == 2)
        })
    });
    eventually(SOON, "and is said to", || log.logged(&["the collector takes spans again"]).len() == 1);
}

#[test]
fn a_collector_that_restarts_misses_nothing() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let client = fleet.client();
    collector.trace(&trace_of(&ask(&client, &chat("x"), &[])), SPANS);
    collector.go_away();
    let traces: Vec<_> = (0..20).map(|_| trace_of(&ask(&client, &chat("x"), &[]))).collect();
    eventually(SOON, "it is missed", || {
        !fleet.edges[0]
            .logged(&["the collector takes no spans: they wait, and what finds no room is dropped"])
            .is_empty()
    });
    collector.come_back();
    for trace in traces {
        collector.trace(&trace, SPANS);
    }
}

#[test]
fn the_last_spans_of_a_process_that_stops_arrive() {
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let rarely = json!({ "tracing": { "every": "1h" } });
    let [edge, router, sidecar] =
        [&plan.edge, &plan.router, &plan.sidecar].map(|one| with(one.clone(), rarely.clone()));
    let fleet = Fleet::start(Plan { edge, router, sidecar, ..plan });
    let trace = trace_of(&ask(&fleet.client(), &chat("x"), &[]));
    assert!(collector.spans().is_empty());
    for service in fleet.services() {
        service.terminate();
    }
    collector.trace(&trace, SPANS);
    for service in fleet.services() {
        assert_eq!(service.exit_within(SOON).unwrap().code, Some(0));
    }
}

#[test]
fn http_and_headers_and_what_a_process_says_of_itself() {
    let collector = Collector::start_http();
    let settings = json!({ "tracing": {
        "endpoint": format!("http://{}/v1/traces", collector.address),
        "protocol": "http/protobuf",
        "headers": { "authorization": "Bearer the-collectors-secret", "X-Tenant": "ours" },
        "service_name": "gateway",
        "attributes": { "deployment.environment.name": "test" },
        "every": "50ms",
    } });
    let fleet = Fleet::start(Plan { edge: settings.clone(), sidecar: settings, ..Plan::default() });
    let answer = ask(&fleet.client(), &chat("x"), &[]);
    let spans = collector.trace(&trace_of(&answer), 9);
    assert!(spans.iter().all(|span| span.service == "gateway"));
    // The router does not trace: the sidecar's spans hang on the edge's.
    assert_eq!(one(&spans, "gateway", "generate fake-model").parent, one(&spans, "gateway", "generate").id);
    let (headers, resources) = collector.beside();
    let told = [("content-type", "application/x-protobuf"), ("x-tenant", "ours")];
    let told = told.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let secret = ("authorization".to_owned(), "Bearer the-collectors-secret".to_owned());
    assert_eq!(headers[0], told.chain([secret]).collect::<Vec<_>>());
    assert!(resources.iter().all(|resource| resource["deployment.environment.name"] == "test"));
    assert!(resources.iter().any(|resource| resource["service.instance.id"] == "sidecar0"));
    assert!(fleet.services().all(|service| !service.log().contains("the-collectors-secret")));
}

#[test]
fn off_nothing_is_told_and_the_clients_trace_is_passed_on() {
    let fleet = Fleet::start(Plan::of([script()]));
    let client = fleet.client();
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS), ("tracestate", "vendor=1")]);
    assert!(answer.head.get("traceparent").is_none() && answer.head.get("x-trace-id").is_none());
    ask(&client, &chat("x"), &[("traceparent", "nonsense"), ("tracestate", "vendor=1")]);
    let told = TraceHeaders { traceparent: CLIENTS.to_owned(), tracestate: Some("vendor=1".to_owned()) };
    assert_eq!(told_to(fleet.engine()), [told]);
    assert_eq!(fleet.engine().traces().pop(), Some(None));
    assert_eq!(fleet.edges[0].logged(&["request ended"])[0]["trace_id"], TRACE);
}

//! Traces as a collector gets them: one unbroken tree from the client to the engine, of requests that stream, are tried again,
//! go on elsewhere, are refused; what is kept of those that are not sampled; and a collector that is slow, goes away and comes
//! back.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod again;
mod collector;
mod kept;
mod refused;
mod sent;
mod texts;
mod tree;
mod whole;

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

//! Dropping is cancelling, at every hop: within a second of a caller's leaving the engine itself says that it runs
//! nothing any more (checklist C31).

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::time::{Duration, Instant};

use cloudach_blackbox::{Fleet, Plan, chat, completion, eventually, runtime, with};
use cloudach_fake_engine::{Script, Serves};
use cloudach_proto::v1::{
    GenerateRequest, Prompt, PromptText, Sampling, generate_event::Event, inference_client::InferenceClient, prompt,
};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// More tokens than any test waits for.
const ENDLESS: &str = "[[tokens=1000000]][[delay=5ms]]";
/// An engine that reads the prompt for longer than any test waits.
const PREFILL: &str = "[[first=60s]]";

#[test]
fn a_client_that_leaves_its_stream() {
    let fleet = Fleet::start(Plan::default());
    for (path, request) in
        [(CHAT, chat(ENDLESS)), (COMPLETIONS, with(completion(ENDLESS), json!({ "max_tokens": 5000 })))]
    {
        let mut events = fleet.client().stream(path, &streamed(request));
        for _ in 0..5 {
            events.chunk();
        }
        assert_eq!(fleet.running(), 1);
        drop(events);
        assert_idle(&fleet);
    }
    let ended = || fleet.edges[0].log().lines().filter(|line| line.contains("\"outcome\":\"abandoned\"")).count();
    eventually(Duration::from_secs(1), "what was generated is counted", || ended() == 2);
    let counted = |line: &str| serde_json::from_str::<Value>(line).unwrap()["completion_tokens"].as_u64().unwrap() >= 4;
    assert!(fleet.edges[0].log().lines().filter(|line| line.contains("abandoned")).all(counted));
}

#[test]
fn a_client_that_leaves_its_whole_answer() {
    let fleet = Fleet::start(Plan::default());
    for (path, request) in
        [(CHAT, chat(ENDLESS)), (COMPLETIONS, with(completion(ENDLESS), json!({ "max_tokens": 5000 })))]
    {
        let connection = fleet.client().send(path, &request);
        wait_for_running(&fleet, 1);
        drop(connection);
        assert_idle(&fleet);
    }
}

#[test]
fn a_client_that_leaves_before_the_first_token() {
    let fleet = Fleet::start(Plan::default());
    for stream in [true, false] {
        let connection = fleet.client().send(CHAT, &with(chat(PREFILL), json!({ "stream": stream })));
        wait_for_running(&fleet, 1);
        drop(connection);
        assert_idle(&fleet);
    }
}

#[test]
fn a_client_that_leaves_several_choices() {
    let fleet = Fleet::start(Plan::default());
    let request = json!({ "model": "fake-model", "prompt": [ENDLESS, PREFILL], "n": 3, "max_tokens": 5000 });
    for stream in [true, false] {
        let connection = fleet.client().send(COMPLETIONS, &with(request.clone(), json!({ "stream": stream })));
        wait_for_running(&fleet, 6);
        drop(connection);
        assert_idle(&fleet);
    }
}

#[test]
fn a_client_that_leaves_its_embeddings() {
    let script = Script { serves: Serves::Embeddings { dimensions: 4 }, ..Script::vllm() };
    let fleet = Fleet::start(Plan::of([script]));
    let connection = fleet.client().send("/v1/embeddings", &json!({ "model": "fake-model", "input": PREFILL }));
    wait_for_running(&fleet, 1);
    drop(connection);
    assert_idle(&fleet);
}

/// One that waits for its turn in the engine leaves the queue.
#[test]
fn a_client_that_leaves_the_engines_queue() {
    let fleet = Fleet::start(Plan::of([Script { max_running: 1, ..Script::vllm() }]));
    let first = fleet.client().send(CHAT, &streamed(chat(ENDLESS)));
    wait_for_running(&fleet, 1);
    let second = fleet.client().send(CHAT, &streamed(chat(ENDLESS)));
    eventually(Duration::from_secs(5), "the second waits", || fleet.engine().waiting() == 1);
    drop(second);
    eventually(Duration::from_secs(1), "it waits no more", || fleet.engine().waiting() == 0);
    assert_eq!(fleet.running(), 1);
    drop(first);
    assert_idle(&fleet);
}

#[test]
fn fifty_clients_that_leave_at_once() {
    let fleet = Fleet::start(Plan::of([Script::vllm(), Script::vllm()]));
    let open = |number: usize| match number % 3 {
        0 => fleet.client().send(CHAT, &streamed(chat(ENDLESS))),
        1 => fleet.client().send(CHAT, &chat(ENDLESS)),
        _ => fleet.client().send(CHAT, &streamed(chat(PREFILL))),
    };
    let connections: Vec<_> = (0..50).map(open).collect();
    wait_for_running(&fleet, 50);
    assert!(fleet.engines.iter().all(|engine| engine.running() >= 20), "both replicas share the work");
    drop(connections);
    assert_idle(&fleet);
    let answer = fleet.client().post(CHAT, &chat("[[say:still here]]"));
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "still here");
}

#[test]
fn an_edge_that_is_killed() {
    let fleet = Fleet::start(Plan { edges: 2, ..Plan::default() });
    let _lost =
        [fleet.client_of(0).send(CHAT, &streamed(chat(ENDLESS))), fleet.client_of(0).send(CHAT, &chat(PREFILL))];
    let mut kept = fleet.client_of(1).stream(CHAT, &streamed(chat(ENDLESS)));
    wait_for_running(&fleet, 3);
    fleet.edges[0].kill();
    eventually(Duration::from_secs(1), "only the other edge's request runs", || fleet.running() == 1);
    kept.chunk();
}

#[test]
fn a_router_that_is_killed() {
    let fleet = Fleet::start(Plan::default());
    let _streamed = fleet.client().send(CHAT, &streamed(chat(ENDLESS)));
    let whole = fleet.client().send(CHAT, &chat(PREFILL));
    wait_for_running(&fleet, 2);
    fleet.routers[0].kill();
    assert_idle(&fleet);
    assert_eq!(whole.reading().unwrap().head.status, 503);
}

#[test]
fn a_sidecar_that_is_killed() {
    let fleet = Fleet::start(Plan::default());
    let _streamed = fleet.client().send(CHAT, &streamed(chat(ENDLESS)));
    let whole = fleet.client().send(CHAT, &chat(PREFILL));
    wait_for_running(&fleet, 2);
    fleet.sidecars[0].kill();
    assert_idle(&fleet);
    assert_eq!(whole.reading().unwrap().head.status, 503);
}

#[test]
fn a_call_of_generate_that_is_dropped_at_the_router() {
    let fleet = Fleet::start(Plan::default());
    drop_a_call(&fleet, &fleet.routers[0].listen);
}

#[test]
fn a_call_of_generate_that_is_dropped_at_the_sidecar() {
    let fleet = Fleet::start(Plan::default());
    drop_a_call(&fleet, &fleet.sidecars[0].listen);
}

/// A request's own time runs out wherever it is.
#[test]
fn a_request_that_takes_too_long() {
    let fleet = Fleet::start(Plan { edge: json!({ "limits": { "request_time": "500ms" } }), ..Plan::default() });
    let begun = Instant::now();
    assert_eq!(fleet.client().post(CHAT, &chat(PREFILL)).head.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_idle(&fleet);
}

fn drop_a_call(fleet: &Fleet, address: &str) {
    let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
    for prompt in [ENDLESS, PREFILL] {
        runtime().block_on(async {
            let mut client = InferenceClient::connect(endpoint.clone()).await.unwrap();
            let mut events = client.generate(generation(prompt)).await.unwrap().into_inner();
            let first = events.message().await.unwrap().unwrap();
            assert!(matches!(first.event, Some(Event::Started(_))), "{first:?}");
        });
        assert_idle(fleet);
    }
}

fn generation(prompt: &str) -> GenerateRequest {
    let text = PromptText { text: prompt.to_owned(), add_special_tokens: false };
    GenerateRequest {
        request_id: "dropped".to_owned(),
        model: "fake-model".to_owned(),
        prompt: Some(Prompt { prompt: Some(prompt::Prompt::Text(text)) }),
        sampling: Some(Sampling { max_tokens: Some(5000), ..Sampling::default() }),
        ..GenerateRequest::default()
    }
}

fn streamed(request: Value) -> Value {
    with(request, json!({ "stream": true }))
}

fn wait_for_running(fleet: &Fleet, count: usize) {
    eventually(Duration::from_secs(5), &format!("{count} requests run"), || fleet.running() == count);
}

/// The law's one second.
fn assert_idle(fleet: &Fleet) {
    eventually(Duration::from_secs(1), "the engine is idle", || fleet.running() == 0);
}

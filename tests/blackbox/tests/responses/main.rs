//! Responses: created whole and streamed, gone on from, kept for their tenant alone, and come back to from any event, in
//! any edge. Checklist C09, C29.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod kept;
mod made;

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Event, Events, Fleet, Plan, Redis, Replica, Shared, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const RESPONSES: &str = "/v1/responses";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The words `other`, as SHA-256: a key of another tenant.
const OTHER: (&str, &str) = ("other", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");
const TEST_KEY: &str = "test";

static FLEET: Shared = Shared::new(|| Fleet::start(plan(1, json!({}))));

fn plan(edges: usize, edge: Value) -> Plan {
    let formats = json!({ "tool_format": "hermes", "reasoning_format": "olmo3" });
    Plan {
        edges,
        edge,
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("thinker", Script::vllm())],
        models: json!({ "thinker": formats }),
        ..Plan::default()
    }
}

/// A store of one edge, and one that two edges share.
fn with_each(test: impl Fn(&Fleet)) {
    test(&Fleet::start(plan(1, json!({}))));
    let redis = Redis::start();
    test(&Fleet::start(plan(2, with(redis.edge(), json!({ "store": redis.store("10s") })))));
}

fn last(fleet: &Fleet) -> Client {
    fleet.client_of(fleet.edges.len() - 1)
}

fn asked(input: impl Into<Value>, more: Value) -> Value {
    with(json!({ "model": "fake-model", "input": input.into() }), more)
}

fn good(answer: &Answer) -> Value {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.json()
}

fn create(client: &Client, request: &Value) -> Value {
    good(&client.post(RESPONSES, request))
}

/// All events of a stream, comments passed over.
fn events(stream: Events) -> Vec<Value> {
    let events = stream.rest().into_iter().filter_map(|event| match event {
        Event::Json(event) => Some(event),
        Event::Comment(_) => None,
        Event::Done => panic!("responses have no [DONE]"),
    });
    events.collect()
}

fn streamed(client: &Client, request: &Value) -> Vec<Value> {
    events(client.stream(RESPONSES, &with(request.clone(), json!({ "stream": true }))))
}

fn follow(client: &Client, id: &str, after: Option<u64>) -> Events {
    let after = after.map_or(String::new(), |after| format!("&starting_after={after}"));
    let path = format!("{RESPONSES}/{id}?stream=true{after}");
    let mut connection = client.connect();
    connection.send(&client.request("GET", &path, &[], b"")).unwrap();
    let reading = connection.reading().unwrap();
    assert_eq!(reading.head.status, 200);
    Events::of(reading)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// With those of text written once.
fn grammar(events: &[Value]) -> Vec<&str> {
    let mut kinds = kinds(events);
    kinds.dedup();
    kinds
}

fn text(response: &Value) -> String {
    let items = response["output"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
    items.map(|item| item["content"][0]["text"].as_str().unwrap()).collect()
}

/// What is the same for one response however it is told, and differs between two.
fn without_names(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["id", "item_id", "call_id", "created_at", "completed_at", "previous_response_id"] {
                fields.remove(name);
            }
            for value in fields.values_mut() {
                *value = without_names(value.take());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_names(value.take())),
        _ => {}
    }
    value
}

/// Rising numbers, items that are opened before they grow and bear one name, and the whole response at the end.
fn check_stream(events: &[Value]) {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let last = &events.last().unwrap()["response"];
    let output = last["output"].as_array().unwrap();
    for event in events {
        let Some(index) = event["output_index"].as_u64() else { continue };
        let item = &output[usize::try_from(index).unwrap()];
        let id = if event["item"].is_object() { &event["item"]["id"] } else { &event["item_id"] };
        assert_eq!(*id, item["id"], "{event}");
    }
    for (index, item) in output.iter().enumerate() {
        let of = |kind: &str, field: &str| -> String {
            let deltas = events.iter().filter(|event| event["type"] == kind && event["output_index"] == index);
            deltas.map(|event| event[field].as_str().unwrap()).collect()
        };
        match item["type"].as_str().unwrap() {
            "message" => assert_eq!(of("response.output_text.delta", "delta"), item["content"][0]["text"]),
            "reasoning" => assert_eq!(of("response.reasoning_text.delta", "delta"), item["content"][0]["text"]),
            "function_call" => assert_eq!(of("response.function_call_arguments.delta", "delta"), item["arguments"]),
            other => panic!("{other}"),
        }
        let done =
            events.iter().find(|event| event["type"] == "response.output_item.done" && event["output_index"] == index);
        assert_eq!(&done.unwrap()["item"], item);
    }
}

/// Whole and streamed, kept and not, are the same response.
fn everywhere(client: &Client, request: &Value) -> Value {
    let whole = create(client, request);
    for more in [json!({}), json!({ "store": false })] {
        let request = with(request.clone(), more);
        let other = create(client, &request);
        let events = streamed(client, &request);
        check_stream(&events);
        let told = events.last().unwrap()["response"].clone();
        assert_eq!(without_names(told.clone()), without_names(other.clone()));
        assert_eq!(told["output"].to_string().len(), whole["output"].to_string().len());
    }
    assert_eq!(good(&client.get(&format!("{RESPONSES}/{}", whole["id"].as_str().unwrap()))), whole);
    whole
}

fn tool(strict: bool) -> Value {
    json!({ "type": "function", "name": "get_time", "strict": strict, "parameters": {
        "type": "object", "properties": { "zone": { "enum": ["CET", "UTC"] } }, "required": ["zone"],
        "additionalProperties": false } })
}

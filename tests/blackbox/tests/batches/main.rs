//! Files and batches: uploaded, validated, run line by line when nobody else wants the engines, and put out once, whatever dies
//! meanwhile.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod ends;
mod files;
mod lines;
mod survival;

use std::time::Duration;

use cloudach_blackbox::{Answer, Client, Fleet, Plan, Redis, Replica, error_of, eventually, with};
use cloudach_fake_engine::{Script, Serves};
use serde_json::{Value, json};

const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";
const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The words `other`, as SHA-256: a key of another tenant.
const OTHER: (&str, &str) = ("other", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");

/// The key of all tests: its SHA-256.
const OWN: &str = "5f1e1072241d652e154acbd66b66d4776ae18a8b85b9484184a5e5fbc8bc2be6";

fn plan(edges: usize, edge: Value) -> Plan {
    let embedding = Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() };
    let keys = json!([
        { "name": "test", "sha256": OWN, "tenant": "blackbox" },
        { "name": "other", "sha256": OTHER.1, "tenant": "other" },
    ]);
    Plan {
        edges,
        edge: with(json!({ "keys": keys }), edge),
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("embedder", embedding)],
        ..Plan::default()
    }
}

/// A store of one edge, and one that two edges share.
fn with_each(edge: &Value, test: impl Fn(&Fleet)) {
    test(&Fleet::start(plan(1, edge.clone())));
    let redis = Redis::start();
    let shared = with(redis.edge(), json!({ "store": redis.store("10s") }));
    test(&Fleet::start(plan(2, with(shared, edge.clone()))));
}

fn last(fleet: &Fleet) -> Client {
    fleet.client_of(fleet.edges.len() - 1)
}

fn other(client: &Client) -> Client {
    Client { key: OTHER.0.to_owned(), ..client.clone() }
}

fn good(answer: &Answer) -> Value {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.json()
}

/// Status, code and parameter of a refusal.
fn refusal(answer: &Answer) -> (u16, Value, Value) {
    let error = error_of(answer);
    (answer.head.status, error["code"].clone(), error["param"].clone())
}

/// Fields of a form; one that is called `file` is a file.
fn form(client: &Client, fields: &[(&str, &[u8])]) -> Answer {
    const BOUNDARY: &str = "----cut-here";
    let mut body = Vec::new();
    for (name, content) in fields {
        let file =
            if *name == "file" { "; filename=\"input.jsonl\"\r\ncontent-type: application/octet-stream" } else { "" };
        let head = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    client.ask(&client.request("POST", FILES, &[("content-type", &kind)], &body))
}

fn upload(client: &Client, content: &str) -> String {
    let file = good(&form(client, &[("purpose", b"batch"), ("file", content.as_bytes())]));
    file["id"].as_str().unwrap().to_owned()
}

/// A line of an input file, and its line feed.
fn line(custom_id: &str, url: &str, body: &Value) -> String {
    format!("{}\n", json!({ "custom_id": custom_id, "method": "POST", "url": url, "body": body }))
}

fn say(custom_id: &str, message: &str) -> String {
    let body = json!({ "model": "fake-model", "messages": [{ "role": "user", "content": message }] });
    line(custom_id, CHAT, &body)
}

fn create(client: &Client, file: &str, endpoint: &str) -> Value {
    good(&client.post(BATCHES, &json!({ "input_file_id": file, "endpoint": endpoint, "completion_window": "24h" })))
}

/// A batch of chats.
fn begin(client: &Client, input: &str) -> String {
    let batch = create(client, &upload(client, input), CHAT);
    assert_eq!(batch["status"], "validating");
    batch["id"].as_str().unwrap().to_owned()
}

fn show(client: &Client, batch: &str) -> Value {
    good(&client.get(&format!("{BATCHES}/{batch}")))
}

fn completed(batch: &Value) -> u64 {
    batch["request_counts"]["completed"].as_u64().unwrap()
}

/// Waits until a batch is over.
fn over(client: &Client, batch: &str, status: &str) -> Value {
    let is_over = |batch: &Value| {
        !matches!(batch["status"].as_str().unwrap(), "validating" | "in_progress" | "finalizing" | "cancelling")
    };
    let mut shown = Value::Null;
    eventually(PATIENCE, "the batch is over", || {
        shown = show(client, batch);
        is_over(&shown)
    });
    assert_eq!(shown["status"], status, "{shown}");
    shown
}

/// How often the engine was asked for an answer by a client.
fn asked(fleet: &Fleet) -> u64 {
    fleet.engine().requests().iter().filter(|request| request["prompt"].to_string().contains("<|user|>")).count() as u64
}

fn content(client: &Client, file: &Value) -> String {
    let answer = client.get(&format!("{FILES}/{}/content", file.as_str().unwrap()));
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.text()
}

/// The lines of a file, each of which is JSON.
fn lines(client: &Client, file: &Value) -> Vec<Value> {
    content(client, file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn remove(client: &Client, file: &str) -> Answer {
    client.ask(&client.request("DELETE", &format!("{FILES}/{file}"), &[], b""))
}

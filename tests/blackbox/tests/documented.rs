//! What docs/compatibility.md says of every parameter is what happens: each row's example is sent.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]
#![expect(clippy::print_stdout, reason = "says what was compared and what was skipped")]

use std::fs;
use std::path::Path;

use cloudach_blackbox::{Answer, Fleet, Plan, Replica, Shared, chat, completion, error_of, with};
use cloudach_fake_engine::{Script, Serves};
use serde_json::{Value, json};

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of(
                "embedder",
                Script { serves: Serves::Embeddings { dimensions: 8 }, matryoshka: true, ..Script::vllm() },
            ),
            Replica::of("reranker", Script { serves: Serves::Scores, ..Script::vllm() }),
        ],
        ..Plan::default()
    })
});

/// A row of one of the tables.
#[derive(Debug)]
struct Row {
    name: String,
    verdict: String,
    /// What is laid over a plain request.
    example: Value,
}

#[test]
fn every_parameter_of_chat_completions() {
    every_row("/v1/chat/completions", &chat("say json [[tokens=3]]"));
}

#[test]
fn every_parameter_of_completions() {
    every_row("/v1/completions", &completion("go on [[tokens=3]]"));
}

#[test]
fn every_parameter_of_embeddings() {
    every_row("/v1/embeddings", &json!({ "model": "embedder", "input": "text" }));
}

#[test]
fn every_parameter_of_scores_and_tokens() {
    every_row("/v1/rerank", &json!({ "model": "reranker", "query": "a", "documents": ["a", "b"] }));
    every_row("/v1/score", &json!({ "model": "reranker", "text_1": "a", "text_2": "b" }));
    every_row("/tokenize", &json!({ "model": "fake-model", "prompt": "text" }));
    every_row("/detokenize", &json!({ "model": "fake-model", "tokens": [72] }));
}

#[test]
fn every_parameter_of_responses() {
    every_row("/v1/responses", &json!({ "model": "fake-model", "input": "say json [[tokens=3]]" }));
}

#[test]
fn every_parameter_of_batches() {
    let fleet = FLEET.visit();
    let form = "--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\ncontent-disposition: \
                form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--x--\r\n";
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let file = fleet.client().ask(&fleet.client().request("POST", "/v1/files", &kind, form.as_bytes()));
    let request = json!({
        "input_file_id": file.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
    });
    every_row("/v1/batches", &request);
}

fn every_row(path: &str, request: &Value) {
    let fleet = FLEET.visit();
    let mut rows = rows(path);
    // No page knows what a file will be called.
    for row in rows.iter_mut().filter(|row| row.example["input_file_id"] == "FILE") {
        row.example["input_file_id"] = request["input_file_id"].clone();
    }
    for row in &rows {
        let answer = fleet.client().post(path, &with(request.clone(), row.example.clone()));
        check(row, &answer);
    }
    for name in known_to_openai(path) {
        assert!(rows.iter().any(|row| row.name == name), "docs/compatibility.md says nothing of {name} for {path}");
    }
}

fn check(row: &Row, answer: &Answer) {
    assert!(row.example.get(&row.name).is_some(), "the example does not use the parameter: {row:?}");
    match &*row.verdict {
        "honoured" | "ignored" => assert_eq!(answer.head.status, 200, "{row:?}: {}", answer.text()),
        "refused" => {
            assert_eq!(answer.head.status, 400, "{row:?}: {}", answer.text());
            let error = error_of(answer);
            let param = error["param"].as_str().unwrap_or_default();
            let message = error["message"].as_str().unwrap();
            assert!(param.starts_with(&row.name) || message.contains(&row.name), "{row:?}: {error}");
            assert!(!message.starts_with("Unrecognized"), "{row:?} is refused as if nobody knew it");
        }
        other => panic!("a parameter is honoured, ignored or refused, and not {other:?}"),
    }
}

/// The rows of the table under the heading that names `path`.
fn rows(path: &str) -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    let section = page.split("\n### ").find(|section| section.lines().next().unwrap().contains(&format!("{path}`")));
    let lines = section.unwrap_or_else(|| panic!("no section about {path}")).lines();
    let cells = |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect::<Vec<_>>();
    let rows: Vec<Row> = lines.filter(|line| line.starts_with("| `")).map(|line| row(&cells(line))).collect();
    assert!(rows.len() > 1, "the table about {path} is not found");
    rows
}

fn row(cells: &[String]) -> Row {
    let [name, verdict, example, ..] = cells else { panic!("not a row: {cells:?}") };
    let example = example.trim_matches('`');
    Row {
        name: name.trim_matches('`').to_owned(),
        verdict: verdict.clone(),
        example: serde_json::from_str(&format!("{{{example}}}")).unwrap_or_else(|error| panic!("{error}: {example}")),
    }
}

/// The parameters that OpenAI's own document knows, where that is at hand.
fn known_to_openai(path: &str) -> Vec<String> {
    if ["/v1/rerank", "/v1/score", "/tokenize", "/detokenize"].contains(&path) {
        // OpenAI has none of them.
        return Vec::new();
    }
    let file = root().join("../shared/openai-openapi/openapi.yaml");
    let Ok(document) = fs::read_to_string(&file) else {
        assert!(std::env::var_os("CI").is_none(), "OpenAI's document is missing at {}", file.display());
        println!("skipped: no OpenAPI document at {}", file.display());
        return Vec::new();
    };
    let schemas: &[&str] = match path {
        "/v1/chat/completions" => {
            &["CreateChatCompletionRequest", "CreateModelResponseProperties", "ModelResponseProperties"]
        }
        "/v1/responses" => {
            &["CreateResponse", "ResponseProperties", "CreateModelResponseProperties", "ModelResponseProperties"]
        }
        "/v1/completions" => &["CreateCompletionRequest"],
        "/v1/batches" => &["CreateBatchRequest"],
        _ => &["CreateEmbeddingRequest"],
    };
    let names: Vec<String> = schemas.iter().flat_map(|schema| properties(&document, schema)).collect();
    assert!(
        names.len() > 4 && names.iter().any(|name| name == "model" || name == "input" || name == "endpoint"),
        "{names:?}"
    );
    names
}

/// The properties of a schema of the document, at whatever depth its own `properties` stand first.
fn properties(document: &str, schema: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = document.lines().skip_while(|line| line.trim_end() != format!("    {schema}:"));
    let Some(head) = lines.next() else { return Vec::new() };
    let body: Vec<&str> = lines.take_while(|line| line.trim().is_empty() || indent(line) > indent(head)).collect();
    let Some(start) = body.iter().position(|line| line.trim() == "properties:") else { return Vec::new() };
    let depth = indent(body[start]);
    let inside = body[start + 1..].iter().take_while(|line| line.trim().is_empty() || indent(line) > depth);
    let inside: Vec<&&str> = inside.filter(|line| !line.trim().is_empty()).collect();
    let Some(first) = inside.first().map(|line| indent(line)) else { return Vec::new() };
    let keys = inside.iter().filter(|line| indent(line) == first);
    keys.filter_map(|line| line.trim().strip_suffix(':').map(|key| key.trim_matches('\'').to_owned())).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

//! Reranking and scores, by raw bytes through the whole way, from both dialects of engines: the shapes, what is refused, what
//! is counted, and a replica that fails.

use std::time::Duration;

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Shared, admin_api, error_of, eventually, with};
use cloudach_fake_engine::{Fault, FaultRule, Script, Serves};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const RERANK: &str = "/v1/rerank";
const SCORE: &str = "/v1/score";

static FLEET: Shared = Shared::new(|| {
    let scores = |script: Script| Script { serves: Serves::Scores, max_model_len: 64, ..script };
    let lost = FaultRule::from(Fault::Die).matching("die once").times(1);
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("reranker", scores(Script::vllm())),
            Replica::of("llama", scores(Script::llama_cpp())),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 8 }, ..Script::vllm() }),
            Replica::of("twice", scores(Script::vllm()).fault(lost)),
            Replica::of("twice", scores(Script::vllm())),
        ],
        models: json!({ "engine-counted": {} }),
        router: json!({ "catalogue": { "routes": { "either": { "split": { "reranker": 1, "llama": 1 } } } } }),
        edge: json!({
            "admin_api": admin_api(),
            "keys": [
                key("all", json!({})),
                key("few", json!({ "rate_limits": { "requests_per_minute": 2, "tokens_per_minute": 1000 } })),
                key("small", json!({ "rate_limits": { "tokens_per_minute": 100 } })),
            ],
        }),
        ..Plan::default()
    })
});

fn secret(name: &str) -> String {
    format!("sk-scores-{name}")
}

fn key(name: &str, more: Value) -> Value {
    let sha256: String = Sha256::digest(secret(name)).iter().map(|byte| format!("{byte:02x}")).collect();
    with(json!({ "name": name, "sha256": sha256, "tenant": "scores" }), more)
}

fn client(fleet: &Fleet, name: &str) -> Client {
    Client { key: secret(name), ..fleet.client() }
}

fn animals(model: &str) -> Value {
    json!({ "model": model, "query": "red fox", "documents": ["blue whale", "a red fox", "red deer"] })
}

#[test]
fn the_best_documents_come_first_whichever_engine_scores() {
    let fleet = FLEET.visit();
    for model in ["reranker", "llama", "embedder"] {
        for path in [RERANK, "/v2/rerank", "/rerank"] {
            let answer = client(&fleet, "all").post(path, &animals(model));
            assert_eq!(answer.head.status, 200, "{}", answer.text());
            assert_eq!(answer.head.get("content-type"), Some("application/json"));
            assert_eq!(answer.head.get("openai-model"), Some(model));
            let mut told = answer.json();
            let id = told["id"].take();
            assert!(id.as_str().unwrap().starts_with("rerank-"), "{id}");
            let result = |index: u64, text: &str, score: f64| json!({ "index": index, "document": { "text": text }, "relevance_score": score });
            let results = [result(1, "a red fox", 1.0), result(2, "red deer", 0.5), result(0, "blue whale", 0.0)];
            // By tiktoken, as everything else: the query once for each document.
            let usage = json!({ "prompt_tokens": 13, "total_tokens": 13 });
            assert_eq!(
                told,
                json!({ "id": null, "model": model, "results": results, "usage": usage }),
                "{model} {path}"
            );
        }
    }
    let two = with(animals("llama"), json!({ "top_n": 2, "return_documents": false }));
    let told = client(&fleet, "all").post(RERANK, &two).json();
    let results = json!([{ "index": 1, "relevance_score": 1.0 }, { "index": 2, "relevance_score": 0.5 }]);
    assert_eq!(told["results"], results);
}

#[test]
fn scores_stand_in_the_order_of_the_documents() {
    let fleet = FLEET.visit();
    let scores = |model: &str, body: Value| {
        let answer = client(&fleet, "all").post(SCORE, &with(body, json!({ "model": model })));
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        let told = answer.json();
        assert_eq!((told["object"].as_str(), told["model"].as_str()), (Some("list"), Some(model)));
        let entries = told["data"].as_array().unwrap().clone();
        for (index, entry) in entries.iter().enumerate() {
            assert_eq!((entry["index"].as_u64(), entry["object"].as_str()), (Some(index as u64), Some("score")));
        }
        entries.iter().map(|entry| entry["score"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    for model in ["reranker", "llama", "embedder"] {
        assert_eq!(scores(model, json!({ "text_1": "red fox", "text_2": "fox" })), [0.5]);
        assert_eq!(scores(model, json!({ "queries": "fox", "documents": ["whale", "fox"] })), [0.0, 1.0]);
    }
    let each = json!({ "text_1": ["fox", "whale"], "text_2": ["fox", "fox"] });
    assert_eq!(scores("reranker", each.clone()), [1.0, 0.0]);
    let refused = client(&fleet, "all").post("/score", &with(each, json!({ "model": "llama" })));
    assert_eq!(
        (refused.head.status, error_of(&refused)["param"].as_str()),
        (400, Some("text_1")),
        "{}",
        refused.text()
    );
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "all");
    let refused = |path: &str, body: &Value| {
        let answer = client.post(path, body);
        let error = error_of(&answer);
        (answer.head.status, error["param"].as_str().unwrap_or_default().to_owned(), error["message"].clone())
    };
    for (model, status) in [("fake-model", 403), ("either", 403), ("nothing", 404), ("engine-counted", 503)] {
        assert_eq!(refused(RERANK, &animals(model)).0, status, "{model}");
    }
    let pair = json!({ "model": "fake-model", "text_1": "a", "text_2": "b" });
    assert_eq!(refused(SCORE, &pair).2, "You are not allowed to rerank or score with this model");
    for (change, param) in [
        (json!({ "query": null }), "query"),
        (json!({ "documents": [] }), "documents"),
        (json!({ "documents": [{ "text": "a", "title": "b" }] }), "documents[0].title"),
        (json!({ "top_n": -1 }), "top_n"),
        (json!({ "rank_fields": ["text"] }), "rank_fields"),
    ] {
        let (status, found, message) = refused(RERANK, &with(animals("reranker"), change));
        assert_eq!((status, &*found), (400, param), "{message}");
    }
    let unknown = refused(RERANK, &with(animals("reranker"), json!({ "truncation": true })));
    assert_eq!(unknown.2, "Unrecognized request argument supplied: truncation");
    let cut = refused(RERANK, &with(animals("llama"), json!({ "truncate_prompt_tokens": 4 })));
    assert_eq!((cut.0, &*cut.1), (400, "truncate_prompt_tokens"));
    let many = json!({ "model": "reranker", "query": "q", "documents": vec!["d"; 2049] });
    assert_eq!((refused(RERANK, &many).0, &*refused(RERANK, &many).1), (400, "documents"));
    let malformed = client.ask(&client.request("POST", RERANK, &[], b"{"));
    assert_eq!(malformed.head.status, 400);
    assert_eq!(client.get(RERANK).head.status, 405);
}

#[test]
fn pairs_beyond_the_context_are_refused_or_cut() {
    let fleet = FLEET.visit();
    let client = client(&fleet, "all");
    let long = "fox ".repeat(100);
    for model in ["reranker", "llama"] {
        let request = json!({ "model": model, "query": "fox", "documents": ["fox", long] });
        let answer = client.post(RERANK, &request);
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        let message = error_of(&answer)["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("This model's maximum context length is 64 tokens"), "{message}");
    }
    let cut = json!({ "model": "reranker", "query": "fox", "documents": ["fox", long], "truncate_prompt_tokens": -1 });
    assert_eq!(client.post(RERANK, &cut).head.status, 200);
}

#[test]
fn keys_have_their_models_and_their_limits() {
    let fleet = FLEET.visit();
    let made = fleet.admin_of(0).post("/admin/v1/keys", &json!({ "name": "one", "models": ["fake-model"] })).json();
    let one = Client { key: made["key"].as_str().unwrap().to_owned(), ..fleet.client() };
    let answer = one.post(RERANK, &animals("reranker"));
    assert_eq!((answer.head.status, error_of(&answer)["code"].as_str()), (403, Some("model_not_found")));
    let wrong = Client { key: "sk-nobody".to_owned(), ..fleet.client() }.post(RERANK, &animals("reranker"));
    assert_eq!((wrong.head.status, error_of(&wrong)["code"].as_str()), (401, Some("invalid_api_key")));

    let few = client(&fleet, "few");
    let first = few.post(RERANK, &animals("reranker"));
    assert_eq!(first.head.get("x-ratelimit-remaining-tokens"), Some("987"), "{:?}", first.head);
    assert_eq!(few.post(SCORE, &json!({ "model": "reranker", "text_1": "a", "text_2": "b" })).head.status, 200);
    let third = few.post(RERANK, &animals("reranker"));
    assert_eq!((third.head.status, error_of(&third)["type"].as_str()), (429, Some("requests")));

    let many = json!({ "model": "reranker", "query": "red fox", "documents": vec!["a red fox"; 100] });
    let large = client(&fleet, "small").post(RERANK, &many);
    assert_eq!((large.head.status, error_of(&large)["type"].as_str()), (429, Some("tokens")));
}

#[test]
fn each_is_one_record() {
    let fleet = FLEET.visit();
    let answer = client(&fleet, "all").post(RERANK, &animals("reranker"));
    let id = answer.head.get("x-request-id").unwrap();
    let mut found = Value::Null;
    eventually(Duration::from_secs(30), "the record is kept", || {
        let records = fleet.admin_of(0).get("/admin/v1/usage/records?limit=100").json();
        let of = |record: &&Value| record["request_id"] == id;
        found = records["data"].as_array().into_iter().flatten().find(of).cloned().unwrap_or_default();
        !found.is_null()
    });
    assert_eq!((found["endpoint"].as_str(), found["outcome"].as_str()), (Some("rerank"), Some("served")), "{found}");
    assert_eq!((found["prompt_tokens"].as_u64(), found["completion_tokens"].as_u64()), (Some(13), Some(0)), "{found}");
}

#[test]
fn a_replica_that_is_lost_is_replaced() {
    let fleet = FLEET.visit();
    let request = json!({ "model": "twice", "query": "die once", "documents": ["once"] });
    for _ in 0..4 {
        let answer = client(&fleet, "all").post(RERANK, &request);
        assert_eq!(answer.head.status, 200, "{}", answer.text());
    }
}

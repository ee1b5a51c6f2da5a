//! llama.cpp's native dialect, byte by byte as a sidecar sees it.

mod support;

use cloudach_fake_engine::{FakeEngine, Script, Serves, vocabulary};
use serde_json::{Value, json};
use support::{End, call, get, post};

#[tokio::test]
async fn a_stream_with_everything_asked_for() {
    let engine = FakeEngine::start(Script::llama_cpp().saying("Hello big world")).await;
    let body = json!({
        "prompt": "Hi!", "n_predict": 10, "stream": true, "return_tokens": true, "return_progress": true, "n_probs": 2
    });
    let response = post(&engine, "/completion", body).await;
    assert_eq!((response.status, response.end), (200, End::Complete));
    let chunks = response.chunks();
    assert_eq!(chunks.len(), response.events().len(), "there is no [DONE]");
    let (progress, rest) = chunks.split_at(2);
    assert_eq!(progress[1]["prompt_progress"]["processed"], 2);
    assert_eq!(progress[1]["tokens"], json!([0]));
    let content: Vec<&Value> = rest.iter().map(|chunk| &chunk["content"]).collect();
    assert_eq!(content, ["Hello", " big", " world", "", ""]);
    let probability = &rest[0]["completion_probabilities"][0];
    assert_eq!((&probability["token"], &probability["bytes"]), (&json!("Hello"), &json!(b"Hello")));
    assert_eq!(probability["top_logprobs"].as_array().unwrap().len(), 2);
    assert_eq!(rest[3]["tokens"], json!([vocabulary::EOS]));
    let last = &rest[4];
    assert_eq!((&last["stop"], &last["stop_type"]), (&json!(true), &json!("eos")));
    assert_eq!((&last["tokens_predicted"], &last["tokens_evaluated"]), (&json!(4), &json!(2)));
    assert_eq!((&last["prompt"], &last["timings"]["predicted_n"]), (&json!("Hi!"), &json!(4)));
}

#[tokio::test]
async fn a_whole_response() {
    let engine = FakeEngine::start(Script::llama_cpp().saying("Hello big world")).await;
    let body = json!({"prompt": [["Hi"], 1], "n_predict": 2});
    assert_eq!(post(&engine, "/completion", body).await.status, 400);
    let body = json!({"prompt": ["Hi", 33], "n_predict": 2, "return_tokens": true, "n_probs": 1});
    let whole = post(&engine, "/completion", body).await.json();
    assert_eq!((&whole["content"], &whole["stop_type"]), (&json!("Hello big"), &json!("limit")));
    assert_eq!((&whole["prompt"], &whole["truncated"]), (&json!("Hi!"), &json!(false)));
    assert_eq!(whole["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(whole["completion_probabilities"].as_array().unwrap().len(), 2);
    let body = json!({"prompt": "x", "stop": ["o big"]});
    let whole = post(&engine, "/completion", body).await.json();
    assert_eq!((&whole["content"], &whole["stopping_word"]), (&json!("Hell"), &json!("o big")));
    assert_eq!((&whole["stop_type"], &whole["tokens"]), (&json!("word"), &json!([])));
}

#[tokio::test]
async fn ids_inside_a_character_are_lost_in_a_stream() {
    let engine = FakeEngine::start(Script::llama_cpp()).await;
    let body = json!({"prompt": "[[say:a🦀]][[cut=1]]", "stream": true, "return_tokens": true});
    let chunks = post(&engine, "/completion", body).await.chunks();
    let events: Vec<(&str, u64)> = chunks
        .iter()
        .map(|chunk| (chunk["content"].as_str().unwrap(), chunk["tokens_predicted"].as_u64().unwrap()))
        .collect();
    assert_eq!(events, [("a", 1), ("🦀", 5), ("", 6), ("", 6)]);
    assert_eq!(chunks[1]["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_with_the_start_of_a_character_waits_whole() {
    let engine = FakeEngine::start(Script { eos: false, ..Script::llama_cpp() }).await;
    let text = "naïve 日本語 and a crab 🦀!";
    for cut in ["[[cut=3]]", "[[cut=4]]", "[[cut_at=3]]", "[[cuts=3,8,11,25]]"] {
        let body = json!({"prompt": format!("[[say:{text}]]{cut}"), "stream": true, "n_probs": 1});
        let chunks = post(&engine, "/completion", body).await.chunks();
        let content: String = chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
        assert_eq!(content, text, "{cut}");
        let told =
            |chunk: &Value| chunk["completion_probabilities"][0]["token"].as_str().unwrap_or_default().to_owned();
        assert_eq!(chunks.iter().map(told).collect::<String>(), text, "an event's text is its token's");
    }
    let body = json!({"prompt": "[[say:a🦀]][[cut=1]]", "stream": true, "return_tokens": true, "n_predict": 3});
    let chunks = post(&engine, "/completion", body).await.chunks();
    assert_eq!((chunks.len(), &chunks[1]["tokens_predicted"]), (2, &json!(3)), "what is not complete is not told");
}

#[tokio::test]
async fn only_what_may_become_a_stop_string_waits() {
    let engine = FakeEngine::start(Script::llama_cpp().saying("one two three")).await;
    let body = json!({"prompt": "x", "stream": true, "stop": [" two four"]});
    let chunks = post(&engine, "/completion", body).await.chunks();
    let content: Vec<&str> = chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
    assert_eq!(content, ["one", "", " two three", "", ""]);
}

#[tokio::test]
async fn schemas_and_grammars() {
    let engine = FakeEngine::start(Script::llama_cpp()).await;
    let complete = async |field: &str, value: Value| {
        let mut body = json!({"prompt": "x", "n_predict": 50});
        body[field] = value;
        post(&engine, "/completion", body).await
    };
    let schema = json!({"type": "array", "items": {"type": "integer"}, "minItems": 2});
    assert_eq!(complete("json_schema", schema).await.json()["content"], "[0,0]");
    let ignored = complete("json_schema", json!({"type": "foo"})).await;
    assert_eq!(ignored.status, 200);
    assert_eq!(complete("grammar", json!("nonsense")).await.status, 400);
}

#[tokio::test]
async fn refusals() {
    let engine = FakeEngine::start(Script { max_model_len: 2048, ..Script::llama_cpp() }).await;
    let long = post(&engine, "/completion", json!({"prompt": vec![1; 3001], "stream": true})).await;
    assert_eq!(long.status, 400);
    assert_eq!(
        long.json()["error"],
        json!({
            "code": 400,
            "message": "request (3001 tokens) exceeds the available context size (2048 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 3001,
            "n_ctx": 2048
        })
    );
    for (body, message) in [
        (json!({"prompt": [99_999_999]}), "Prompt contains invalid tokens"),
        (json!({"prompt": []}), "\"prompt\" must not be empty"),
        (json!({}), "[json.exception.out_of_range.403] key 'prompt' not found"),
        (
            json!({"prompt": "x", "n_predict": "many"}),
            "Field 'n_predict': [json.exception.type_error.302] type must be number, but is string",
        ),
    ] {
        let response = post(&engine, "/completion", body).await;
        assert_eq!((response.status, &response.json()["error"]["message"]), (400, &json!(message)));
    }
    assert_eq!(call(&engine, "POST", "/completion", "{").await.status, 400);
    assert_eq!(get(&engine, "/completion").await.status, 404);
    assert_eq!(post(&engine, "/v1/embeddings", json!({"input": "x"})).await.status, 501);
    assert_eq!(
        post(&engine, "/completion", json!({"prompt": "x", "temperature": -1, "model": "any"})).await.status,
        200
    );
}

#[tokio::test]
async fn embeddings_beside_completions() {
    let serves = Serves::Embeddings { dimensions: 4 };
    let engine = FakeEngine::start(Script { serves, ..Script::llama_cpp() }).await;
    let response = post(&engine, "/v1/embeddings", json!({"input": ["a", "b"]})).await.json();
    assert_eq!(response["data"][1]["embedding"].as_array().unwrap().len(), 4);
    let response = post(&engine, "/embeddings", json!({"content": "a"})).await.json();
    assert_eq!(response[0]["embedding"][0].as_array().unwrap().len(), 4);
    assert_eq!(post(&engine, "/v1/embeddings", json!({"input": ""})).await.status, 400);
    let long = post(&engine, "/v1/embeddings", json!({"input": vec![1; 9000]})).await;
    assert_eq!((long.status, &long.json()["error"]["type"]), (500, &json!("server_error")));
    assert_eq!(post(&engine, "/completion", json!({"prompt": "x"})).await.status, 200);
}

#[tokio::test]
async fn what_it_tells_about_itself() {
    let engine = FakeEngine::start(Script { max_running: 4, ..Script::llama_cpp() }).await;
    let props = get(&engine, "/props").await.json();
    assert_eq!(props["total_slots"], 4);
    assert_eq!(props["default_generation_settings"]["n_ctx"], 8192);
    assert!(props["chat_template"].as_str().unwrap().contains("<|im_start|>"));
    assert_eq!(get(&engine, "/slots").await.json().as_array().unwrap().len(), 4);
    assert_eq!(get(&engine, "/v1/models").await.json()["data"][0]["id"], "fake-model");
    assert!(get(&engine, "/metrics").await.text().contains("\nllamacpp:requests_processing 0\n"));
    let tokens = post(&engine, "/tokenize", json!({"content": "abc"})).await.json();
    assert_eq!(post(&engine, "/detokenize", tokens.clone()).await.json(), json!({"content": "abc"}));
    let pieces = post(&engine, "/tokenize", json!({"content": "abc", "with_pieces": true})).await.json();
    assert_eq!(pieces["tokens"][0], json!({"id": tokens["tokens"][0], "piece": "ab"}));
}

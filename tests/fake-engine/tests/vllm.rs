//! vLLM's dialect, byte by byte as a sidecar sees it.

mod support;

use cloudach_fake_engine::{Dialect, FakeEngine, FrontEnd, Script, Serves, vocabulary};
use serde_json::{Value, json};
use support::{End, call, get, post};

fn rust_front_end() -> Script {
    Script { dialect: Dialect::Vllm(FrontEnd::Rust), ..Script::vllm() }
}

fn texts(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect()
}

#[tokio::test]
async fn a_stream_with_everything_asked_for() {
    let engine = FakeEngine::start(Script::vllm().saying("Hello big world")).await;
    let response = post(
        &engine,
        "/v1/completions",
        json!({
            "model": "fake-model", "prompt": "Hi!", "max_tokens": 10, "stream": true, "return_token_ids": true,
            "logprobs": 2, "stream_options": {"include_usage": true}
        }),
    )
    .await;
    assert_eq!((response.status, response.end), (200, End::Complete));
    assert!(response.head.contains("content-type: text/event-stream; charset=utf-8"));
    assert_eq!(response.events().last().unwrap(), "[DONE]");
    let chunks = response.chunks();
    assert_eq!(chunks.len(), 5);
    assert_eq!(texts(&chunks), ["Hello", " big", " world", ""]);
    let first = &chunks[0]["choices"][0];
    assert_eq!(first["prompt_token_ids"], json!(vocabulary::tokenize("Hi!")));
    assert_eq!(first["token_ids"].as_array().unwrap().len(), 1);
    assert_eq!(first["finish_reason"], Value::Null);
    assert_eq!(first["logprobs"]["tokens"], json!(["Hello"]));
    assert_eq!(first["logprobs"]["top_logprobs"][0].as_object().unwrap().len(), 2);
    assert_eq!(chunks[1]["choices"][0]["logprobs"]["text_offset"], json!([5]));
    assert_eq!(chunks[1]["choices"][0]["prompt_token_ids"], Value::Null);
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[3]["choices"][0]["token_ids"], json!([vocabulary::EOS]));
    assert_eq!(chunks[4]["choices"], json!([]));
    assert_eq!(chunks[4]["usage"], json!({"prompt_tokens": 2, "total_tokens": 6, "completion_tokens": 4}));
}

#[tokio::test]
async fn the_rust_front_end_has_a_chunk_before_and_one_after() {
    let engine = FakeEngine::start(rust_front_end().saying("one two")).await;
    let body = json!({"prompt": "Hi", "stream": true, "return_token_ids": true});
    let response = post(&engine, "/v1/completions", body).await;
    let chunks = response.chunks();
    assert_eq!(texts(&chunks), ["", "one", " two", "", ""]);
    assert!(chunks[0]["choices"][0]["prompt_token_ids"].is_array());
    let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::Null, &Value::Null, &Value::Null, &json!("stop")]);
}

#[tokio::test]
async fn a_whole_response() {
    let engine = FakeEngine::start(Script::vllm().saying("Hello big world")).await;
    let body = json!({"prompt": "Hi!", "max_tokens": 2, "return_token_ids": true, "logprobs": 1, "echo": true});
    let response = post(&engine, "/v1/completions", body).await.json();
    let choice = &response["choices"][0];
    assert_eq!(choice["text"], "Hello big", "where ids are told the prompt's text is not");
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(choice["logprobs"]["tokens"], json!(["Hi", "!", "Hello", " big"]));
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 2, 3, 8]));
    assert_eq!(choice["token_ids"].as_array().unwrap().len(), 2);
    assert_eq!(response["usage"], json!({"prompt_tokens": 2, "total_tokens": 4, "completion_tokens": 2}));
}

#[tokio::test]
async fn a_prompt_is_echoed_before_its_answer() {
    let engine = FakeEngine::start(Script::vllm().saying("é one")).await;
    let body = json!({"prompt": "Hé!", "max_tokens": 2, "stream": true, "logprobs": 2, "echo": true});
    let chunks = post(&engine, "/v1/completions", body.clone()).await.chunks();
    assert_eq!(texts(&chunks), ["Hé!é", " one"]);
    let first = &chunks[0]["choices"][0];
    assert_eq!(first["prompt_token_ids"], json!(vocabulary::tokenize("Hé!")));
    // Two bytes each: the second has the rest of what the first began.
    assert_eq!(first["logprobs"]["tokens"], json!(["", "Hé!", "é"]));
    assert_eq!(first["logprobs"]["text_offset"], json!([0, 0, 3]));
    assert_eq!(first["logprobs"]["token_logprobs"][0], Value::Null);
    assert_eq!(first["logprobs"]["top_logprobs"][0], Value::Null);
    assert_eq!(first["logprobs"]["top_logprobs"][1].as_object().unwrap().len(), 3);
    assert_eq!(first["logprobs"]["top_logprobs"][2].as_object().unwrap().len(), 2);
    let mut whole = body;
    whole["stream"] = json!(false);
    let whole = post(&engine, "/v1/completions", whole).await.json();
    assert_eq!(whole["choices"][0]["text"], "Hé!é one");
    assert_eq!(whole["choices"][0]["logprobs"]["tokens"], json!(["", "Hé!", "é", " one"]));
}

#[tokio::test]
async fn a_prompt_alone_is_echoed() {
    for script in [Script::vllm(), rust_front_end()] {
        let engine = FakeEngine::start(script).await;
        let body = json!({"prompt": "Hi!", "max_tokens": 0, "stream": true, "logprobs": 0, "echo": true,
            "stream_options": {"include_usage": true}});
        let chunks = post(&engine, "/v1/completions", body).await.chunks();
        assert_eq!(texts(&chunks).concat(), "Hi!");
        assert_eq!(chunks[0]["choices"][0]["logprobs"]["tokens"], json!(["Hi", "!"]));
        let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
        assert!(reasons.contains(&&json!("length")), "{reasons:?}");
        // It is generated all the same.
        assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 1);
    }
    let engine = FakeEngine::start(Script::vllm()).await;
    assert_eq!(post(&engine, "/v1/completions", json!({"prompt": "Hi!", "max_tokens": 0})).await.status, 400);
}

#[tokio::test]
async fn the_front_ends_echo_differently() {
    let rust = FakeEngine::start(rust_front_end().saying("one")).await;
    let body = json!({"prompt": "Hi!", "max_tokens": 2, "stream": true, "logprobs": 1, "echo": true, "return_token_ids": true});
    let chunks = post(&rust, "/v1/completions", body.clone()).await.chunks();
    assert_eq!(texts(&chunks), ["Hi!", "one", "", ""], "its text although ids are told");
    assert_eq!(chunks[0]["choices"][0]["logprobs"], Value::Null);
    let python = FakeEngine::start(Script::vllm().saying("one")).await;
    let chunks = post(&python, "/v1/completions", body).await.chunks();
    assert_eq!(texts(&chunks), ["one", ""]);
    assert_eq!(chunks[0]["choices"][0]["logprobs"]["tokens"], json!(["Hi", "!", "one"]));
}

#[tokio::test]
async fn an_answer_is_cut_where_it_is_told() {
    let engine = FakeEngine::start(Script { eos: false, ..Script::vllm() }).await;
    let text = "aé日🦀b";
    for cut in 0..=text.len() + 1 {
        let body =
            json!({"prompt": format!("[[say:{text}]][[cut_at={cut}]]"), "stream": true, "return_token_ids": true});
        let chunks = post(&engine, "/v1/completions", body).await.chunks();
        assert_eq!((chunks.len(), texts(&chunks).concat().as_str()), (2, text), "cut at {cut}");
        let whole = cut.min(text.len());
        let first = if text.is_char_boundary(whole) { &text[..whole] } else { "" };
        assert_eq!(texts(&chunks)[0], first, "cut at {cut}");
    }
    let body = json!({"prompt": format!("[[say:{text}]][[cuts=1,4,7]]"), "stream": true});
    assert_eq!(texts(&post(&engine, "/v1/completions", body).await.chunks()), ["a", "", "", "é日🦀b"]);
}

#[tokio::test]
async fn streamed_and_whole_are_the_same_and_repeatable() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let other = FakeEngine::start(Script::vllm()).await;
    let body = |stream: bool, seed: u32| json!({"prompt": "Say", "max_tokens": 40, "stream": stream, "seed": seed});
    let streamed = post(&engine, "/v1/completions", body(true, 1)).await.chunks();
    let whole = post(&other, "/v1/completions", body(false, 1)).await.json();
    assert_eq!(whole["choices"][0]["text"], texts(&streamed).concat());
    assert_eq!(whole["usage"]["completion_tokens"], 33);
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let seeded = post(&engine, "/v1/completions", body(false, 2)).await.json();
    assert_ne!(whole["choices"][0]["text"], seeded["choices"][0]["text"]);
}

#[tokio::test]
async fn several_choices_of_several_prompts() {
    let engine = FakeEngine::start(Script { eos: false, ..Script::vllm().tokens(3) }).await;
    let body = json!({"prompt": ["one", "two!"], "n": 2, "stream": true, "stream_options": {"include_usage": true}});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    let mut text = [const { String::new() }; 4];
    for chunk in &chunks[..12] {
        let choice = &chunk["choices"][0];
        text[usize::try_from(choice["index"].as_u64().unwrap()).unwrap()] += choice["text"].as_str().unwrap();
    }
    text.sort();
    assert!(text.windows(2).all(|pair| pair[0] != pair[1]), "{text:?}");
    assert_eq!(chunks[12]["usage"], json!({"prompt_tokens": 4, "total_tokens": 16, "completion_tokens": 12}));
}

#[tokio::test]
async fn running_usage_on_every_chunk() {
    let engine =
        FakeEngine::start(Script { prompt_tokens_details: true, eos: false, ..Script::vllm().tokens(2) }).await;
    let body = json!({"prompt": "x".repeat(100), "stream": true,
        "stream_options": {"include_usage": true, "continuous_usage_stats": true}});
    post(&engine, "/v1/completions", body.clone()).await;
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    let counts: Vec<&Value> = chunks.iter().map(|chunk| &chunk["usage"]["completion_tokens"]).collect();
    assert_eq!(counts, [1, 2, 2]);
    assert_eq!(chunks[2]["usage"]["prompt_tokens_details"]["cached_tokens"], 48);
}

#[tokio::test]
async fn stop_strings_are_held_back_and_cut() {
    let engine = FakeEngine::start(Script::vllm().saying("one two three four")).await;
    let body = json!({"prompt": "x", "stream": true, "stop": ["o th", "zzz"]});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    assert_eq!(texts(&chunks).concat(), "one tw");
    assert_eq!(chunks.last().unwrap()["choices"][0]["stop_reason"], "o th");
    let body = json!({"prompt": "x", "stop": "two", "include_stop_str_in_output": true});
    let whole = post(&engine, "/v1/completions", body).await.json();
    assert_eq!(whole["choices"][0]["text"], "one two");
    let body = |include: bool| json!({"prompt": "x", "stream": true, "stop": ["not there"], "include_stop_str_in_output": include});
    let chunks = post(&engine, "/v1/completions", body(false)).await.chunks();
    assert_eq!(texts(&chunks), ["", "", "one t", "wo th", "ree four"], "eight characters wait");
    let chunks = post(&engine, "/v1/completions", body(true)).await.chunks();
    assert_eq!(texts(&chunks), ["one", " two", " three", " four", ""], "nothing waits");
}

#[tokio::test]
async fn characters_over_several_tokens_are_held_back() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let body = json!({"prompt": "[[say:a🦀é]][[cut=1]]", "stream": true, "return_token_ids": true});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    assert_eq!(texts(&chunks), ["a", "", "", "", "🦀", "", "é", ""]);
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["token_ids"].as_array().unwrap().len() == 1));
}

#[tokio::test]
async fn several_tokens_in_one_event() {
    let engine = FakeEngine::start(Script::vllm().saying("one two three")).await;
    let body = json!({"prompt": "[[burst=2]]", "stream": true, "return_token_ids": true, "logprobs": 1});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    assert_eq!(texts(&chunks), ["one two", " three"]);
    assert_eq!(chunks[0]["choices"][0]["logprobs"]["text_offset"], json!([0, 3]));
    assert_eq!(chunks[1]["choices"][0]["token_ids"][1], vocabulary::EOS);
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn an_answer_is_gone_on_with_from_its_ids() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let body = json!({"prompt": "Tell me", "max_tokens": 20, "return_token_ids": true, "seed": 9});
    let whole = post(&engine, "/v1/completions", body).await.json();
    let ids: Vec<u64> = serde_json::from_value(whole["choices"][0]["token_ids"].clone()).unwrap();
    let mut prompt: Vec<u64> = serde_json::from_value(whole["choices"][0]["prompt_token_ids"].clone()).unwrap();
    prompt.extend(&ids[..7]);
    let body = json!({"prompt": prompt, "max_tokens": 13, "return_token_ids": true, "seed": 9});
    let rest = post(&engine, "/v1/completions", body).await.json();
    assert_eq!(rest["choices"][0]["token_ids"], json!(ids[7..]));
    assert_eq!(rest["choices"][0]["finish_reason"], "length");
    prompt.extend(&ids[7..]);
    let body = json!({"prompt": prompt, "max_tokens": 20, "seed": 9, "stream": true});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks.len(), 13);
}

#[tokio::test]
async fn lengths_follow_the_request() {
    let engine = FakeEngine::start(Script { max_model_len: 100, ..Script::vllm().tokens(5) }).await;
    let count = async |body: Value| {
        let response = post(&engine, "/v1/completions", body).await.json();
        let count = response["usage"]["completion_tokens"].as_u64().unwrap();
        (count, response["choices"][0]["finish_reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(count(json!({"prompt": "x"})).await, (6, "stop".into()));
    assert_eq!(count(json!({"prompt": "x", "min_tokens": 8})).await, (8, "stop".into()));
    assert_eq!(count(json!({"prompt": "x", "ignore_eos": true, "max_tokens": 50})).await, (50, "length".into()));
    assert_eq!(count(json!({"prompt": "x", "ignore_eos": true, "max_tokens": 100})).await, (99, "length".into()));
    assert_eq!(count(json!({"prompt": "x [[eos=false]]", "max_tokens": 50})).await, (5, "stop".into()));
}

#[tokio::test]
async fn structured_outputs_give_what_fits() {
    let engine = FakeEngine::start(Script::vllm()).await;
    let text = async |constraint: Value| {
        let mut body = json!({"prompt": "x", "max_tokens": 100});
        body.as_object_mut().unwrap().extend(constraint.as_object().unwrap().clone());
        let response = post(&engine, "/v1/completions", body).await;
        (response.status, response.json())
    };
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let (_, answer) = text(json!({"structured_outputs": {"json": schema}})).await;
    assert_eq!(answer["choices"][0]["text"], r#"{"city":"a"}"#);
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let (_, answer) = text(json!({"response_format": format})).await;
    assert_eq!(answer["choices"][0]["text"], r#"{"city":"a"}"#);
    let (_, answer) = text(json!({"structured_outputs": {"choice": ["yes", "no"]}})).await;
    assert_eq!(answer["choices"][0]["text"], "yes");
    let list = json!({"type": "array", "items": {"const": "x"}, "minItems": 1, "maxItems": 2});
    let body = json!({"prompt": "[[items=5]][[cut_at=3]]", "structured_outputs": {"json": list}, "stream": true});
    let chunks = post(&engine, "/v1/completions", body).await.chunks();
    assert_eq!(texts(&chunks), ["[\"x", "\",\"x\"]", ""]);
    let (status, answer) = text(json!({"structured_outputs": {"json": {"type": "foo"}}})).await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("Grammar error: Invalid type: foo")));
    let (status, _) = text(json!({"structured_outputs": {"json": {}, "choice": ["a"]}})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn refusals_of_both_front_ends() {
    let long: Vec<u32> = vec![1; 3001];
    let cases = [
        (json!({"prompt": "x", "model": "nope"}), 404, "does not exist"),
        (json!({"prompt": long}), 400, "maximum context length is 2048 tokens"),
        (json!({"prompt": long, "stream": true}), 400, "maximum context length is 2048 tokens"),
        (json!({"prompt": vec![1; 2048]}), 400, ""),
        (json!({"prompt": [99_999_999]}), 400, "out of vocabulary"),
        (json!({"prompt": "x", "temperature": -1}), 400, "temperature"),
        (json!({"prompt": "x", "top_p": 0}), 400, "top_p"),
        (json!({"prompt": "x", "logprobs": 50}), 400, "equested"),
        (json!({"prompt": "x", "max_tokens": "many"}), 400, ""),
        (json!({"max_tokens": 1}), 400, ""),
    ];
    for script in [Script::vllm(), rust_front_end()] {
        let engine = FakeEngine::start(Script { max_model_len: 2048, ..script.clone() }).await;
        for (body, status, message) in &cases {
            let response = post(&engine, "/v1/completions", body.clone()).await;
            let error = &response.json()["error"];
            assert_eq!(response.status, *status, "{body}");
            assert!(error["message"].as_str().unwrap().contains(message), "{error}");
            assert!(error["type"].is_string(), "{error}");
        }
        assert_eq!(call(&engine, "POST", "/v1/completions", "{").await.status, 400);
        assert_eq!(get(&engine, "/v1/completions").await.status, 405);
        assert_eq!(get(&engine, "/nowhere").await.status, 404);
        assert_eq!(post(&engine, "/v1/embeddings", json!({"input": "x"})).await.status, 404);
    }
}

#[tokio::test]
async fn the_front_ends_differ_in_what_they_refuse() {
    let python = FakeEngine::start(Script { max_model_len: 2048, ..Script::vllm() }).await;
    let rust = FakeEngine::start(Script { max_model_len: 2048, ..rust_front_end() }).await;
    let too_many = json!({"prompt": "x", "max_tokens": 5000});
    assert_eq!(
        post(&python, "/v1/completions", too_many.clone()).await.json()["error"]["message"],
        "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output tokens. \
         (parameter=max_tokens, value=5000)"
    );
    assert_eq!(post(&rust, "/v1/completions", too_many).await.status, 200);
    let two = json!({"prompt": "x", "n": 2});
    assert_eq!(post(&python, "/v1/completions", two.clone()).await.status, 200);
    assert_eq!(post(&rust, "/v1/completions", two).await.json()["error"]["message"], "Only n=1 is supported.");
    let unknown = json!({"prompt": "x", "model": "nope"});
    assert_eq!(post(&python, "/v1/completions", unknown.clone()).await.json()["error"]["code"], 404);
    assert_eq!(post(&rust, "/v1/completions", unknown).await.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_stream_is_refused_after_its_200_where_the_engine_refuses_it() {
    let late =
        [json!({"prompt": [99_999_999]}), json!({"prompt": "x", "structured_outputs": {"json": {"type": "foo"}}})];
    for mut body in late {
        body["stream"] = json!(true);
        let python = post(&FakeEngine::start(Script::vllm()).await, "/v1/completions", body.clone()).await;
        assert_eq!((python.status, python.events().len()), (200, 2));
        assert_eq!(python.chunks()[0]["error"]["code"], 400);
        assert_eq!(post(&FakeEngine::start(rust_front_end()).await, "/v1/completions", body).await.status, 400);
    }
}

#[tokio::test]
async fn embeddings() {
    let serves = Serves::Embeddings { dimensions: 8 };
    let engine = FakeEngine::start(Script { serves, max_model_len: 256, ..Script::vllm() }).await;
    let response = post(&engine, "/v1/embeddings", json!({"input": ["cat", [1, 2]]})).await.json();
    let vector: Vec<f64> = serde_json::from_value(response["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(vector.len(), 8);
    assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-4);
    assert_eq!(response["usage"]["prompt_tokens"], 4);
    let response = post(&engine, "/v1/embeddings", json!({"input": "cat", "encoding_format": "base64"})).await.json();
    assert_eq!(response["data"][0]["embedding"].as_str().unwrap().len(), 44);
    let long = json!({"input": "x".repeat(5000)});
    assert_eq!(post(&engine, "/v1/embeddings", long).await.status, 400);
    assert_eq!(post(&engine, "/v1/embeddings", json!({"input": "x", "dimensions": 4})).await.status, 400);
    assert_eq!(post(&engine, "/v1/completions", json!({"prompt": "x"})).await.status, 404);
}

#[tokio::test]
async fn what_it_tells_about_itself() {
    let engine = FakeEngine::start(Script { model: "m".into(), dev_mode: true, ..Script::vllm() }).await;
    assert_eq!(get(&engine, "/health").await.status, 200);
    assert!(get(&engine, "/version").await.json()["version"].is_string());
    let models = get(&engine, "/v1/models").await.json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["max_model_len"]), (&json!("m"), &json!(8192)));
    assert!(get(&engine, "/openapi.json").await.json()["paths"]["/v1/completions"].is_object());
    let tokens = post(&engine, "/tokenize", json!({"model": "m", "prompt": "héllo"})).await.json();
    assert_eq!(tokens["tokens"], json!(vocabulary::tokenize("héllo")));
    let text = post(&engine, "/detokenize", json!({"model": "m", "tokens": tokens["tokens"]})).await.json();
    assert_eq!(text["prompt"], "héllo");
    let metrics = get(&engine, "/metrics").await.text();
    assert!(metrics.contains("vllm:num_requests_running{model_name=\"m\",engine=\"0\"} 0\n"), "{metrics}");

    assert_eq!(call(&engine, "POST", "/sleep?level=2", "").await.status, 200);
    assert_eq!(get(&engine, "/is_sleeping").await.json()["is_sleeping"], true);
    assert!(get(&engine, "/metrics").await.text().contains("sleep_state=\"discard_all\"} 1"));
    assert_eq!(call(&engine, "POST", "/wake_up", "").await.status, 200);
    assert_eq!(get(&engine, "/is_sleeping").await.json()["is_sleeping"], false);
    engine.set_script(Script::vllm());
    assert_eq!(call(&engine, "POST", "/sleep", "").await.status, 404);
}

#[tokio::test]
async fn adapters() {
    let off = FakeEngine::start(Script::vllm()).await;
    let load = json!({"lora_name": "tuned", "lora_path": "/adapters/tuned"});
    assert_eq!(post(&off, "/v1/load_lora_adapter", load.clone()).await.status, 500);
    let engine = FakeEngine::start(Script { lora: true, ..Script::vllm() }).await;
    assert_eq!(post(&engine, "/v1/load_lora_adapter", load.clone()).await.status, 200);
    assert_eq!(post(&engine, "/v1/load_lora_adapter", load).await.json()["error"]["type"], "InvalidUserInput");
    let missing = json!({"lora_name": "zz", "lora_path": "/missing"});
    assert_eq!(post(&engine, "/v1/load_lora_adapter", missing).await.status, 404);
    assert_eq!(get(&engine, "/v1/models").await.json()["data"][1]["id"], "tuned");
    let text = async |model: &str| {
        let body = json!({"prompt": "x", "model": model});
        post(&engine, "/v1/completions", body).await.json()["choices"][0]["text"].clone()
    };
    assert_ne!(text("tuned").await, text("fake-model").await);
    assert_eq!(post(&engine, "/v1/unload_lora_adapter", json!({"lora_name": "tuned"})).await.status, 200);
    assert_eq!(post(&engine, "/v1/completions", json!({"prompt": "x", "model": "tuned"})).await.status, 404);
}

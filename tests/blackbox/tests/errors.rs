//! What a client is told that asks for something wrong: the right status and OpenAI's words, in one envelope (checklist
//! C09), streamed or not, and the next request works.

use base64::{Engine, engine::general_purpose::STANDARD};
use cloudach_blackbox::{Answer, Fleet, Plan, Replica, Shared, Visit, chat, completion, error_of, with};
use cloudach_fake_engine::{Dialect, FrontEnd, Script, Serves};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

static FLEET: Shared = Shared::new(|| {
    let rust_front_end = Script { dialect: Dialect::Vllm(FrontEnd::Rust), ..Script::vllm() };
    Fleet::start(Plan {
        replicas: vec![
            Replica::fake(Script::vllm()),
            Replica::of("rust-fronted", rust_front_end),
            Replica::of("embedder", Script { serves: Serves::Embeddings { dimensions: 4 }, ..Script::vllm() }),
        ],
        models: json!({ "nobodys": {} }),
        ..Plan::default()
    })
});

#[test]
fn bodies_that_are_no_request() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let malformed = "We could not parse the JSON body of your request.";
    for path in [CHAT, COMPLETIONS, EMBEDDINGS] {
        for body in ["", "{", "not json", "{\"model\":\"fake-model\",}", "\u{feff}{}", "{\"a\":1}{}"] {
            let answer = client.ask(&client.request("POST", path, &[], body.as_bytes()));
            let error = assert_error(&answer, 400, Value::Null, Value::Null);
            assert!(error["message"].as_str().unwrap().starts_with(malformed), "{body}: {error}");
        }
        for body in ["[]", "\"text\"", "null", "7"] {
            let answer = client.ask(&client.request("POST", path, &[], body.as_bytes()));
            assert_error(&answer, 400, Value::Null, json!("invalid_type"));
        }
        let error = assert_error(&client.post(path, &json!({})), 400, Value::Null, Value::Null);
        assert_eq!(error["message"], "you must provide a model parameter");
    }
    let not_text = client.ask(&client.request("POST", CHAT, &[], b"{\"model\":\"\xff\xfe\"}"));
    assert_error(&not_text, 400, Value::Null, Value::Null);
    assert_serves(&fleet);
}

#[test]
fn json_of_ten_thousand_levels() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let nested = format!("{{\"model\":\"fake-model\",\"messages\":{deep}}}");
    let metadata = format!(
        "{{\"model\":\"fake-model\",\"messages\":[],\"metadata\":{}1{}}}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    for body in [deep, nested, metadata] {
        let answer = client.ask(&client.request("POST", CHAT, &[], body.as_bytes()));
        assert_error(&answer, 400, Value::Null, Value::Null);
    }
    assert_serves(&fleet);
}

#[test]
fn parameters_that_are_missing_or_wrong() {
    let fleet = FLEET.visit();
    let changes = [
        (json!({ "model": null }), Value::Null, Value::Null),
        (json!({ "model": "" }), Value::Null, Value::Null),
        (json!({ "messages": null }), json!("messages"), json!("invalid_type")),
        (json!({ "messages": {} }), json!("messages"), json!("invalid_type")),
        (json!({ "messages": [] }), json!("messages"), json!("empty_array")),
        (json!({ "messages": "hello" }), json!("messages"), json!("invalid_type")),
        (
            json!({ "messages": [{ "role": "robot", "content": "x" }] }),
            json!("messages[0].role"),
            json!("invalid_value"),
        ),
        (
            json!({ "messages": [{ "role": "user", "content": 7 }] }),
            json!("messages[0].content"),
            json!("invalid_type"),
        ),
        (json!({ "temperature": -1 }), json!("temperature"), json!("decimal_below_min_value")),
        (json!({ "temperature": 3 }), json!("temperature"), json!("decimal_above_max_value")),
        (json!({ "temperature": "hot" }), json!("temperature"), json!("invalid_type")),
        (json!({ "max_tokens": 0 }), json!("max_tokens"), json!("integer_below_min_value")),
        (json!({ "max_tokens": 1.5 }), json!("max_tokens"), json!("invalid_type")),
        (json!({ "n": 1000 }), json!("n"), json!("integer_above_max_value")),
        (json!({ "stop": ["1", "2", "3", "4", "5"] }), json!("stop"), json!("array_above_max_length")),
        (json!({ "stream": "yes" }), json!("stream"), json!("invalid_type")),
        (json!({ "stream_options": { "include_usage": true } }), json!("stream_options"), Value::Null),
        (json!({ "best_of": 2 }), json!("best_of"), json!("unsupported_parameter")),
        (json!({ "surprise": 1 }), Value::Null, Value::Null),
    ];
    for (change, param, code) in changes {
        for stream in [json!(null), json!(true)] {
            if change.get("stream").is_some() || (change.get("stream_options").is_some() && stream == true) {
                continue;
            }
            let request = with(with(chat("hi"), json!({ "stream": stream })), change.clone());
            let answer = fleet.client().post(CHAT, &request);
            assert_error(&answer, 400, param.clone(), code.clone());
        }
    }
    let no_messages = fleet.client().post(CHAT, &json!({ "model": "fake-model" }));
    assert_error(&no_messages, 400, json!("messages"), json!("missing_required_parameter"));
    assert_serves(&fleet);
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let body = chat("hi").to_string();
    let ask = |header: (&str, &str)| client.ask(&client.request("POST", CHAT, &[header], body.as_bytes()));
    for nothing in
        [("authorization", ""), ("authorization", "Bearer"), ("authorization", "Basic abc"), ("x-api-key", "")]
    {
        let error = assert_error(&ask(nothing), 401, Value::Null, Value::Null);
        assert_eq!(
            error["message"],
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth \
             (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the \
             API from your browser and are prompted for a username and password. You can obtain an API key from \
             https://platform.openai.com/account/api-keys."
        );
    }
    let wrong =
        assert_error(&ask(("authorization", "Bearer abcdefgh1234wxyz")), 401, Value::Null, json!("invalid_api_key"));
    assert_eq!(
        wrong["message"],
        "Incorrect API key provided: abcdefgh****wxyz. You can find your API key at \
         https://platform.openai.com/account/api-keys."
    );
    assert_error(&ask(("x-api-key", "sk-wrong")), 401, Value::Null, json!("invalid_api_key"));
    assert_eq!(ask(("x-api-key", &client.key)).head.status, 200);
    assert_eq!(ask(("authorization", &format!("bearer {}", client.key))).head.status, 200);
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{}", client.key)));
    assert_eq!(ask(("authorization", &basic(""))).head.status, 200);
    assert_eq!(ask(("authorization", &basic("someone"))).head.status, 401);
    for path in ["/v1/models", "/v1/models/fake-model"] {
        let answer = client.ask(&client.request("GET", path, &[("x-api-key", "sk-wrong")], b""));
        assert_error(&answer, 401, Value::Null, json!("invalid_api_key"));
    }
    // Responses have a gate of their own.
    for (key, code, text) in [
        ("", Value::Null, "Missing bearer or basic authentication in header"),
        ("Bearer sk-wrong", json!("invalid_api_key"), "Incorrect API key provided: sk-wrong."),
    ] {
        for (method, path) in [("POST", "/v1/responses"), ("GET", "/v1/responses/resp_1")] {
            let answer = client.ask(&client.request(method, path, &[("authorization", key)], b"{}"));
            let error = answer.json()["error"].clone();
            assert_eq!(
                (answer.head.status, &error["type"], &error["param"]),
                (401, &json!("invalid_request_error"), &Value::Null)
            );
            assert!(error["code"] == code && error["message"].as_str().unwrap().starts_with(text), "{error}");
            assert_eq!(answer.head.get("content-type"), Some("application/json"));
            assert!(
                ["www-authenticate", "openai-version", "openai-processing-ms"]
                    .iter()
                    .all(|name| answer.head.get(name).is_some())
            );
        }
    }
    // Who has no key learns nothing of the models, nor whether a body is right.
    let answer = client.ask(&client.request("POST", CHAT, &[("x-api-key", "sk-wrong")], b"{"));
    assert_error(&answer, 401, Value::Null, json!("invalid_api_key"));
    for service in fleet.services() {
        assert!(!service.admin_answer("/metrics").unwrap().1.contains(&client.key));
    }
}

#[test]
fn models_that_are_not_there() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for name in ["gpt-none", "Fake-Model", "org/none", "fake-model ", "nobodys2"] {
        let text = format!("The model `{name}` does not exist or you do not have access to it.");
        for (path, request) in
            [(CHAT, chat("hi")), (COMPLETIONS, completion("hi")), (EMBEDDINGS, json!({ "input": "hi" }))]
        {
            let answer = client.post(path, &with(request, json!({ "model": name })));
            let error = assert_error(&answer, 404, Value::Null, json!("model_not_found"));
            assert_eq!(error["message"], text);
        }
    }
    let error = assert_error(&client.get("/v1/models/org%2Fnone"), 404, json!("model"), json!("model_not_found"));
    assert_eq!(error["message"], "The model 'org/none' does not exist");
    let streamed = with(chat("hi"), json!({ "model": "gpt-none", "stream": true }));
    assert_error(&client.post(CHAT, &streamed), 404, Value::Null, json!("model_not_found"));
    let long = with(chat("hi"), json!({ "model": "x".repeat(5000) }));
    let error = error_of(&client.post(CHAT, &long));
    assert!(error["message"].as_str().unwrap().len() < 6000, "{error}");
    assert_serves(&fleet);
}

#[test]
fn models_that_do_something_else() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let sample = client.post(CHAT, &with(chat("hi"), json!({ "model": "embedder" })));
    let error = assert_error(&sample, 403, Value::Null, Value::Null);
    assert_eq!(error["message"], "You are not allowed to sample from this model");
    let embed = client.post(EMBEDDINGS, &json!({ "model": "fake-model", "input": "hi" }));
    let error = assert_error(&embed, 403, Value::Null, Value::Null);
    assert_eq!(error["message"], "You are not allowed to generate embeddings from this model");
}

#[test]
fn a_model_that_no_replica_serves() {
    let fleet = FLEET.visit();
    for stream in [false, true] {
        let request = with(chat("hi"), json!({ "model": "nobodys", "stream": stream }));
        let answer = fleet.client().post(CHAT, &request);
        assert_eq!(answer.head.status, 503);
        assert_eq!(error_of(&answer)["type"], "server_error");
        assert!(answer.head.get("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    assert_serves(&fleet);
}

#[test]
fn urls_and_methods_that_are_not_there() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let ask = |method: &str, path: &str| client.ask(&client.request(method, path, &[], b""));
    let error = assert_error(&ask("POST", "/v1/nothing"), 404, Value::Null, Value::Null);
    assert_eq!(error["message"], "Invalid URL (POST /v1/nothing)");
    let error = assert_error(&ask("GET", "/nothing"), 404, Value::Null, json!("unknown_url"));
    assert_eq!(
        error["message"],
        "Unknown request URL: GET /nothing. Please check the URL for typos, or see the docs at \
         https://platform.openai.com/docs/api-reference/."
    );
    let error = assert_error(&ask("GET", CHAT), 405, Value::Null, Value::Null);
    assert!(error["message"].as_str().unwrap().starts_with(&format!("Not allowed to GET on {CHAT}.")), "{error}");
    for (method, path) in
        [("DELETE", "/v1/models"), ("PUT", EMBEDDINGS), ("PATCH", "/v1/models/fake-model"), ("OPTIONS", CHAT)]
    {
        assert_error(&ask(method, path), 405, Value::Null, Value::Null);
    }
    for path in
        ["/v1", "/v1/", "/v1/models/", "/v1/chat", "/v1/chat/completions/", "//v1/models", "/metrics", "/%00", "/%ff"]
    {
        assert_eq!(ask("GET", path).head.status, 404, "{path}");
    }
    assert_serves(&fleet);
}

/// Checklist C09.
#[test]
fn urls_that_cannot_be_read() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let ask = |method: &str, path: &str| client.ask(&client.request(method, path, &[], b"{}"));
    for (method, path) in [
        ("GET", "/v1/responses/%ff"),
        ("DELETE", "/v1/responses/%ff"),
        ("POST", "/v1/responses/%ff/cancel"),
        ("GET", "/v1/responses/%ff/input_items"),
        ("GET", "/v1/conversations/%ff"),
        ("GET", "/v1/conversations/%ff/items/%ff"),
        ("GET", "/v1/files/%ff"),
        ("GET", "/v1/files/%ff/content"),
        ("GET", "/v1/batches/%ff"),
        ("GET", "/v1/models/%ff"),
    ] {
        let answer = ask(method, path);
        assert_eq!(answer.head.status, 404, "{path}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {}", answer.text());
    }
    for path in ["/v1/files", "/v1/batches", "/v1/responses/resp_1/input_items", "/v1/conversations/conv_1/items"] {
        let error = assert_error(&ask("GET", &format!("{path}?limit=1&limit=2")), 400, Value::Null, Value::Null);
        assert_eq!(error["message"], "Invalid query string: duplicate field `limit`.", "{path}");
    }
    assert_serves(&fleet);
}

/// Checklist C27.
#[test]
fn a_chat_that_is_too_long_is_refused_before_the_stream_with_both_numbers() {
    let fleet = FLEET.visit();
    // Two bytes are a token to the engine, and none of these words is as short as that to tiktoken.
    for model in ["fake-model", "rust-fronted"] {
        for stream in [false, true] {
            let request = with(chat(&"lengthy ".repeat(3000)), json!({ "model": model, "stream": stream }));
            let answer = fleet.client().post(CHAT, &request);
            assert_eq!(answer.head.get("content-type"), Some("application/json"));
            let error = assert_error(&answer, 400, json!("messages"), json!("context_length_exceeded"));
            let message = error["message"].as_str().unwrap();
            let start = "This model's maximum context length is 8192 tokens. However, your messages resulted in ";
            let counted = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
            let counted: u64 = counted.split(' ').next().unwrap().parse().unwrap();
            assert!(counted > 8192, "{message}");
        }
    }
    let request = with(chat(&"lengthy ".repeat(3000)), json!({ "max_tokens": 1000 }));
    let answer = fleet.client().post(CHAT, &request);
    let error = assert_error(&answer, 400, json!("messages"), json!("context_length_exceeded"));
    let message = error["message"].as_str().unwrap();
    let start = "This model's maximum context length is 8192 tokens. However, you requested ";
    let rest = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
    let (total, rest) = rest.split_once(" tokens (").unwrap();
    let (prompt, rest) = rest.split_once(" in the messages, ").unwrap();
    let count = |number: &str| number.parse::<u64>().unwrap();
    assert_eq!(count(total), count(prompt) + 1000, "{message}");
    assert_eq!(rest, "1000 in the completion). Please reduce the length of the messages or completion.");
    assert_serves(&fleet);
}

#[test]
fn a_prompt_that_is_too_long_is_refused_with_both_numbers() {
    let fleet = FLEET.visit();
    let request = completion(&"lengthy ".repeat(3000));
    for stream in [false, true] {
        let answer = fleet.client().post(COMPLETIONS, &with(request.clone(), json!({ "stream": stream })));
        let error = assert_error(&answer, 400, Value::Null, Value::Null);
        let message = error["message"].as_str().unwrap();
        let start = "This model's maximum context length is 8192 tokens, however you requested ";
        let counted = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
        assert!(counted.split(' ').next().unwrap().parse::<u64>().unwrap() > 8192, "{message}");
    }
    let ids = json!({ "model": "fake-model", "prompt": vec![97; 9000] });
    let error = assert_error(&fleet.client().post(COMPLETIONS, &ids), 400, Value::Null, Value::Null);
    assert!(error["message"].as_str().unwrap().contains("9000"), "{error}");
}

/// The engine's own limits are the client's to know, in OpenAI's envelope.
#[test]
fn what_the_engine_refuses() {
    let fleet = FLEET.visit();
    let too_many = with(chat("hi"), json!({ "max_tokens": 100_000 }));
    let answer = fleet.client().post(CHAT, &too_many);
    assert!(answer.head.status == 400 || answer.head.status == 200, "{}", answer.text());
    let unknown_ids = json!({ "model": "fake-model", "prompt": [4_000_000_000_u32] });
    let answer = fleet.client().post(COMPLETIONS, &unknown_ids);
    assert_eq!(answer.head.status, 400, "{}", answer.text());
    assert_eq!(error_of(&answer)["type"], "invalid_request_error");
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "unheard-of" } } });
    let answer = fleet.client().post(CHAT, &with(chat("json"), json!({ "response_format": schema })));
    assert_eq!(answer.head.status, 400, "{}", answer.text());
    assert_serves(&fleet);
}

/// The fake model has no token that begins a document, so that an empty text says nothing.
#[test]
fn a_prompt_that_is_empty() {
    let fleet = FLEET.visit();
    for model in ["fake-model", "rust-fronted"] {
        for stream in [false, true] {
            let request = with(completion(""), json!({ "model": model, "stream": stream }));
            let answer = fleet.client().post(COMPLETIONS, &request);
            assert_eq!(answer.head.status, 400, "{}", answer.text());
            let error = error_of(&answer);
            assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!("prompt")));
            assert_eq!(
                error["message"],
                "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead."
            );
        }
    }
}

fn assert_error(answer: &Answer, status: u16, param: Value, code: Value) -> Value {
    assert_eq!(answer.head.status, status, "{}", answer.text());
    // OpenAI's outermost layer names the encoding.
    let at_the_gate = matches!(status, 401 | 403 | 405) || (status == 404 && param.is_null());
    let content_type = if at_the_gate { "application/json; charset=utf-8" } else { "application/json" };
    assert_eq!(answer.head.get("content-type"), Some(content_type));
    assert!(answer.head.get("x-request-id").is_some());
    let error = error_of(answer);
    assert_eq!(
        (&error["type"], &error["param"], &error["code"]),
        (&json!("invalid_request_error"), &param, &code),
        "{error}"
    );
    error
}

fn assert_serves(fleet: &Visit) {
    let answer = fleet.client().post(CHAT, &chat("[[say:still here]]")).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "still here");
}

/// More than the whole context is asked for, whatever the prompt is. Checklist C27.
#[test]
fn an_answer_that_can_never_fit_is_refused_with_both_numbers() {
    let fleet = FLEET.visit();
    let answer = fleet.client().post(CHAT, &with(chat("hi"), json!({ "max_tokens": 100_000, "stream": true })));
    assert_eq!(answer.head.status, 400);
    let error = error_of(&answer);
    assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!("messages")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("in the messages, 100000 in the completion)"), "{message}");
    let answer = fleet.client().post(COMPLETIONS, &with(completion("hi"), json!({ "max_tokens": 100_000 })));
    let error = error_of(&answer);
    assert!(error["message"].as_str().unwrap().contains("100000 for the completion)"), "{error}");
}

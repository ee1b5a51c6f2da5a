//! Every mistake a client can make gets OpenAI's words for it: one line per case in `cases/errors.jsonl`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::{Invalid, Told, chat, completions, embeddings};
use serde_json::{Map, Value, json};

/// A case gives the body `raw`, as JSON, by its `messages`, or `with` arguments added to a plain request.
fn body(case: &Value) -> Vec<u8> {
    if let Some(raw) = case["raw"].as_str() {
        return raw.as_bytes().to_vec();
    }
    if let Some(body) = case.get("body") {
        return body.to_string().into_bytes();
    }
    if let Some(messages) = case.get("messages") {
        return json!({"model": "m", "messages": messages}).to_string().into_bytes();
    }
    let mut body = match case["endpoint"].as_str().unwrap() {
        "chat" => json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        "completions" => json!({"model": "m", "prompt": "hi"}),
        _ => json!({"model": "m", "input": "hi"}),
    };
    body.as_object_mut().unwrap().extend(case["with"].as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn refusal(endpoint: &str, body: &[u8]) -> Option<Invalid> {
    match endpoint {
        "chat" => chat::parse(body).err(),
        "completions" => completions::parse(body).err(),
        "embeddings" => embeddings::parse(body).err(),
        other => panic!("no endpoint {other}"),
    }
}

#[test]
fn mistakes_are_named() {
    for line in include_str!("cases/errors.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let error =
            refusal(case["endpoint"].as_str().unwrap(), &body(&case)).unwrap_or_else(|| panic!("accepted: {line}"));
        assert_eq!(error.message, case["message"].as_str().unwrap(), "{line}");
        assert_eq!(error.param.as_deref(), case["param"].as_str(), "{line}");
        assert_eq!(error.code, case["code"].as_str(), "{line}");
    }
}

#[test]
fn sizes_are_bounded() {
    let chat = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[name] = value;
        chat::parse(body.to_string().as_bytes()).err().map(|error| (error.param.unwrap(), error.code.unwrap()))
    };
    let pairs = |count: usize, value: &Value| -> Value {
        (0..count).map(|id| (id.to_string(), value.clone())).collect::<Map<_, _>>().into()
    };
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let cases = [
        ("user", json!("u".repeat(512)), None),
        ("user", json!("u".repeat(513)), Some(("user", "string_above_max_length"))),
        ("safety_identifier", json!("é".repeat(64)), None),
        ("safety_identifier", json!("é".repeat(65)), Some(("safety_identifier", "string_above_max_length"))),
        ("metadata", pairs(16, &json!("v")), None),
        ("metadata", pairs(17, &json!("v")), Some(("metadata", "object_above_max_properties"))),
        ("metadata", json!({"k": "v".repeat(513)}), Some(("metadata.k", "string_above_max_length"))),
        ("logit_bias", pairs(300, &json!(1)), None),
        ("logit_bias", pairs(301, &json!(1)), Some(("logit_bias", "object_above_max_properties"))),
        ("stop", json!("s".repeat(1025)), Some(("stop", "string_above_max_length"))),
        ("stop_token_ids", json!(vec![1; 257]), Some(("stop_token_ids", "array_above_max_length"))),
        ("tools", json!(vec![tool("f"); 128]), None),
        ("tools", json!(vec![tool("f"); 129]), Some(("tools", "array_above_max_length"))),
        ("tools", json!([tool(&"f".repeat(65))]), Some(("tools[0].function.name", "string_above_max_length"))),
    ];
    for (name, value, expected) in cases {
        let expected = expected.map(|(param, code)| (param.to_owned(), code));
        assert_eq!(chat(name, value), expected, "{name}");
    }
    let echo = |n| json!({"model": "m", "prompt": "p".repeat(1 << 20), "echo": true, "n": n}).to_string();
    assert!(completions::parse(echo(8).as_bytes()).is_ok());
    assert_eq!(completions::parse(echo(9).as_bytes()).unwrap_err().param.as_deref(), Some("echo"));
    let tokens = |count: usize, more: Value| {
        let mut body = json!({"model": "m", "prompt": vec![7; count], "echo": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        completions::parse(body.to_string().as_bytes()).map_err(|error| error.param.unwrap())
    };
    assert!(tokens(1 << 18, json!({"n": 8})).is_ok());
    assert_eq!(tokens(1 << 18, json!({"n": 9})).unwrap_err(), "echo");
    assert!(tokens(1 << 18, json!({"n": 2, "logprobs": 1})).is_ok());
    assert_eq!(tokens(1 << 18, json!({"n": 3, "logprobs": 1})).unwrap_err(), "echo");
    let inputs = |count| json!({"model": "m", "input": vec!["x"; count]}).to_string();
    assert!(embeddings::parse(inputs(2048).as_bytes()).is_ok());
    assert_eq!(embeddings::parse(inputs(2049).as_bytes()).unwrap_err().code, Some("array_above_max_length"));
}

#[test]
fn an_error_repeats_no_megabyte() {
    let long = "x".repeat(1 << 20);
    let bodies = [
        json!({"model": "m", "messages": [{"role": long, "content": "hi"}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], long.as_str(): 1}),
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "logit_bias": {long.as_str(): 1}}),
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "metadata": {long.as_str(): "v"}}),
    ];
    for body in bodies {
        let error = chat::parse(body.to_string().as_bytes()).unwrap_err();
        assert!(error.message.len() < 1000, "{}", error.message.len());
        assert!(error.param.is_none_or(|param| param.len() < 200));
    }
}

#[test]
fn hostile_nesting_is_refused() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let body = format!(r#"{{"model":"m","messages":{deep}}}"#);
    assert!(chat::parse(body.as_bytes()).unwrap_err().message.starts_with("We could not parse"));
}

#[test]
fn context_overflow_has_both_counts() {
    let error = Invalid::chat_context_length(8192, 8227, None);
    assert_eq!(
        error.message,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens. Please reduce \
         the length of the messages."
    );
    assert_eq!((error.param.as_deref(), error.code), (Some("messages"), Some("context_length_exceeded")));
    assert_eq!(
        Invalid::chat_context_length(4096, 3120, Some(1000)).message,
        "This model's maximum context length is 4096 tokens. However, you requested 4120 tokens (3120 in the messages, 1000 \
         in the completion). Please reduce the length of the messages or completion."
    );
    let error = Invalid::prompt_context_length(4097, 3975, 256);
    assert_eq!(
        error.message,
        "This model's maximum context length is 4097 tokens, however you requested 4231 tokens (3975 in your prompt; 256 for \
         the completion). Please reduce your prompt; or completion length."
    );
    assert_eq!((error.param, error.code), (None, None));
}

#[test]
fn envelopes_have_four_keys() {
    let told = |message: &str, kind, code| Told { status: 400, message: message.to_owned(), kind, param: None, code };
    let body = told("no \"such\" model", "invalid_request_error", Some("model_not_found")).body();
    let expected = r#"{"error":{"message":"no \"such\" model","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let mut event = Vec::new();
    told("gone\n", "server_error", None).event(&mut event);
    assert_eq!(
        String::from_utf8(event).unwrap(),
        "data: {\"error\":{\"message\":\"gone\\n\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n"
    );
}

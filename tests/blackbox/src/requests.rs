//! What clients ask for most, and what they read from the answers.

use serde_json::{Value, json};

use crate::connection::Answer;

/// A chat of one message.
pub fn chat(message: &str) -> Value {
    json!({ "model": "fake-model", "messages": [{ "role": "user", "content": message }] })
}

/// A completion of one prompt.
pub fn completion(prompt: &str) -> Value {
    json!({ "model": "fake-model", "prompt": prompt, "max_tokens": 100 })
}

/// The text of one choice, put together from a chat's chunks.
pub fn chat_text(chunks: &[Value], choice: u64) -> String {
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    deltas.filter(|delta| delta["index"] == choice).filter_map(|delta| delta["delta"]["content"].as_str()).collect()
}

/// The text of one choice, put together from a completion's chunks.
pub fn completion_text(chunks: &[Value], choice: u64) -> String {
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    deltas.filter(|delta| delta["index"] == choice).filter_map(|delta| delta["text"].as_str()).collect()
}

/// The error of an answer: the envelope has one key, the error four, texts or null (checklist C09).
///
/// # Panics
/// When it is not so.
pub fn error_of(answer: &Answer) -> Value {
    let mut body = answer.json();
    let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(&body), Some(vec!["error".to_owned()]), "{body}");
    let error = body["error"].take();
    let names = ["message", "type", "param", "code"].map(str::to_owned).to_vec();
    assert_eq!(keys(&error), Some(names), "{error}");
    assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
    assert!(["param", "code"].iter().all(|name| error[name].is_string() || error[name].is_null()), "{error}");
    error
}

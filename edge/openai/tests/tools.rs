//! What requests say about tools: which are offered, whether they may be called, and the calls of a history.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::chat::{self, CallForm, ChatRequest, Message, ToolChoice};
use serde_json::{Value, json};

fn read(more: &Value) -> ChatRequest {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    chat::parse(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn named(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

#[test]
fn tool_choice_says_what_is_offered_and_what_must_be_called() {
    let allowed = |mode: &str, names: &[&str]| {
        let tools: Vec<Value> = names.iter().map(|name| named(name)).collect();
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
    };
    let cases = [
        (Value::Null, ToolChoice::Auto, &["f", "g"][..]),
        (json!("auto"), ToolChoice::Auto, &["f", "g"]),
        (json!("required"), ToolChoice::Required, &["f", "g"]),
        (json!("none"), ToolChoice::None, &[]),
        (named("g"), ToolChoice::Named("g".into()), &["f", "g"]),
        (allowed("auto", &["g"]), ToolChoice::Auto, &["g"]),
        (allowed("required", &["g", "f"]), ToolChoice::Required, &["f", "g"]),
    ];
    for (choice, expected, offered) in cases {
        let request = read(&json!({"tools": [named("f"), named("g")], "tool_choice": choice}));
        let names: Vec<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!((&request.tool_choice, names.as_slice()), (&expected, offered), "{choice}");
        assert_eq!((request.call_form, request.parallel_tool_calls), (CallForm::Tools, true));
    }
    assert!(!read(&json!({"tools": [named("f")], "parallel_tool_calls": false})).parallel_tool_calls);
}

#[test]
fn functions_are_tools_by_an_older_name() {
    let functions = json!([{"name": "f", "description": "d", "parameters": {"type": "object"}}, {"name": "g"}]);
    let cases = [
        (Value::Null, ToolChoice::Auto, 2),
        (json!("auto"), ToolChoice::Auto, 2),
        (json!("none"), ToolChoice::None, 0),
        (json!({"name": "g"}), ToolChoice::Named("g".into()), 2),
    ];
    for (choice, expected, offered) in cases {
        let request = read(&json!({"functions": functions, "function_call": choice}));
        assert_eq!((request.tool_choice, request.tools.len()), (expected, offered), "{choice}");
        assert_eq!((request.call_form, request.parallel_tool_calls), (CallForm::Functions, false));
    }
    let tools: Vec<Value> = read(&json!({"functions": functions})).tools.iter().cloned().map(Value::from).collect();
    assert_eq!(
        tools[0],
        json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}})
    );
    assert_eq!(read(&json!({"function_call": "none"})).call_form, CallForm::Tools);
}

fn history(messages: &Value) -> Vec<Value> {
    read(&json!({"messages": messages})).messages.into_iter().map(Value::from).collect()
}

#[test]
fn calls_of_functions_and_their_answers_belong_together() {
    let read = history(&json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{broken"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}, "tool_calls": null},
        {"role": "function", "name": "g", "content": [{"type": "text", "text": "2"}]},
        {"role": "user", "content": "and?"},
    ]));
    let id = |message: usize| read[message]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(
        read[1]["tool_calls"],
        json!([{"id": id(1), "type": "function", "function": {"name": "f", "arguments": "{broken"}}])
    );
    assert_eq!(read[2], json!({"role": "tool", "content": "1", "tool_call_id": id(1), "name": "f"}));
    assert_eq!(read[4]["tool_call_id"], id(3));
    assert_ne!(id(1), id(3));
    assert!(id(1).strip_prefix("call_").unwrap().len() == 24);
}

#[test]
fn functions_need_neither_answer_nor_call() {
    let unanswered = history(&json!([
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "user", "content": "never mind"},
    ]));
    assert_eq!(unanswered.len(), 2);
    let orphans = history(&json!([
        {"role": "function", "name": "f", "content": "1"},
        {"role": "function", "name": "f", "content": "2"},
    ]));
    assert_ne!(orphans[0]["tool_call_id"], orphans[1]["tool_call_id"]);
    // Tools of the newer form are held to their rules beside them.
    history(&json!([
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "2"},
    ]));
}

#[test]
fn assistants_may_have_said_nothing() {
    for content in [json!({}), json!({"content": null}), json!({"content": []}), json!({"content": ""})] {
        for calls in [json!({}), json!({"tool_calls": null}), json!({"tool_calls": []})] {
            let mut message = json!({"role": "assistant"});
            message.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
            message.as_object_mut().unwrap().extend(calls.as_object().unwrap().clone());
            let request = read(&json!({"messages": [message]}));
            assert!(matches!(&request.messages[0], Message::Assistant { tool_calls, .. } if tool_calls.is_empty()));
        }
    }
}

//! What a model writes on its own accord is told apart: reasoning, answer and calls, the same streamed and whole, for
//! every cut. Checklist C01-C04, C14, C17, C18, C20.

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Shared, Told, chat, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

const CALL: &str = r#"<tool_call>
{"name": "get_time", "arguments": {"zone": "C\u00e9T"}}
</tool_call>"#;

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("thinker", Script::vllm())],
        models: json!({ "thinker": { "tool_format": "hermes", "reasoning_format": "deepseek_r1" } }),
        ..Plan::default()
    })
});

fn request(said: &str) -> Value {
    let tool = json!({ "type": "function", "function": { "name": "get_time", "parameters": {
        "type": "object", "properties": { "zone": { "type": "string" } } } } });
    with(chat(&format!("[[say:{said}]]")), json!({ "model": "thinker", "tools": [tool] }))
}

fn whole(client: &Client, request: &Value) -> Told {
    let answer = client.post(CHAT, request);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    Told::whole(&answer.json())
}

fn streamed(client: &Client, request: &Value) -> Told {
    Told::streamed(&client.stream(CHAT, &with(request.clone(), json!({ "stream": true }))).chunks())
}

#[test]
fn reasoning_answer_and_calls_are_told_apart_for_every_cut() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = format!("<think>Which zone? 日本</think>\n\nI look.{CALL}");
    let expected = whole(&client, &request(&said));
    assert_eq!(expected.reasoning, "Which zone? 日本");
    assert_eq!(expected.content.trim(), "I look.");
    assert_eq!(expected.finish_reason, "tool_calls");
    let [(name, arguments)] = &expected.calls[..] else { panic!("{expected:?}") };
    assert_eq!(name, "get_time");
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({ "zone": "CéT" }));
    for cut in 1..said.len() {
        let request = with(request(&said), json!({}));
        let cut_at = format!("[[say:{said}]][[cut_at={cut}]]");
        let request = with(request, json!({ "messages": [{ "role": "user", "content": cut_at }] }));
        assert_eq!(whole(&client, &request), expected, "whole, cut at {cut}");
        assert_eq!(streamed(&client, &request), expected, "streamed, cut at {cut}");
    }
}

/// Checklist C18: and generation stops there.
#[test]
fn one_call_is_all_where_several_are_not_wanted() {
    let fleet = FLEET.visit();
    let several = format!("<think></think>{CALL}\n{CALL}\n[[tokens=1]]");
    let several = several.replace("[[tokens=1]]", "");
    let client = fleet.client();
    assert_eq!(whole(&client, &request(&several)).calls.len(), 2);
    let one = with(request(&several), json!({ "parallel_tool_calls": false }));
    for seen in [whole(&client, &one), streamed(&client, &one)] {
        assert_eq!((seen.calls.len(), &*seen.finish_reason), (1, "tool_calls"), "{seen:?}");
    }
}

/// Checklist C17, and what is no call is text.
#[test]
fn what_is_not_to_be_a_call_is_text() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = format!("<think>no</think>{CALL}");
    for seen in [
        whole(&client, &with(request(&said), json!({ "tool_choice": "none" }))),
        streamed(&client, &with(request(&said), json!({ "tool_choice": "none" }))),
    ] {
        assert_eq!((seen.content.trim(), seen.calls.len(), &*seen.finish_reason), (CALL, 0, "stop"), "{seen:?}");
        assert_eq!(seen.reasoning, "no");
    }
}

/// Checklist C21: stop strings are about the answer.
#[test]
fn stop_strings_do_not_end_reasoning_or_calls() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = format!("<think>STOP and think</think>Well, STOP. {CALL}");
    let seen = whole(&client, &with(request(&said), json!({ "stop": "STOP" })));
    assert_eq!((&*seen.reasoning, seen.content.trim(), seen.calls.len()), ("STOP and think", "Well,", 0), "{seen:?}");
    assert_eq!(seen.finish_reason, "stop");
    let seen = whole(&client, &with(request(&format!("<think></think>{CALL}")), json!({ "stop": "zone" })));
    assert_eq!((seen.calls.len(), &*seen.finish_reason), (1, "tool_calls"), "{seen:?}");
}

#[test]
fn log_probabilities_are_of_the_answer() {
    let fleet = FLEET.visit();
    let request = with(request("<think>one two</think>three four five"), json!({ "logprobs": true }));
    let choice = fleet.client().post(CHAT, &request).json()["choices"][0].clone();
    let entries = choice["logprobs"]["content"].as_array().unwrap();
    let told: String = entries.iter().map(|entry| entry["token"].as_str().unwrap()).collect();
    assert!(told.ends_with("three four five") && !told.contains("two "), "{told}");
    assert_eq!(choice["message"]["content"], "three four five");
}

/// Checklist C25.
#[test]
fn reasoning_is_counted_within_the_completion() {
    let fleet = FLEET.visit();
    let usage = fleet.client().post(CHAT, &request("<think>one two three</think>four")).json()["usage"].clone();
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 3, "{usage}");
    assert_eq!(usage["completion_tokens"], 4, "{usage}");
}

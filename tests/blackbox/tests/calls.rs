//! Calls that a client forces: what the model must write is enforced, read as it comes, and told in OpenAI's form.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::HashSet;

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Shared, chat, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

static FLEET: Shared = Shared::new(|| {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("llama", Script::llama_cpp())],
        ..Plan::default()
    })
});

fn tools() -> Value {
    let function = |name: &str, field: &str| {
        json!({ "type": "function", "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": { field: { "$ref": "#/$defs/text" } },
                "required": [field],
                "additionalProperties": false,
                "$defs": { "text": { "type": "string" } },
            },
        }})
    };
    json!([function("get_weather", "city"), function("get_time", "zone")])
}

fn named(name: &str) -> Value {
    json!({ "tools": tools(), "tool_choice": { "type": "function", "function": { "name": name } } })
}

fn required() -> Value {
    json!({ "tools": tools(), "tool_choice": "required" })
}

/// A choice as it is told whole.
fn whole(client: &Client, request: &Value) -> Value {
    let answer = client.post(CHAT, request);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.json()["choices"][0].clone()
}

/// The first choice, put together from a stream as SDKs do it: by the calls' indexes. Checklist C03.
fn streamed(client: &Client, request: &Value) -> (Vec<Value>, Value) {
    let chunks = client.stream(CHAT, &with(request.clone(), json!({ "stream": true }))).chunks();
    let (mut calls, mut open): (Vec<Value>, usize) = (Vec::new(), 0);
    for delta in chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()) {
        let [piece] = &delta[..] else { panic!("one call in a chunk: {delta:?}") };
        let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
        if index == calls.len() {
            let keys: Vec<_> = piece.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["index", "id", "type", "function"]);
            assert_eq!(piece["function"]["arguments"], "");
            open = index;
            calls.push(json!({ "id": piece["id"], "type": piece["type"], "function": piece["function"] }));
        } else {
            assert_eq!(index, open, "calls are not mixed");
            assert_eq!(piece.as_object().unwrap().keys().collect::<Vec<_>>(), ["index", "function"]);
            assert_eq!(piece["function"].as_object().unwrap().keys().collect::<Vec<_>>(), ["arguments"]);
            let more = piece["function"]["arguments"].as_str().unwrap();
            let arguments = calls[index]["function"]["arguments"].as_str().unwrap().to_owned() + more;
            calls[index]["function"]["arguments"] = arguments.into();
        }
    }
    let reason = chunks.last().unwrap()["choices"][0]["finish_reason"].clone();
    (chunks, json!({ "calls": calls, "finish_reason": reason }))
}

fn check_call(call: &Value) {
    let id = call["id"].as_str().unwrap().strip_prefix("call_").unwrap();
    assert!(id.len() == 24 && id.chars().all(|sign| sign.is_ascii_alphanumeric()), "{id}");
    assert_eq!(call["type"], "function");
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    let field = if call["function"]["name"] == "get_weather" { "city" } else { "zone" };
    assert!(arguments[field].is_string() && arguments.as_object().unwrap().len() == 1, "{arguments}");
}

/// Checklist C01, C03, C14.
#[test]
fn a_named_call_is_one_call_and_ends_with_stop() {
    let fleet = FLEET.visit();
    for model in ["fake-model", "llama"] {
        let request = with(with(chat("weather?"), named("get_time")), json!({ "model": model }));
        let choice = whole(&fleet.client(), &request);
        assert_eq!(choice["finish_reason"], "stop", "{choice}");
        assert!(choice["message"]["content"].is_null(), "{choice}");
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0]["function"]["name"], "get_time");
        check_call(&calls[0]);

        let (chunks, told) = streamed(&fleet.client(), &request);
        assert_eq!(told["finish_reason"], "stop");
        assert_eq!(told["calls"][0]["function"], calls[0]["function"], "streamed as whole");
        let first = &chunks[0]["choices"][0]["delta"];
        assert_eq!(first.as_object().unwrap().keys().collect::<Vec<_>>(), ["role", "content", "tool_calls", "refusal"]);
        assert!(first["content"].is_null());
    }
}

/// A schema without a type is of an object all the same.
#[test]
fn arguments_are_an_object_also_where_the_schema_does_not_say_so() {
    let fleet = FLEET.visit();
    let parameters = json!({ "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": parameters } }]);
    let choice = json!({ "type": "function", "function": { "name": "f" } });
    let request = with(chat("call"), json!({ "tools": tools, "tool_choice": choice }));
    let choice = whole(&fleet.client(), &request);
    let arguments =
        choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap_or_else(|| panic!("{choice}"));
    assert!(serde_json::from_str::<Value>(arguments).unwrap()["city"].is_string(), "{arguments}");
}

/// Checklist C01, C02, C04.
#[test]
fn required_calls_are_calls_with_ids_of_their_own() {
    let fleet = FLEET.visit();
    for model in ["fake-model", "llama"] {
        let request = with(with(chat("weather? [[items=3]]"), required()), json!({ "model": model, "n": 2 }));
        let answer = fleet.client().post(CHAT, &request).json();
        let mut ids = HashSet::new();
        for choice in answer["choices"].as_array().unwrap() {
            assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
            let calls = choice["message"]["tool_calls"].as_array().unwrap();
            assert_eq!(calls.len(), 3, "{choice}");
            for call in calls {
                check_call(call);
                assert!(ids.insert(call["id"].clone()), "{call} has the id of another");
            }
        }
        let (_, told) = streamed(&fleet.client(), &with(request, json!({ "n": 1 })));
        assert_eq!(told["finish_reason"], "tool_calls");
        let functions =
            |calls: &Value| calls.as_array().unwrap().iter().map(|call| call["function"].clone()).collect::<Vec<_>>();
        assert_eq!(functions(&told["calls"]), functions(&answer["choices"][0]["message"]["tool_calls"]));
    }
}

/// Checklist C18.
#[test]
fn at_most_one_call_where_several_are_not_wanted() {
    let fleet = FLEET.visit();
    let request = with(with(chat("weather? [[items=3]]"), required()), json!({ "parallel_tool_calls": false }));
    assert_eq!(whole(&fleet.client(), &request)["message"]["tool_calls"].as_array().unwrap().len(), 1);
}

/// Checklist C01, C02: what was begun stays.
#[test]
fn a_call_that_is_cut_off_says_length_and_keeps_what_there_is() {
    let fleet = FLEET.visit();
    let complete = whole(&fleet.client(), &with(chat("weather?"), named("get_time")));
    let complete = complete["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    for max_tokens in 1..4 {
        let request = with(with(chat("weather?"), named("get_time")), json!({ "max_tokens": max_tokens }));
        let choice = whole(&fleet.client(), &request);
        let (_, told) = streamed(&fleet.client(), &request);
        assert_eq!(told["finish_reason"], choice["finish_reason"]);
        let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(told["calls"][0]["function"]["arguments"], arguments);
        assert!(complete.starts_with(arguments), "{arguments} is not the beginning of {complete}");
        if arguments.len() < complete.len() {
            assert_eq!(choice["finish_reason"], "length", "{choice}");
        }
    }
}

/// Checklist C17: not offered, not read, and the text as it is.
#[test]
fn tools_that_may_not_be_called_change_nothing() {
    let fleet = FLEET.visit();
    // The space keeps the bracket from closing the directive.
    let text = r#"[{"name": "get_time", "parameters": {"zone": "CET"}}] "#;
    let request =
        with(chat(&format!("not offered [[say:{text}]]")), json!({ "tools": tools(), "tool_choice": "none" }));
    let choice = whole(&fleet.client(), &request);
    assert_eq!(choice["message"]["content"], text);
    assert!(choice["message"].get("tool_calls").is_none() && choice["finish_reason"] == "stop", "{choice}");
    let sent = fleet.engine().requests().into_iter().map(|request| request["prompt"].to_string());
    let sent = sent.filter(|prompt| prompt.contains("not offered")).collect::<Vec<_>>();
    assert_eq!(sent.len(), 1);
    assert!(!sent[0].contains("get_weather"), "the tools were offered: {sent:?}");
    // It is legal without tools, too.
    let request = with(chat("[[say:hello]]"), json!({ "tool_choice": "none" }));
    assert_eq!(whole(&fleet.client(), &request)["message"]["content"], "hello");
}

/// Checklist C19: a response format is about text and suppresses no call.
#[test]
fn a_response_format_does_not_suppress_calls() {
    let fleet = FLEET.visit();
    let request = with(
        with(chat("json!"), named("get_time")),
        json!({ "response_format": { "type": "json_object" }, "stop": "{" }),
    );
    let choice = whole(&fleet.client(), &request);
    check_call(&choice["message"]["tool_calls"][0]);
}

/// Checklist C04, C16: whatever ids and arguments a client sends back are accepted.
#[test]
fn any_call_of_the_history_is_accepted() {
    let fleet = FLEET.visit();
    for (id, arguments) in
        [("functions.get_time:0", "{}"), ("9chars123", "{\"zone\": \"C"), ("x", "not json"), ("y", "")]
    {
        let request = json!({ "model": "fake-model", "messages": [
            { "role": "user", "content": "[[say:done]]" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": id, "type": "function", "function": { "name": "get_time", "arguments": arguments } },
            ]},
            { "role": "tool", "tool_call_id": id, "content": "12:00" },
        ]});
        assert_eq!(whole(&fleet.client(), &request)["message"]["content"], "done", "{id} {arguments}");
    }
}

#[test]
fn the_older_form_is_answered_in_its_own_words() {
    let fleet = FLEET.visit();
    let function = tools()[1]["function"].clone();
    let request = with(chat("time?"), json!({ "functions": [function], "function_call": { "name": "get_time" } }));
    let choice = whole(&fleet.client(), &request);
    let call = &choice["message"]["function_call"];
    assert_eq!(call["name"], "get_time", "{choice}");
    assert!(choice["message"].get("tool_calls").is_none() && choice["message"]["content"].is_null(), "{choice}");
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["zone"].is_string());
    let chunks = fleet.client().stream(CHAT, &with(request, json!({ "stream": true }))).chunks();
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].get("function_call"));
    let told: String = deltas.filter_map(|delta| delta["arguments"].as_str()).collect();
    assert_eq!(told, call["arguments"].as_str().unwrap());
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], choice["finish_reason"]);
}

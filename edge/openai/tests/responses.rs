//! Responses: what is read of requests, what becomes of items, and streams that are come back to at any event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::chat::{ChatRequest, Message, ToolChoice};
use cloudach_openai::responses::{self, Continued, Form, Record, Response, Step};
use cloudach_openai::{Invalid, ids};
use proptest::prelude::*;
use serde_json::{Value, json};

fn begin(more: Value) -> Result<(ChatRequest, Record), Invalid> {
    let mut body = json!({"model": "m", "input": "hi"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = responses::parse(body.to_string().as_bytes())?;
    asked.begin(ids::response([7; 21]), 9, Continued::default(), 5, true)
}

fn messages(input: Value) -> Vec<Value> {
    let (chat, _) = begin(json!({"input": input})).unwrap();
    chat.messages.into_iter().map(Value::from).collect()
}

#[test]
fn a_turn_of_a_model_is_one_message_and_its_calls_are_answered_behind_it() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str, said: Value| json!({"type": "function_call_output", "call_id": id, "output": said});
    let said = messages(json!([
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        call("c1"),
        call("c2"),
        {"role": "user", "content": "Well?"},
        output("c2", json!([{"type": "input_text", "text": "two"}])),
        output("c1", json!("one")),
        call("c3"),
        output("c3", json!("three")),
    ]));
    let tool = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let answer = |id: &str, text: Value| json!({"role": "tool", "content": text, "tool_call_id": id});
    assert_eq!(
        said,
        [
            json!({"role": "developer", "content": "Be kind."}),
            json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
            json!({"role": "assistant", "content": "I look.", "reasoning": "Hm.", "tool_calls": [tool("c1"), tool("c2")]}),
            answer("c1", json!("one")),
            answer("c2", json!([{"type": "text", "text": "two"}])),
            json!({"role": "user", "content": "Well?"}),
            json!({"role": "assistant", "content": null, "tool_calls": [tool("c3")]}),
            answer("c3", json!("three")),
        ]
    );
}

/// Some gateways count calls anew in each turn. Checklist C04.
#[test]
fn an_id_of_a_call_may_come_again() {
    let call =
        |arguments: &str| json!({"type": "function_call", "call_id": "call_0", "name": "f", "arguments": arguments});
    let output = |said: &str| json!({"type": "function_call_output", "call_id": "call_0", "output": said});
    let user = json!({"role": "user", "content": "And?"});
    let told = |input: Value| -> Vec<String> {
        let tools = messages(input).into_iter().filter(|message| message["role"] == "tool");
        tools.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    };
    for (input, expected) in [
        (json!([call("1"), output("a"), call("2"), output("b")]), &["a", "b"][..]),
        (json!([call("1"), output("a"), user, call("2"), output("b"), call("3"), output("c")]), &["a", "b", "c"]),
        (json!([call("1"), call("2"), output("a"), output("b")]), &["a", "b"]),
        (json!([call("1"), output("a"), output("b"), call("2"), output("c")]), &["b", "c"]),
        (json!([output("a"), call("1"), call("2"), output("b")]), &["a", "b"]),
    ] {
        assert_eq!(told(input.clone()), expected, "{input}");
    }
    let error = begin(json!({"input": [call("1"), output("a"), user, call("2")]})).unwrap_err();
    assert_eq!(error.message, "No tool output found for function call call_0.");
}

#[test]
fn instructions_stand_first_and_are_of_one_response() {
    let (chat, record) = begin(json!({"instructions": "Be kind."})).unwrap();
    let [Message::System { .. }, Message::User { .. }] = &chat.messages[..] else { panic!("{:?}", chat.messages) };
    assert_eq!(record.input.len(), 1);
    assert!(record.input[0].id().starts_with("msg_"));
}

#[test]
fn what_clients_send_is_read_as_they_mean_it() {
    let (chat, _) = begin(json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": false})).unwrap();
    assert_eq!((chat.tools.len(), chat.tool_choice), (0, ToolChoice::None));
    let function = |more: Value| {
        let mut tool = json!({"type": "function", "name": "f", "parameters": {"type": "object",
            "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (chat, _) = begin(json!({"tools": [tool]})).unwrap();
        chat.tools[0].strict
    };
    assert!(function(json!({})), "its schema is a strict one");
    assert!(!function(json!({"strict": false})));
    assert!(!function(json!({"parameters": {"type": "object", "properties": {"a": {"type": "string"}}}})));
    assert!(!function(
        json!({"parameters": {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}},
        "required": ["a"], "additionalProperties": false}})
    ));
    for fine in [
        json!({"include": ["reasoning.encrypted_content"], "store": false}),
        json!({"reasoning": {"effort": "low", "summary": "auto"}, "truncation": "disabled", "max_tool_calls": 3}),
        json!({"text": {"format": {"type": "text"}, "verbosity": "medium"}, "service_tier": "auto", "user": null}),
        json!({"metadata": {"k": "v"}, "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}),
        json!({"top_k": 40, "seed": 7, "stop": ["x"], "temperature": 0, "chat_template_kwargs": {"a": 1}}),
    ] {
        assert!(begin(fine.clone()).is_ok(), "{fine}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_its_name() {
    for (more, param) in [
        (json!({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}), "tools[0].type"),
        (json!({"tools": [{"type": "custom", "name": "x"}]}), "tools[0].type"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": {"type": "mcp", "server_label": "x"}}), "tool_choice.type"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"conversation": 7}), "conversation"),
        (json!({"background": true, "store": false}), "background"),
        (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
        (json!({"text": {"format": {"type": "json_object"}}}), "input"),
        (json!({"text": {"format": {"type": "json_schema", "name": "x"}}}), "text.format.schema"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"type": "web_search_call", "id": "ws_1"}]}), "input[0].type"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}),
            "input[0].content[0].type",
        ),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"messages": []}), "messages"),
        (json!({"max_tokens": 5}), "max_tokens"),
        (json!({"include": ["nonsense"]}), "include[0]"),
        (json!({"nonsense": 1}), "nonsense"),
    ] {
        let error = begin(more.clone()).err().unwrap_or_else(|| panic!("accepted: {more}"));
        assert_eq!(error.param.as_deref(), Some(param), "{more}: {error}");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step<'static>>> {
    let one = prop_oneof![
        4 => "[a-z\u{e9}\"\n]{0,4}".prop_map(|text| Step::Text(text.into(), "".into())),
        2 => "[a-z日]{1,4}".prop_map(|text| Step::Reasoning(text.into())),
        1 => "[a-z]{1,3}".prop_map(|name| Step::Call(format!("call_{name}").into(), name.into())),
        2 => "[{}:\"0-9]{1,4}".prop_map(|text| Step::Arguments(text.into())),
    ];
    let end = prop_oneof![
        any::<bool>().prop_map(|cut| vec![
            Step::End { cut },
            Step::Close { input: 3, cached: 1, output: 2, reasoning: 0, at: 11 }
        ]),
        Just(vec![Step::Cancel]),
        Just(vec![Step::Fail { message: "m".into(), kind: "server_error".into(), param: None, code: None }]),
    ];
    (prop::collection::vec(one, 0..12), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

fn events(record: &Record, log: &[u8], after: Option<u64>) -> Vec<String> {
    let mut response = Response::new(record.clone(), Form::Stream { after });
    let mut out = Vec::new();
    response.open(&mut out);
    for step in &Step::read(log).0 {
        response.take(step, &mut out);
    }
    String::from_utf8(out).unwrap().split_terminator("\n\n").map(str::to_owned).collect()
}

proptest! {
    /// What is behind any event is what was told behind it the first time, to the byte.
    #[test]
    fn a_stream_goes_on_behind_any_of_its_events(steps in steps(), background: bool) {
        let (_, record) = begin(json!({"background": background})).unwrap();
        // As the store has it.
        let record: Record = serde_json::from_value(serde_json::to_value(&record).unwrap()).unwrap();
        let mut log = Vec::new();
        for step in &steps {
            step.write(&mut log);
        }
        prop_assert_eq!(Step::read(&log).0, steps);
        prop_assert_eq!(Step::read(&log[..log.len() - 1]).1 + Step::read(&log[Step::read(&log[..log.len() - 1]).1..]).1, log.len());
        let all = events(&record, &log, None);
        for (number, event) in all.iter().enumerate() {
            let mark = format!("\"sequence_number\":{number}");
            prop_assert!(event.contains(&mark), "{event}");
            prop_assert_eq!(&events(&record, &log, Some(number as u64)), &all[number + 1..].to_vec());
        }
        // And the whole of it is what the last event bears.
        let mut whole = Vec::new();
        Response::whole(record, &log).write(&mut whole);
        let last: Value = serde_json::from_str(all.last().unwrap().split_once("data: ").unwrap().1).unwrap();
        prop_assert_eq!(&last["response"], &serde_json::from_slice::<Value>(&whole).unwrap());
    }

    #[test]
    fn no_body_does_harm(body in "\\PC{0,200}") {
        let _ = responses::parse(body.as_bytes());
        let _ = responses::parse(json!({"model": "m", "input": body}).to_string().as_bytes());
    }
}

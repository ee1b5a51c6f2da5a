//! Responses as they are made: the same whole and streamed, in the form that was asked for, or with what is wrong said.

use cloudach_blackbox::{Fleet, Plan, error_of};
use serde_json::{Value, json};

use super::{FLEET, RESPONSES, asked, everywhere, good, grammar, kinds, plan, streamed, text, tool};

#[test]
fn a_text_is_the_same_whole_and_streamed() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let response = everywhere(&client, &asked("[[say:Grüße, 日本!]][[cut=1]]", json!({ "instructions": "Be kind." })));
    assert_eq!(text(&response), "Grüße, 日本!");
    assert_eq!((&response["status"], &response["object"]), (&json!("completed"), &json!("response")));
    assert_eq!(response["instructions"], "Be kind.");
    let usage = &response["usage"];
    assert_eq!(
        usage["total_tokens"],
        usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap()
    );
    let events = streamed(&client, &asked("[[say:Hello there]]", json!({})));
    assert_eq!(
        grammar(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
}

#[test]
fn what_a_model_thinks_and_calls_are_items_of_their_own() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = concat!(
        "[[free:<think>Which zone? 日本</think>I look. ",
        r#"<tool_call>{"name": "get_time", "arguments": {"zone": "UTC"}}</tool_call>"#,
        r#"<tool_call>{"name": "get_time", "arguments": {"zone": "CET"}}</tool_call>]][[cut=1]]"#
    );
    let request = asked(said, json!({ "model": "thinker", "tools": [tool(false)] }));
    let response = everywhere(&client, &request);
    let types: Vec<_> = response["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(types, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(response["output"][0]["content"], json!([{ "type": "reasoning_text", "text": "Which zone? 日本" }]));
    assert_eq!(response["output"][0]["summary"], json!([]));
    assert_eq!(response["output"][2]["arguments"], r#"{"zone": "UTC"}"#);
    assert!(response["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 0);
    // A strict function is held to its schema.
    let wrong = r#"[[free:<tool_call>{"name": "get_time", "arguments": {"zone": 1}}</tool_call>]]"#;
    let request = asked(wrong, json!({ "model": "thinker", "tools": [tool(true)], "parallel_tool_calls": false }));
    let response = everywhere(&client, &request);
    let arguments: Value = serde_json::from_str(response["output"][0]["arguments"].as_str().unwrap()).unwrap();
    assert!(["CET", "UTC"].iter().any(|zone| arguments == json!({ "zone": zone })), "{arguments}");
    // So is one that must be called, of any model.
    let request = asked(
        "The time?",
        json!({ "tools": [tool(false)], "tool_choice": { "type": "function", "name": "get_time" } }),
    );
    assert_eq!(everywhere(&client, &request)["output"][0]["name"], "get_time");
}

#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let schema = json!({ "type": "object", "properties": { "zone": { "enum": ["CET", "UTC"] } }, "required": ["zone"],
        "additionalProperties": false });
    let format =
        json!({ "text": { "format": { "type": "json_schema", "name": "zone", "strict": true, "schema": schema } } });
    let response = everywhere(&client, &asked("Which?", format.clone()));
    assert_eq!(serde_json::from_str::<Value>(&text(&response)).unwrap()["zone"], "CET");
    assert_eq!(response["text"]["format"]["schema"], schema);
    let response = everywhere(
        &client,
        &asked("[[say:0123456789012345678901234567890123456789]][[cut=1]]", json!({ "max_output_tokens": 16 })),
    );
    assert_eq!(
        (&response["status"], &response["incomplete_details"]),
        (&json!("incomplete"), &json!({ "reason": "max_output_tokens" }))
    );
    assert_eq!(
        (text(&response).as_str(), &response["output"][0]["status"]),
        ("0123456789012345", &json!("incomplete"))
    );
    let logprobs = json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 2 });
    let response = everywhere(&client, &asked("[[say:a b]]", logprobs));
    let entries = response["output"][0]["content"][0]["logprobs"].as_array().unwrap();
    assert!(!entries.is_empty() && entries[0]["top_logprobs"].as_array().unwrap().len() == 2, "{entries:?}");
}

#[test]
fn what_is_wrong_is_said_as_openai_says_it() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let refused = |status: u16, request: &Value| {
        let answer = client.post(RESPONSES, request);
        assert_eq!(answer.head.status, status, "{}", answer.text());
        let error = error_of(&answer);
        (error["message"].as_str().unwrap().to_owned(), error["param"].clone(), error["code"].clone())
    };
    let stranger = "resp_0a887041dd60d00d00690e02b96ac081a08386e48abbe0cb97";
    for (more, message, param, code) in [
        (
            json!({ "model": "nobody" }),
            "The requested model 'nobody' does not exist.",
            json!("model"),
            json!("model_not_found"),
        ),
        (
            json!({ "tools": [{ "type": "web_search" }] }),
            "Hosted tool 'web_search' is not supported with this model: this server runs no tools. Use a function of your own instead.",
            json!("tools[0].type"),
            json!("unsupported_value"),
        ),
        (
            json!({ "tool_choice": { "type": "code_interpreter" } }),
            "Hosted tool 'code_interpreter' is not supported with this model: this server runs no tools. Use a function of your own instead.",
            json!("tool_choice.type"),
            json!("unsupported_value"),
        ),
        (
            json!({ "previous_response_id": stranger }),
            "Previous response with id 'resp_0a887041dd60d00d00690e02b96ac081a08386e48abbe0cb97' not found.",
            json!("previous_response_id"),
            json!("previous_response_not_found"),
        ),
        (
            json!({ "input": [{ "type": "item_reference", "id": "msg_1" }] }),
            "Item with id 'msg_1' not found.",
            json!("input"),
            json!(null),
        ),
        (
            json!({ "input": [{ "type": "function_call_output", "call_id": "call_1", "output": "x" }] }),
            "No tool call found for function call output with call_id call_1.",
            json!("input"),
            json!(null),
        ),
        (
            json!({ "input": [{ "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}" }] }),
            "No tool output found for function call call_1.",
            json!("input"),
            json!(null),
        ),
        (
            json!({ "max_output_tokens": 1 }),
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
            json!("max_output_tokens"),
            json!("integer_below_min_value"),
        ),
        (
            json!({ "input": null }),
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
            json!("input"),
            json!("missing_required_parameter"),
        ),
        (json!({ "nonsense": 1 }), "Unknown parameter: 'nonsense'.", json!("nonsense"), json!("unknown_parameter")),
        (
            json!({ "conversation": "conv_1", "previous_response_id": stranger }),
            "Mutually exclusive parameters. Ensure you are only providing one of: 'previous_response_id' or 'conversation'.",
            Value::Null,
            json!("mutually_exclusive_parameters"),
        ),
    ] {
        assert_eq!(refused(400, &asked("Hello", more)), (message.to_owned(), param, code));
    }
    let (message, ..) = refused(400, &asked("x ".repeat(40_000), json!({ "max_output_tokens": 16 })));
    assert_eq!(message, "Your input exceeds the context window of this model. Please adjust your input and try again.");
    for path in [stranger, "resp_1", "%2e%2e"] {
        let answer = client.get(&format!("{RESPONSES}/{path}"));
        assert_eq!(answer.head.status, 404);
        assert!(error_of(&answer)["message"].as_str().unwrap().starts_with("Response with id '"), "{}", answer.text());
    }
}

#[test]
fn a_broken_stream_says_so_in_events() {
    let fleet = Fleet::start(Plan { router: json!({ "relay": { "resume": false } }), ..plan(1, json!({})) });
    let client = fleet.client();
    let kinds_of = |more: Value| {
        let request = asked("[[say:one two three four]][[fault:error_after=2]]", more);
        let events = streamed(&client, &request);
        let error = &events[events.len() - 2];
        assert!(error["message"].is_string() && error["error"]["message"].is_string(), "{error}");
        let failed = &events[events.len() - 1]["response"];
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
        (kinds(&events)[events.len() - 2..].join(" "), failed["id"].clone())
    };
    let (kinds, _) = kinds_of(json!({ "store": false }));
    assert_eq!(kinds, "error response.failed");
    let (kinds, id) = kinds_of(json!({}));
    assert_eq!(kinds, "error response.failed");
    let kept = good(&client.get(&format!("{RESPONSES}/{}", id.as_str().unwrap())));
    assert_eq!(kept["status"], "failed");
}

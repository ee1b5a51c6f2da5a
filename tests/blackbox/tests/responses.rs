//! Responses: created whole and streamed, gone on from, kept for their tenant alone, and come back to from any event, in
//! any edge. Checklist C09, C29.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::thread;
use std::time::Duration;

use cloudach_blackbox::{
    Answer, Client, Event, Events, Fleet, Plan, Redis, Replica, Shared, error_of, eventually, with,
};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const RESPONSES: &str = "/v1/responses";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The words `other`, as SHA-256: a key of another tenant.
const OTHER: (&str, &str) = ("other", "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");
const TEST_KEY: &str = "test";

static FLEET: Shared = Shared::new(|| Fleet::start(plan(1, json!({}))));

fn plan(edges: usize, edge: Value) -> Plan {
    let formats = json!({ "tool_format": "hermes", "reasoning_format": "olmo3" });
    Plan {
        edges,
        edge,
        replicas: vec![Replica::fake(Script::vllm()), Replica::of("thinker", Script::vllm())],
        models: json!({ "thinker": formats }),
        ..Plan::default()
    }
}

/// A store of one edge, and one that two edges share.
fn with_each(test: impl Fn(&Fleet)) {
    test(&Fleet::start(plan(1, json!({}))));
    let redis = Redis::start();
    test(&Fleet::start(plan(2, with(redis.edge(), json!({ "store": redis.store("10s") })))));
}

fn last(fleet: &Fleet) -> Client {
    fleet.client_of(fleet.edges.len() - 1)
}

fn asked(input: impl Into<Value>, more: Value) -> Value {
    with(json!({ "model": "fake-model", "input": input.into() }), more)
}

fn good(answer: &Answer) -> Value {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    answer.json()
}

fn create(client: &Client, request: &Value) -> Value {
    good(&client.post(RESPONSES, request))
}

/// All events of a stream, comments passed over.
fn events(stream: Events) -> Vec<Value> {
    let events = stream.rest().into_iter().filter_map(|event| match event {
        Event::Json(event) => Some(event),
        Event::Comment(_) => None,
        Event::Done => panic!("responses have no [DONE]"),
    });
    events.collect()
}

fn streamed(client: &Client, request: &Value) -> Vec<Value> {
    events(client.stream(RESPONSES, &with(request.clone(), json!({ "stream": true }))))
}

fn follow(client: &Client, id: &str, after: Option<u64>) -> Events {
    let after = after.map_or(String::new(), |after| format!("&starting_after={after}"));
    let path = format!("{RESPONSES}/{id}?stream=true{after}");
    let mut connection = client.connect();
    connection.send(&client.request("GET", &path, &[], b"")).unwrap();
    let reading = connection.reading().unwrap();
    assert_eq!(reading.head.status, 200);
    Events::of(reading)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// With those of text written once.
fn grammar(events: &[Value]) -> Vec<&str> {
    let mut kinds = kinds(events);
    kinds.dedup();
    kinds
}

fn text(response: &Value) -> String {
    let items = response["output"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
    items.map(|item| item["content"][0]["text"].as_str().unwrap()).collect()
}

/// What is the same for one response however it is told, and differs between two.
fn without_names(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["id", "item_id", "call_id", "created_at", "completed_at", "previous_response_id"] {
                fields.remove(name);
            }
            for value in fields.values_mut() {
                *value = without_names(value.take());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_names(value.take())),
        _ => {}
    }
    value
}

/// Rising numbers, items that are opened before they grow and bear one name, and the whole response at the end.
fn check_stream(events: &[Value]) {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let last = &events.last().unwrap()["response"];
    let output = last["output"].as_array().unwrap();
    for event in events {
        let Some(index) = event["output_index"].as_u64() else { continue };
        let item = &output[usize::try_from(index).unwrap()];
        let id = if event["item"].is_object() { &event["item"]["id"] } else { &event["item_id"] };
        assert_eq!(*id, item["id"], "{event}");
    }
    for (index, item) in output.iter().enumerate() {
        let of = |kind: &str, field: &str| -> String {
            let deltas = events.iter().filter(|event| event["type"] == kind && event["output_index"] == index);
            deltas.map(|event| event[field].as_str().unwrap()).collect()
        };
        match item["type"].as_str().unwrap() {
            "message" => assert_eq!(of("response.output_text.delta", "delta"), item["content"][0]["text"]),
            "reasoning" => assert_eq!(of("response.reasoning_text.delta", "delta"), item["content"][0]["text"]),
            "function_call" => assert_eq!(of("response.function_call_arguments.delta", "delta"), item["arguments"]),
            other => panic!("{other}"),
        }
        let done =
            events.iter().find(|event| event["type"] == "response.output_item.done" && event["output_index"] == index);
        assert_eq!(&done.unwrap()["item"], item);
    }
}

/// Whole and streamed, kept and not, are the same response.
fn everywhere(client: &Client, request: &Value) -> Value {
    let whole = create(client, request);
    for more in [json!({}), json!({ "store": false })] {
        let request = with(request.clone(), more);
        let other = create(client, &request);
        let events = streamed(client, &request);
        check_stream(&events);
        let told = events.last().unwrap()["response"].clone();
        assert_eq!(without_names(told.clone()), without_names(other.clone()));
        assert_eq!(told["output"].to_string().len(), whole["output"].to_string().len());
    }
    assert_eq!(good(&client.get(&format!("{RESPONSES}/{}", whole["id"].as_str().unwrap()))), whole);
    whole
}

fn tool(strict: bool) -> Value {
    json!({ "type": "function", "name": "get_time", "strict": strict, "parameters": {
        "type": "object", "properties": { "zone": { "enum": ["CET", "UTC"] } }, "required": ["zone"],
        "additionalProperties": false } })
}

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
            json!({ "conversation": "conv_1" }),
            "Unsupported parameter: 'conversation' is not supported with this model. Use 'previous_response_id' instead.",
            json!("conversation"),
            json!("unsupported_parameter"),
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

#[test]
fn a_conversation_goes_on_from_what_is_kept() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let first = create(&client, &asked("My name is Ada.[[say:Hello Ada]]", json!({ "instructions": "Be brief." })));
        let second = asked("And I like tea.[[say:Noted]]", json!({ "previous_response_id": first["id"] }));
        let second = streamed(&again, &second).last().unwrap()["response"].clone();
        assert_eq!(second["previous_response_id"], first["id"]);
        let third =
            create(&client, &asked("What do I like?[[say:Tea]]", json!({ "previous_response_id": second["id"] })));
        let prompts = fleet.engine().requests();
        let prompt = prompts.last().unwrap()["prompt"].as_str().unwrap().to_owned();
        let places = ["Ada.", "Hello Ada", "And I like tea.", "Noted", "What do I like?"].map(|said| prompt.find(said));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{prompt}");
        assert!(!prompt.contains("Be brief."), "instructions are of one response: {prompt}");

        let id = |response: &Value| response["id"].as_str().unwrap().to_owned();
        let items = good(&again.get(&format!("{RESPONSES}/{}/input_items?limit=1", id(&third))));
        assert_eq!((&items["object"], &items["has_more"]), (&json!("list"), &json!(false)));
        assert_eq!(items["data"][0]["content"][0]["text"], "What do I like?[[say:Tea]]");
        assert!(items["first_id"].as_str().unwrap().starts_with("msg_"));

        // A reference to an item stands for it.
        let reference = json!([{ "type": "item_reference", "id": first["output"][0]["id"] }, { "role": "user", "content": "Again.[[say:Yes]]" }]);
        create(&again, &asked(reference, json!({})));
        let prompt = fleet.engine().requests().last().unwrap()["prompt"].to_string();
        assert!(prompt.contains("Hello Ada"), "{prompt}");

        let removed = again.ask(&again.request("DELETE", &format!("{RESPONSES}/{}", id(&second)), &[], b""));
        assert_eq!(good(&removed), json!({ "id": second["id"], "object": "response", "deleted": true }));
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id(&second))).head.status, 404);
        let answer = client.post(RESPONSES, &asked("On", json!({ "previous_response_id": third["id"] })));
        assert_eq!(error_of(&answer)["code"], "previous_response_not_found", "what it goes on from is gone");
        let unkept = create(&client, &asked("[[say:x]]", json!({ "store": false })));
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id(&unkept))).head.status, 404);
    });
}

#[test]
fn calls_are_answered_by_who_goes_on() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = concat!(
        r#"[[free:<tool_call>{"name": "get_time", "arguments": {"zone": "UTC"}}</tool_call>"#,
        r#"<tool_call>{"name": "get_time", "arguments": {"zone": "CET"}}</tool_call>]]"#
    );
    let tools = json!({ "model": "thinker", "tools": [tool(false)] });
    let called = create(&client, &asked(said, tools.clone()));
    let output = |index: usize, text: &str| json!({ "type": "function_call_output", "call_id": called["output"][index]["call_id"], "output": text });
    let answers =
        json!([output(1, "one o'clock"), output(0, "noon"), { "role": "user", "content": "So?[[free:Thanks]]" }]);
    let answered = create(&client, &asked(answers, with(tools, json!({ "previous_response_id": called["id"] }))));
    assert_eq!(text(&answered), "Thanks");
    let request = asked("The quick brown fox jumps over the lazy dog.", json!({ "instructions": "Be kind." }));
    let counted = good(&client.post("/v1/responses/input_tokens", &request));
    let used = create(&client, &request)["usage"]["input_tokens"].clone();
    assert_eq!(counted, json!({ "object": "response.input_tokens", "input_tokens": used }));
}

#[test]
fn no_tenant_sees_anothers() {
    let keys = json!({ "keys": [
        { "name": "test", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "tenant": "one" },
        { "name": "other", "sha256": OTHER.1, "tenant": "two" },
    ] });
    let fleet = Fleet::start(plan(1, keys));
    let one = Client { key: TEST_KEY.to_owned(), ..fleet.client() };
    let two = Client { key: OTHER.0.to_owned(), ..fleet.client() };
    let kept = create(&one, &asked("[[say:secret]]", json!({})));
    let id = kept["id"].as_str().unwrap();
    let path = format!("{RESPONSES}/{id}");
    let ask = |method: &str, path: &str| two.ask(&two.request(method, path, &[], b""));
    let unknown = path.replace(&id[5..15], "0000000000");
    for (method, behind) in
        [("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
    {
        let answer = ask(method, &format!("{path}{behind}"));
        assert_eq!(answer.head.status, 404, "{method} {behind}");
        let shown = error_of(&answer).to_string().replace(id, "X");
        let other = error_of(&ask(method, &format!("{unknown}{behind}"))).to_string();
        assert_eq!(shown, other.replace(unknown.rsplit('/').next().unwrap(), "X"), "{method} {behind}");
    }
    for request in [
        json!({ "previous_response_id": id }),
        json!({ "input": [{ "type": "item_reference", "id": kept["output"][0]["id"] }] }),
    ] {
        assert_eq!(two.post(RESPONSES, &asked("x", request)).head.status, 400);
    }
    assert_eq!(good(&one.get(&path)), kept);
}

#[test]
fn a_stream_that_is_cut_anywhere_is_come_back_to_anywhere() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let said = "[[free:<think>Hm 日本</think>I look. <tool_call>{\"name\": \"get_time\", \"arguments\": {\"zone\": \"UTC\"}}</tool_call>]][[cut=8]][[delay=8ms]]";
        let request = asked(said, json!({ "model": "thinker", "stream": true, "tools": [tool(false)] }));
        let uncut = streamed(&client, &request);
        check_stream(&uncut);
        for cut in 0..uncut.len() {
            let mut stream = client.stream(RESPONSES, &request);
            let mut seen: Vec<Value> = (0..=cut).map(|_| stream.chunk()).collect();
            drop(stream);
            let id = seen[0]["response"]["id"].as_str().unwrap().to_owned();
            seen.extend(events(follow(&again, &id, Some(cut as u64))));
            check_stream(&seen);
            assert_eq!(without_names(bare(&seen)), without_names(bare(&uncut)), "cut at {cut}");
        }
    });
}

/// Without the padding, which is drawn for each response.
fn bare(events: &[Value]) -> Value {
    let mut events = events.to_vec();
    for event in &mut events {
        event.as_object_mut().unwrap().remove("obfuscation");
    }
    events.into()
}

#[test]
fn two_readers_of_one_response_read_the_same_bytes() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let seen = streamed(&client, &asked("[[tokens=20]]", json!({})));
    let id = seen[0]["response"]["id"].as_str().unwrap();
    assert_eq!(events(follow(&client, id, None)), seen);
    assert_eq!(events(follow(&client, id, Some(7))), seen[8..]);
    assert_eq!(events(follow(&client, id, Some(10_000))), [json!(null); 0]);
}

#[test]
fn who_leaves_a_kept_stream_finds_it_whole_later() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let mut stream = client.stream(RESPONSES, &asked("[[tokens=100]][[delay=5ms]]", json!({ "stream": true })));
        let id = stream.chunk()["response"]["id"].as_str().unwrap().to_owned();
        drop(stream);
        let path = format!("{RESPONSES}/{id}");
        let early = good(&again.get(&path));
        assert_eq!((&early["status"], &early["usage"]), (&json!("in_progress"), &json!(null)));
        eventually(PATIENCE, "it is complete", || good(&again.get(&path))["status"] == "completed");
        let answer = client.post(&format!("{path}/cancel"), &json!({}));
        assert_eq!(error_of(&answer)["message"], "Cannot cancel a synchronous response.");
    });
}

#[test]
fn a_stream_ends_with_its_client_where_none_lingers() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "linger": "0s" } })));
    let client = fleet.client();
    let mut stream = client.stream(RESPONSES, &asked("[[tokens=1000000]][[delay=5ms]]", json!({ "stream": true })));
    let id = stream.chunk()["response"]["id"].as_str().unwrap().to_owned();
    stream.chunk();
    drop(stream);
    eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
    eventually(PATIENCE, "it is cancelled", || {
        good(&client.get(&format!("{RESPONSES}/{id}")))["status"] == "cancelled"
    });
    // Nor does one that is not kept.
    let mut stream =
        client.stream(RESPONSES, &asked("[[tokens=1000000]][[delay=5ms]]", json!({ "stream": true, "store": false })));
    stream.chunk();
    drop(stream);
    eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
}

#[test]
fn a_response_in_the_background_is_made_without_its_client() {
    with_each(|fleet| {
        let (client, again) = (fleet.client(), last(fleet));
        let background = json!({ "background": true });
        let queued = create(&client, &asked("[[tokens=40]][[delay=5ms]][[first=500ms]]", background.clone()));
        assert_eq!(
            (&queued["status"], &queued["background"], &queued["output"]),
            (&json!("queued"), &json!(true), &json!([]))
        );
        let path = |response: &Value| format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
        eventually(PATIENCE, "it is complete", || good(&again.get(&path(&queued)))["status"] == "completed");
        let done = good(&client.post(&format!("{}/cancel", path(&queued)), &json!({})));
        assert_eq!(done["status"], "completed", "what is over stays as it is");

        let events = streamed(&client, &asked("[[tokens=5]]", background.clone()));
        assert_eq!(kinds(&events)[..3], ["response.created", "response.queued", "response.in_progress"]);
        check_stream(&events);

        let endless = create(&client, &asked("[[tokens=1000000]][[delay=5ms]]", background.clone()));
        let follower = thread::spawn({
            let (again, id) = (again.clone(), endless["id"].as_str().unwrap().to_owned());
            move || self::events(follow(&again, &id, None))
        });
        eventually(PATIENCE, "it has begun", || fleet.running() == 1);
        let cancelled = good(&again.post(&format!("{}/cancel", path(&endless)), &json!({})));
        assert_eq!(cancelled["status"], "cancelled");
        eventually(PATIENCE, "the engine is idle", || fleet.running() == 0);
        eventually(PATIENCE, "it stays so", || good(&again.get(&path(&endless)))["status"] == "cancelled");
        let followed = follower.join().unwrap();
        assert_eq!(followed.last().unwrap()["type"], "response.cancelled");

        let answer = client.post(RESPONSES, &asked("x", json!({ "background": true, "model": "nobody" })));
        assert_eq!(error_of(&answer)["code"], "model_not_found");
    });
}

/// No edge goes on with it; nobody waits for it for ever.
#[test]
fn a_response_whose_edge_has_died_has_failed() {
    let redis = Redis::start();
    let fleet = Fleet::start(plan(2, with(redis.edge(), json!({ "store": redis.store("10s") }))));
    let (client, again) = (fleet.client(), last(&fleet));
    let background = json!({ "background": true });
    let begun = create(&client, &asked("[[tokens=1000000]][[delay=5ms]]", background));
    let id = begun["id"].as_str().unwrap();
    let mut stream = follow(&again, id, None);
    while stream.chunk()["type"] != "response.output_text.delta" {}
    fleet.edges[0].kill();
    let seen = events(stream);
    assert_eq!(kinds(&seen)[seen.len() - 2..], ["error", "response.failed"]);
    let failed = good(&again.get(&format!("{RESPONSES}/{id}")));
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    // Its place is not waited for either.
    let removed = again.ask(&again.request("DELETE", &format!("{RESPONSES}/{id}"), &[], b""));
    assert_eq!(good(&removed)["deleted"], true);
}

#[test]
fn what_is_too_large_is_answered_and_not_kept() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "response_bytes": 4000 } })));
    let client = fleet.client();
    let large = asked("[[tokens=1000]]", json!({ "max_output_tokens": 2000 }));
    let whole = create(&client, &large);
    let events = streamed(&client, &large);
    check_stream(&events);
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    for id in [&whole["id"], &events[0]["response"]["id"]] {
        assert_eq!(client.get(&format!("{RESPONSES}/{}", id.as_str().unwrap())).head.status, 404);
    }
    let answer = client.post(RESPONSES, &asked("x ".repeat(1900), json!({ "background": true })));
    assert_eq!((answer.head.status, &error_of(&answer)["param"]), (400, &json!("background")));
    let kept = create(&client, &asked("[[tokens=5]]", json!({})));
    assert_eq!(good(&client.get(&format!("{RESPONSES}/{}", kept["id"].as_str().unwrap()))), kept);
}

#[test]
fn a_server_that_keeps_nothing_says_so() {
    let fleet = Fleet::start(plan(1, json!({ "responses": { "enabled": false } })));
    let client = fleet.client();
    let response = create(&client, &asked("[[say:x]]", json!({})));
    assert_eq!(response["store"], false);
    assert_eq!(client.get(&format!("{RESPONSES}/{}", response["id"].as_str().unwrap())).head.status, 404);
    let answer = client.post(RESPONSES, &asked("x", json!({ "background": true })));
    assert_eq!(error_of(&answer)["param"], "background");
}

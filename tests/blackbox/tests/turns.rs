//! What a model is held to from some place of its answer on: its answer once it has thought, and the arguments of strict
//! functions once it calls one. The same streamed and whole, for every cut. Checklist C19, C20.

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Shared, Told, chat, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

static FLEET: Shared = Shared::new(|| {
    let formats = json!({ "tool_format": "hermes", "reasoning_format": "olmo3" });
    Fleet::start(Plan {
        replicas: vec![
            Replica::of("thinker", Script { prompt_tokens_details: true, ..Script::vllm() }),
            Replica::of("llama", Script::llama_cpp()),
        ],
        models: json!({ "thinker": formats, "llama": formats }),
        ..Plan::default()
    })
});

const MODELS: [&str; 2] = ["thinker", "llama"];

/// A model that says this as long as it is held to nothing.
fn free(model: &str, said: &str, more: Value) -> Value {
    with(with(chat(&format!("[[free:{said}]][[cut=1]]")), json!({ "model": model })), more)
}

fn tool(name: &str, strict: bool) -> Value {
    json!({ "type": "function", "function": { "name": name, "strict": strict, "parameters": {
        "type": "object", "properties": { "zone": { "enum": ["CET", "UTC"] } }, "required": ["zone"],
        "additionalProperties": false } } })
}

fn format() -> Value {
    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "zone", "strict": true, "schema": {
        "type": "object", "properties": { "zone": { "enum": ["CET", "UTC"] } }, "required": ["zone"],
        "additionalProperties": false } } } })
}

/// With the usage.
fn whole(client: &Client, request: &Value) -> (Told, Value) {
    let answer = client.post(CHAT, request);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    (Told::whole(&answer.json()), answer.json()["usage"].clone())
}

fn streamed(client: &Client, request: &Value) -> Told {
    Told::streamed(&client.stream(CHAT, &with(request.clone(), json!({ "stream": true }))).chunks())
}

/// Whole and streamed, which are the same.
fn answer(client: &Client, request: &Value) -> Told {
    let (seen, _) = whole(client, request);
    assert_eq!(streamed(client, request), seen, "streamed as whole: {request}");
    seen
}

fn check_zone(arguments: &str) {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"));
    assert!(["CET", "UTC"].iter().any(|zone| arguments == json!({ "zone": zone })), "{arguments}");
}

#[test]
fn strict_functions_are_called_with_what_their_schema_allows() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let wrong = r#"I look.<tool_call>{"name": "get_time", "arguments": {"zone": "nowhere", "x": 1}}</tool_call>"#;
    for model in MODELS {
        let strict =
            json!({ "tools": [tool("get_time", true), tool("get_weather", false)], "parallel_tool_calls": false });
        let seen = answer(&client, &free(model, wrong, strict));
        assert_eq!(seen.content, "I look.", "{seen:?}");
        assert_eq!(seen.finish_reason, "tool_calls");
        let [(_, arguments)] = &seen.calls[..] else { panic!("{seen:?}") };
        check_zone(arguments);
        // Nothing was promised of the others.
        let lax = json!({ "tools": [tool("get_time", false)] });
        let seen = answer(&client, &free(model, wrong, lax));
        assert_eq!(seen.calls, [("get_time".to_owned(), r#"{"zone": "nowhere", "x": 1}"#.to_owned())]);
        // Nor is anything changed where the model does not call.
        let strict = json!({ "tools": [tool("get_time", true)] });
        let seen = answer(&client, &free(model, "It is noon.", strict));
        assert_eq!((seen.content.as_str(), seen.finish_reason.as_str()), ("It is noon.", "stop"));
    }
}

#[test]
fn a_turn_is_at_the_same_place_for_every_cut() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let said = r#"<think>日本?</think>I look. <tool_call>{"name": "get_time", "arguments": {"zone": 1}}</tool_call>"#;
    let asked = |more: Value, cut: &str| {
        with(with(chat(&format!("[[free:{said}]]{cut}")), json!({ "model": "thinker" })), more)
    };
    let strict = json!({ "tools": [tool("get_time", true)], "parallel_tool_calls": false });
    for more in [strict, format()] {
        let (expected, _) = whole(&client, &asked(more.clone(), ""));
        assert_eq!(expected.reasoning, "日本?");
        for cut in 1..said.len() {
            let request = asked(more.clone(), &format!("[[cut_at={cut}]]"));
            let (seen, _) = whole(&client, &request);
            assert_eq!((seen.content, seen.calls), (expected.content.clone(), expected.calls.clone()), "cut at {cut}");
        }
    }
}

/// A call of another function that is complete stays, and is not made again.
#[test]
fn what_was_called_before_a_strict_function_is_kept() {
    let fleet = FLEET.visit();
    let said = concat!(
        r#"<tool_call>{"name": "get_weather", "arguments": {"zone": "UTC"}}</tool_call>"#,
        r#"<tool_call>{"name": "get_time", "arguments": {"zone": 1}}</tool_call>"#,
    );
    let tools = json!({ "tools": [tool("get_time", true), tool("get_weather", false)] });
    let seen = answer(&fleet.client(), &free("thinker", said, tools));
    assert_eq!(seen.calls[0], ("get_weather".to_owned(), r#"{"zone": "UTC"}"#.to_owned()));
    assert!(seen.calls.len() > 1, "{seen:?}");
    for (_, arguments) in &seen.calls[1..] {
        check_zone(arguments);
    }
}

#[test]
fn a_model_thinks_freely_before_an_answer_that_is_held_to_a_schema() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for model in MODELS {
        for said in ["<think>Which zone? 日本</think>\n\nIt is CET.", "<think>Which zone? 日本</think>", "It is CET."]
        {
            let seen = answer(&client, &free(model, said, format()));
            check_zone(&seen.content);
            assert_eq!(seen.reasoning, if said.starts_with('<') { "Which zone? 日本" } else { "" }, "{said}");
            assert_eq!(seen.finish_reason, "stop");
        }
        let required =
            json!({ "tools": [tool("get_time", false)], "tool_choice": "required", "parallel_tool_calls": false });
        let seen = answer(&client, &free(model, "<think>Hm.</think>No.", required));
        assert_eq!((seen.reasoning.as_str(), seen.content.as_str()), ("Hm.", ""));
        let [(name, arguments)] = &seen.calls[..] else { panic!("{seen:?}") };
        assert_eq!(name, "get_time");
        check_zone(arguments);
    }
}

/// One choice of the fake's schema: it takes the first alternative, which is the answer.
#[test]
fn a_format_and_tools_go_together() {
    let fleet = FLEET.visit();
    let request =
        with(free("thinker", "<think>Hm.</think>So.", format()), json!({ "tools": [tool("get_time", true)] }));
    let seen = answer(&fleet.client(), &request);
    check_zone(&seen.content);
    assert_eq!((seen.reasoning.as_str(), seen.finish_reason.as_str()), ("Hm.", "stop"));
}

/// What comes in place of calls is text like any other. Checklist C21, C22.
#[test]
fn an_answer_that_might_have_been_a_call_has_stops_and_log_probabilities() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let asked = |model: &str, more: Value| {
        let both = with(format(), json!({ "tools": [tool("get_time", true)], "logprobs": true }));
        with(free(model, "<think>Hm.</think>So.", both), more)
    };
    for model in MODELS {
        for (stop, expected) in [(json!(null), r#"{"zone":"CET"}"#), (json!("CET"), r#"{"zone":""#)] {
            let answer = client.post(CHAT, &asked(model, json!({ "stop": stop }))).json();
            let choice = &answer["choices"][0];
            assert_eq!(choice["message"]["content"], expected, "{model}: {answer}");
            let tokens = choice["logprobs"]["content"].as_array().unwrap();
            let told: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
            assert_eq!((&*told, choice["finish_reason"].as_str()), (expected, Some("stop")), "{model}: {answer}");
        }
    }
}

/// Both generations are one answer: one usage, one prompt, and what both made.
#[test]
fn usage_is_of_both_parts() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let (_, plain) = whole(&client, &free("thinker", "<think>One two.</think>So.", json!({})));
    let (_, held) = whole(&client, &free("thinker", "<think>One two.</think>So.", format()));
    assert_eq!(held["prompt_tokens"], plain["prompt_tokens"]);
    let tokens = |usage: &Value| usage["completion_tokens"].as_u64().unwrap();
    assert!(tokens(&held) > tokens(&plain), "{held} {plain}");
    assert_eq!(
        held["completion_tokens_details"]["reasoning_tokens"],
        plain["completion_tokens_details"]["reasoning_tokens"]
    );
}

/// What follows a turn finds the whole prompt in the cache, and so does one choice what another one has just read. Neither was
/// there before the request. Checklist C25.
#[test]
fn what_a_request_has_read_itself_is_not_told_as_cached() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    for model in MODELS {
        for (name, n, more) in [("turned", 1, format()), ("several", 3, json!({})), ("both", 3, format())] {
            let new = format!(
                "{}[[free:<think>One two.</think>So.]]",
                format!("{model} has never read of {name}. ").repeat(20)
            );
            let request = with(with(chat(&new), json!({ "model": model, "n": n })), more);
            let cached = |usage: &Value| usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
            let usage = client.post(CHAT, &request).json()["usage"].clone();
            assert!(cached(&usage) < 64, "{model}, {name}: {usage}");
            let again = client.post(CHAT, &request).json()["usage"].clone();
            // An engine tells of what it was not left to end nothing at all.
            assert!(cached(&again) > 150 || name != "several", "{model}, {name}: {again}");
        }
    }
}

/// A budget that is used up by thinking leaves nothing to answer with. What the engine wrote beyond the turn before it was
/// stopped, as much as it was quick enough for, takes nothing from it: one token here is a byte.
#[test]
fn the_budget_is_of_both_parts() {
    let fleet = FLEET.visit();
    let thought = "<think>One two three four five.</think>";
    let said = format!("{thought}So it is, and much is said behind it that nobody will read.");
    for limit in [20_usize, 36, 40, 44, 47] {
        let request = free("thinker", &said, with(format(), json!({ "max_completion_tokens": limit })));
        let seen = answer(&fleet.client(), &request);
        assert_eq!(seen.finish_reason, "length", "{limit}: {seen:?}");
        assert_eq!(seen.content.len(), limit.saturating_sub(thought.len()), "{limit}: {seen:?}");
    }
}

#[test]
fn each_choice_turns_by_itself() {
    let fleet = FLEET.visit();
    let request = free("thinker", "<think>Hm.</think>So.", with(format(), json!({ "n": 3, "seed": 7 })));
    let answer = fleet.client().post(CHAT, &request).json();
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for choice in choices {
        assert_eq!(choice["message"]["reasoning_content"], "Hm.");
        check_zone(choice["message"]["content"].as_str().unwrap());
    }
}

#[test]
fn what_no_engine_can_be_held_to_is_refused_by_its_keyword() {
    let fleet = FLEET.visit();
    let client = fleet.client();
    let unenforceable = json!({ "type": "object", "properties": { "tags": { "type": "array", "uniqueItems": true } } });
    let refused = |more: Value| {
        let answer = client.post(CHAT, &free("thinker", "So.", more));
        assert_eq!(answer.head.status, 400, "{}", answer.text());
        answer.json()["error"].clone()
    };
    let error = refused(
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "tagged", "schema": unenforceable } } }),
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("Invalid schema for response_format 'tagged': /properties/tags/uniqueItems"),
        "{message}"
    );
    assert_eq!((&error["param"], &error["code"]), (&json!("response_format"), &Value::Null));

    let tool = json!({ "type": "function", "function": { "name": "tag", "parameters": unenforceable } });
    let error = refused(json!({ "tools": [self::tool("get_time", false), tool], "tool_choice": "required" }));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("Invalid schema for function 'tag': /properties/tags/uniqueItems"), "{message}");
    assert_eq!(error["param"], "tools[1].function.parameters");
    assert_eq!(error["code"], "invalid_function_parameters");

    let error = refused(json!({ "structured_outputs": { "json": unenforceable } }));
    assert_eq!(error["param"], "structured_outputs");

    // Under `auto` a function that is not strict is the model's own business.
    answer(&client, &free("thinker", "So.", json!({ "tools": [self::tool("get_time", true), tool] })));
}

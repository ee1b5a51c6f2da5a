//! Requests as Anthropic's clients write them: what conversation they become, and what is said of their mistakes.

use cloudach_anthropic::{parse, parse_for_counting};
use cloudach_openai::chat::{ChatRequest, ToolChoice};
use serde_json::{Value, json};

fn request(more: &Value) -> Value {
    let mut request = json!({
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let (Value::Object(all), Value::Object(more)) = (&mut request, more.clone()) else { panic!("objects") };
    for (name, value) in more {
        match value {
            Value::Null => all.remove(&name),
            value => all.insert(name, value),
        };
    }
    request
}

fn chat(more: &Value) -> ChatRequest {
    parse(request(more).to_string().as_bytes()).unwrap_or_else(|error| panic!("{more}: {error}")).chat
}

/// The messages as a template gets them.
fn messages(more: &Value) -> Vec<Value> {
    chat(more).messages.into_iter().map(Value::from).collect()
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": 1}})
}

fn result(id: &str, content: Value) -> Value {
    let mut result = json!({"type": "tool_result", "tool_use_id": id});
    result["content"] = content;
    result
}

#[test]
fn conversations_become_messages() {
    let text = |role: &str, text: &str| json!({"role": role, "content": text});
    let cases = [
        (json!({}), vec![text("user", "hi")]),
        (json!({"system": "be kind"}), vec![text("system", "be kind"), text("user", "hi")]),
        (
            json!({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]}),
            vec![
                json!({"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                text("user", "hi"),
            ],
        ),
        // Neighbours of one role are one turn.
        (
            json!({"messages": [text("user", "a"), text("user", "b"), text("assistant", "c"), text("user", "d")]}),
            vec![
                json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                text("assistant", "c"),
                text("user", "d"),
            ],
        ),
        // Results come first, wherever they stand.
        (
            json!({"messages": [
                text("user", "a"),
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "b"}, call("1"), call("2"),
                ]},
                {"role": "user", "content": [
                    {"type": "text", "text": "now?"}, result("2", json!("two")), result("1", json!([{"type": "text", "text": "one"}])),
                ]},
            ]}),
            vec![
                text("user", "a"),
                json!({"role": "assistant", "content": "b", "reasoning": "hm", "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                    {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                ]}),
                json!({"role": "tool", "content": "two", "tool_call_id": "2"}),
                json!({"role": "tool", "content": "one", "tool_call_id": "1"}),
                text("user", "now?"),
            ],
        ),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
            ]}]}),
            vec![text("user", "T\nD")],
        ),
        (
            json!({"messages": [{"role": "user", "content": [
                {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "a"}]},
            ]}]}),
            vec![text("user", "T\nS\na")],
        ),
        // An empty last turn of the assistant's is none.
        (json!({"messages": [text("user", "a"), text("assistant", "")]}), vec![text("user", "a")]),
    ];
    for (more, expected) in cases {
        assert_eq!(messages(&more), expected, "{more}");
    }
}

#[test]
fn a_last_turn_of_the_assistants_is_gone_on_with() {
    let turns =
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "The answer is"}]});
    let chat = chat(&turns);
    assert!(chat.continue_final_message && !chat.add_generation_prompt);
}

#[test]
fn settings_are_the_chats() {
    let asked = chat(&json!({
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["END"], "stream": true,
        "metadata": {"user_id": "u"}, "service_tier": "auto", "output_config": {"effort": "high"},
    }));
    assert_eq!((asked.sampling.max_tokens, asked.sampling.top_k), (Some(100), Some(5)));
    assert_eq!((asked.sampling.temperature, asked.sampling.top_p), (Some(0.5), Some(0.9)));
    assert_eq!((asked.sampling.stop, asked.user.as_deref()), (vec!["END".to_owned()], Some("u")));
    assert!(asked.stream.is_some());
    assert_eq!(asked.reasoning_effort.map(|effort| effort.as_str()), Some("high"));
}

#[test]
fn thinking_is_off_unless_it_is_asked_for() {
    for (thinking, thinks, shown) in [
        (json!(null), false, false),
        (json!({"type": "disabled"}), false, false),
        (json!({"type": "adaptive"}), true, true),
        (json!({"type": "between_tools"}), true, true),
        (json!({"type": "enabled", "budget_tokens": 1024}), true, true),
        (json!({"type": "adaptive", "display": "omitted"}), true, false),
    ] {
        let body = request(&json!({"thinking": thinking, "max_tokens": 2000}));
        let read = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(read.chat.template_kwargs["enable_thinking"], thinks, "{thinking}");
        assert_eq!(read.shows_thinking, shown, "{thinking}");
    }
}

#[test]
fn tools_are_offered_as_the_choice_says() {
    let tools = json!([{"name": "f", "description": "d", "input_schema": {"type": "object"}}]);
    let of = |choice: Value| chat(&json!({"tools": tools, "tool_choice": choice}));
    let cases = [
        (json!(null), ToolChoice::Auto, 1, true),
        (json!({"type": "auto", "disable_parallel_tool_use": true}), ToolChoice::Auto, 1, false),
        (json!({"type": "any"}), ToolChoice::Required, 1, true),
        (json!({"type": "tool", "name": "f"}), ToolChoice::Named("f".to_owned()), 1, true),
        (json!({"type": "none"}), ToolChoice::None, 0, true),
    ];
    for (choice, expected, offered, parallel) in cases {
        let chat = of(choice.clone());
        assert_eq!((chat.tool_choice, chat.tools.len()), (expected, offered), "{choice}");
        assert_eq!(chat.parallel_tool_calls, parallel, "{choice}");
    }
}

#[test]
fn counting_needs_no_bound() {
    let body = request(&json!({"max_tokens": null}));
    assert_eq!(parse(body.to_string().as_bytes()).unwrap_err().message, "max_tokens: Field required");
    parse_for_counting(body.to_string().as_bytes()).unwrap();
}

#[test]
fn mistakes_are_named() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let turns = |last: Value| json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [call("1")]}, last]});
    let tool = |tool: Value| json!({"tools": [tool]});
    let cases = [
        (json!({"model": null}), "model: Field required"),
        (json!({"max_tokens": 0}), "max_tokens: Input should be greater than or equal to 1"),
        (json!({"max_tokens": "1"}), "max_tokens: Input should be a valid integer"),
        (json!({"max_tokens": 1.5}), "max_tokens: Input should be a valid integer"),
        (json!({"max_tokens": u64::MAX}), "max_tokens: Input should be less than or equal to 4294967295"),
        (json!({"messages": []}), "messages: at least one message is required"),
        (json!({"messages": {}}), "messages: Input should be a valid list"),
        (json!({"messages": [{"role": "system", "content": "x"}]}), "messages: Unexpected role \"system\"."),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (json!({"messages": [{"role": "user"}]}), "messages.0.content: Field required"),
        (user(json!("")), "messages.0: user messages must have non-empty content"),
        (user(json!([{"type": "text", "text": ""}])), "messages.0.content.0: text content blocks must be non-empty"),
        (user(json!([{"type": "image", "source": {}}])), "messages.0.content.0.type: this model reads text only"),
        (user(json!([{"type": "video"}])), "messages.0.content.0.type: blocks of type 'video' are not supported here."),
        (user(json!([call("1")])), "messages.0.content.0: `thinking` and `tool_use` blocks cannot be in user messages"),
        (
            user(json!([result("x", json!("y"))])),
            "messages.0: unexpected `tool_use_id` found in `tool_result` blocks: x.",
        ),
        (
            turns(json!({"role": "user", "content": "b"})),
            "messages.1: `tool_use` ids were found without `tool_result` blocks",
        ),
        (turns(json!({"role": "assistant", "content": "b"})), "messages.2: `tool_use` ids were found without"),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}]}),
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (json!({"temperature": 1.5}), "temperature: Input should be less than or equal to 1"),
        (json!({"stop_sequences": [" "]}), "stop_sequences.0: each stop sequence must contain non-whitespace"),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 10}}),
            "thinking.budget_tokens: Input should be greater",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            "thinking.budget_tokens: `max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (tool(json!({"name": "f"})), "tools.0.input_schema: Field required"),
        (tool(json!({"name": "a b", "input_schema": {"type": "object"}})), "tools.0.name: String should match pattern"),
        (
            tool(json!({"type": "web_search_20250305", "name": "web_search"})),
            "tools.0.type: tools of type 'web_search_20250305'",
        ),
        (json!({"tool_choice": {"type": "tool", "name": "g"}}), "tool_choice: Tool 'g' not found in provided tools"),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice: 'any' needs at least one tool"),
        (json!({"mcp_servers": [{}]}), "mcp_servers: not supported here."),
        (json!({"frequency_penalty": 1}), "frequency_penalty: Extra inputs are not permitted"),
    ];
    for (more, message) in cases {
        let error = parse(request(&more).to_string().as_bytes()).expect_err(&more.to_string());
        assert!(error.message.starts_with(message), "{more}: {error}");
    }
    for body in ["", "[]", "{", "null"] {
        assert!(parse(body.as_bytes()).unwrap_err().message.starts_with("The request body"), "{body}");
    }
}

/// What a client wrote comes back in errors only up to a bound.
#[test]
fn errors_are_short() {
    let long = "x".repeat(100_000);
    for more in [
        json!({ long.clone(): 1 }),
        json!({"messages": [{"role": "user", "content": [{"type": long}]}]}),
        json!({"tools": [{"type": long}]}),
        json!({"tool_choice": {"type": "tool", "name": long}}),
    ] {
        let error = parse(request(&more).to_string().as_bytes()).unwrap_err();
        assert!(error.message.len() < 500 && error.param.is_none_or(|param| param.len() < 200));
    }
}

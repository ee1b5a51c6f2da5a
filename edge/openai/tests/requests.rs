//! What requests mean once they are read: defaults, forms that mean the same, and what is passed on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::{collections::BTreeMap, sync::Arc};

use cloudach_openai::chat::{self, CallForm, ChatRequest, Content, Message, ReasoningEffort, ServiceTier, ToolChoice};
use cloudach_openai::{Constraint, PromptInput, Sampling, StreamOptions, completions, embeddings};
use serde_json::{Value, json};

fn chat_with(more: Value) -> ChatRequest {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "some json"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    chat::parse(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn messages(messages: &Value) -> Vec<Message> {
    chat::parse(json!({"model": "m", "messages": messages}).to_string().as_bytes()).unwrap().messages
}

#[test]
fn a_plain_chat_has_openais_defaults() {
    let expected = ChatRequest {
        model: "m".into(),
        messages: vec![Message::User { content: Content::Text("some json".into()), name: None }],
        tools: Arc::default(),
        tool_choice: ToolChoice::None,
        parallel_tool_calls: true,
        call_form: CallForm::Tools,
        documents: None,
        sampling: Sampling::default(),
        n: 1,
        stream: None,
        logprobs: None,
        constraint: None,
        template_kwargs: serde_json::Map::new(),
        reasoning_effort: None,
        add_generation_prompt: true,
        continue_final_message: false,
        service_tier: ServiceTier::Default,
        user: None,
    };
    assert_eq!(chat_with(json!({})), expected);
}

#[test]
fn every_sampling_parameter_is_read() {
    let request = chat_with(json!({
        "max_tokens": 3, "max_completion_tokens": 7, "min_tokens": 2, "temperature": 0, "top_p": 0.5, "top_k": 40,
        "min_p": 0.25, "presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 1.5, "seed": -9,
        "stop": ["a", "b"], "stop_token_ids": [5], "include_stop_str_in_output": true, "ignore_eos": true,
        "logit_bias": {"50256": -100, "7": 0.5}, "skip_special_tokens": false, "priority": -1, "cache_salt": "s",
    }));
    let expected = Sampling {
        max_tokens: Some(7),
        min_tokens: Some(2),
        temperature: Some(0.0),
        top_p: Some(0.5),
        top_k: Some(40),
        min_p: Some(0.25),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(2.0),
        repetition_penalty: Some(1.5),
        seed: Some(-9),
        stop: vec!["a".into(), "b".into()],
        stop_token_ids: vec![5],
        include_stop: true,
        ignore_eos: true,
        logit_bias: BTreeMap::from([(7, 0.5), (50256, -100.0)]),
        skip_special_tokens: Some(false),
        priority: Some(-1),
        cache_salt: Some("s".into()),
    };
    assert_eq!(request.sampling, expected);
    assert_eq!(chat_with(json!({"stop": "x"})).sampling.stop, ["x"]);
    assert_eq!(chat_with(json!({"stop": []})).sampling.stop, [""; 0]);
    assert_eq!(chat_with(json!({"top_k": -1})).sampling.top_k, None);
    assert_eq!(chat_with(json!({"top_k": 0})).sampling.top_k, None);
    assert_eq!(chat_with(json!({"max_tokens": 3})).sampling.max_tokens, Some(3));
}

#[test]
fn streams_are_asked_for() {
    assert_eq!(chat_with(json!({"stream": false})).stream, None);
    assert_eq!(chat_with(json!({"stream": true})).stream, Some(StreamOptions::default()));
    let options = json!({"stream": true, "stream_options": {"include_usage": true, "include_obfuscation": true}});
    assert_eq!(chat_with(options).stream, Some(StreamOptions { include_usage: true, include_obfuscation: Some(true) }));
}

#[test]
fn logprobs_have_alternatives_only_when_asked() {
    assert_eq!(chat_with(json!({"logprobs": false, "top_logprobs": 0})).logprobs, None);
    assert_eq!(chat_with(json!({"logprobs": true})).logprobs, Some(0));
    assert_eq!(chat_with(json!({"logprobs": true, "top_logprobs": 20})).logprobs, Some(20));
}

#[test]
fn constraints_keep_the_clients_key_order() {
    let constraint = |more| chat_with(more).constraint;
    let format = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": schema}});
    assert_eq!(constraint(json!({"response_format": {"type": "text"}})), None);
    assert_eq!(constraint(json!({"response_format": {"type": "json_object"}})), Some(Constraint::JsonObject));
    let schema = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"integer"}}}"#;
    let parsed: Value = serde_json::from_str(schema).unwrap();
    let asked = [
        format(json!({"name": "r", "description": "d", "schema": parsed})),
        json!({"structured_outputs": {"json": parsed}}),
        json!({"structured_outputs": {"json": schema, "regex": null}}),
    ];
    for (asked, param) in asked.into_iter().zip(["response_format", "structured_outputs", "structured_outputs"]) {
        let Some(Constraint::JsonSchema(read)) = constraint(asked) else { panic!("no schema was read") };
        assert_eq!(read.schema.to_string(), schema);
        assert_eq!(read.refused("why").param.as_deref(), Some(param));
    }
    assert_eq!(constraint(json!({"structured_outputs": {"regex": "a+"}})), Some(Constraint::Regex("a+".into())));
    assert_eq!(
        constraint(json!({"structured_outputs": {"choice": ["y", "n"]}})),
        Some(Constraint::Choice(vec!["y".into(), "n".into()]))
    );
    assert_eq!(constraint(json!({"structured_outputs": {"grammar": "g"}})), Some(Constraint::Grammar("g".into())));
}

#[test]
fn tools_reach_the_template_as_they_came() {
    let tool = json!({"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}});
    let bare = json!({"type": "function", "function": {"name": "g", "description": null, "parameters": null, "strict": false}});
    let request = chat_with(json!({"tools": [tool, bare]}));
    assert_eq!(request.tool_choice, ToolChoice::Auto);
    let tools: Vec<String> = request.tools.iter().map(|tool| Value::from(tool.clone()).to_string()).collect();
    assert_eq!(tools, [tool.to_string(), r#"{"type":"function","function":{"name":"g"}}"#.to_owned()]);
    let kept_back = chat_with(json!({"tools": [bare], "tool_choice": "none"}));
    assert_eq!((kept_back.tool_choice, kept_back.tools), (ToolChoice::None, Arc::default()));
    assert_eq!(chat_with(json!({"tool_choice": "none"})).tool_choice, ToolChoice::None);
    assert!(!chat_with(json!({"tools": [bare], "parallel_tool_calls": false})).parallel_tool_calls);
}

#[test]
fn strict_schemas_that_keep_the_rules_pass() {
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}}},
        "$defs": {"b": {"type": "object", "properties": {}, "additionalProperties": false}}});
    let request = chat_with(json!({"tools": [{"type": "function",
        "function": {"name": "f", "strict": true, "parameters": schema}}]}));
    assert!(request.tools[0].strict);
}

#[test]
fn messages_reach_the_template_without_nulls_and_strangers() {
    let conversation = json!([
        {"role": "developer", "content": "rules", "name": "dev"},
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": {}}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [], "name": null},
        {"role": "assistant", "content": null, "refusal": null, "audio": null, "annotations": [], "function_call": null,
         "reasoning_content": "hm", "tool_calls": [
            {"id": "call-1", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{\"broken"}}]},
        {"role": "tool", "content": "ok", "tool_call_id": "call-1", "name": "f"},
        {"role": "assistant", "tool_calls": []},
        {"role": "assistant", "content": null, "refusal": "I can't"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "reasoning": "why"},
    ]);
    let expected = [
        r#"{"role":"developer","content":"rules","name":"dev"}"#,
        r#"{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
        r#"{"role":"user","content":[]}"#,
        r#"{"role":"assistant","content":null,"reasoning":"hm","tool_calls":[{"id":"call-1","type":"function","function":{"name":"f","arguments":"{\"broken"}}]}"#,
        r#"{"role":"tool","content":"ok","tool_call_id":"call-1","name":"f"}"#,
        r#"{"role":"assistant","content":null}"#,
        r#"{"role":"assistant","content":"I can't"}"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"no"}],"reasoning":"why"}"#,
    ];
    let read: Vec<String> =
        messages(&conversation).into_iter().map(|message| Value::from(message).to_string()).collect();
    assert_eq!(read, expected);
}

#[test]
fn what_changes_no_answer_is_passed_over() {
    let hints = json!({"store": true, "metadata": {"k": "v"}, "safety_identifier": "x", "prompt_cache_key": "k",
        "prompt_cache_retention": "24h", "prediction": {"type": "content", "content": "x"}, "modalities": ["text"],
        "prompt_cache_options": {"ttl": "30m"}, "moderation": {"model": "omni-moderation-latest"}, "verbosity": "medium", "include_reasoning": true, "use_beam_search": false, "echo": false});
    assert_eq!(chat_with(hints), chat_with(json!({})));
}

#[test]
fn the_rest_of_a_chat_is_read() {
    let request = chat_with(json!({"n": 128, "user": "u", "service_tier": "priority", "reasoning_effort": "xhigh",
        "chat_template_kwargs": {"enable_thinking": false}, "documents": [{"text": "d"}], "continue_final_message": true}));
    assert_eq!(request.n, 128);
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.service_tier, ServiceTier::Priority);
    assert_eq!(request.reasoning_effort, Some(ReasoningEffort::ExtraHigh));
    assert_eq!(request.template_kwargs["enable_thinking"], json!(false));
    assert_eq!(request.documents, Some(vec![json!({"text": "d"})]));
    assert_eq!((request.add_generation_prompt, request.continue_final_message), (false, true));
    assert!(!chat_with(json!({"add_generation_prompt": false})).add_generation_prompt);
    assert_eq!(chat_with(json!({"service_tier": "auto"})).service_tier, ServiceTier::Default);
}

#[test]
fn prompts_come_in_four_forms() {
    let read =
        |prompt: Value| completions::parse(json!({"model": "m", "prompt": prompt}).to_string().as_bytes()).unwrap();
    let text = |text: &str| PromptInput::Text(text.into());
    assert_eq!(read(json!("a")).prompts, [text("a")]);
    assert_eq!(read(json!(["a", ""])).prompts, [text("a"), text("")]);
    assert_eq!(read(json!([1, 2])).prompts, [PromptInput::Tokens(vec![1, 2])]);
    assert_eq!(read(json!([[1], [2, 3]])).prompts, [PromptInput::Tokens(vec![1]), PromptInput::Tokens(vec![2, 3])]);
}

#[test]
fn a_plain_completion_has_openais_defaults() {
    let request = completions::parse(br#"{"model":"m","prompt":["a","b"],"n":3,"best_of":3,"suffix":""}"#).unwrap();
    assert_eq!(request.sampling, Sampling { max_tokens: Some(16), ..Sampling::default() });
    assert_eq!(request.choices(), 6);
    assert!(request.add_special_tokens);
    assert_eq!((request.best_of, request.candidates()), (3, 6));
    assert_eq!((request.echo, request.logprobs, request.stream), (completions::Echo::No, None, None));
}

#[test]
fn embeddings_are_read() {
    let body = br#"{"model":"m","input":[[5],[6,7]],"encoding_format":"base64","dimensions":256,"user":"u"}"#;
    let request = embeddings::parse(body).unwrap();
    assert_eq!(request.inputs, [PromptInput::Tokens(vec![5]), PromptInput::Tokens(vec![6, 7])]);
    assert_eq!((request.encoding, request.dimensions), (embeddings::Encoding::Base64, Some(256)));
    let plain = embeddings::parse(br#"{"model":"m","input":"x"}"#).unwrap();
    assert_eq!((plain.encoding, plain.dimensions), (embeddings::Encoding::Float, None));
}

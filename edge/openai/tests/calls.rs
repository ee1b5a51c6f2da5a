//! Calls of tools in answers, to the letter: as they go over the wire, streamed and whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::{CallPiece, FinishReason, Head, Piece, TokenLogprob, Usage, chat};
use serde_json::{Value, json};

const DEFAULTS: chat::Defaults =
    chat::Defaults { obfuscation: false, reasoning: chat::ReasoningField::ReasoningContent };

/// What happens to one choice.
#[derive(Clone, Copy)]
enum Step {
    Text(&'static str),
    Begin(&'static str, &'static str),
    Arguments(&'static str),
    Finish(FinishReason),
}
use Step::{Arguments, Begin, Finish, Text};

fn tools() -> Value {
    json!({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}]})
}

fn functions() -> Value {
    json!({"functions": [{"name": "f"}]})
}

fn with(mut one: Value, other: &Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

fn reply(more: &Value) -> chat::Reply {
    let body = with(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), more);
    let head = Head { id: "id".into(), created: 1, model: "m".into(), seed: 3 };
    chat::Reply::new(&head, &chat::parse(body.to_string().as_bytes()).unwrap(), DEFAULTS)
}

fn take(reply: &mut chat::Reply, choice: u32, step: Step, out: &mut Vec<u8>) {
    match step {
        Text(text) => reply.push(choice, &Piece { text, logprobs: &[] }, out),
        Begin(id, name) => reply.call(choice, &CallPiece::Begin { id, name }, out),
        Arguments(text) => reply.call(choice, &CallPiece::Arguments(text), out),
        Finish(reason) => reply.finish_choice(choice, reason, out),
    }
}

/// Deltas and finish reasons of a streamed answer, as they were written.
fn streamed(more: &Value, steps: &[Step]) -> Vec<String> {
    let mut reply = reply(&with(json!({"stream": true}), more));
    let mut out = Vec::new();
    reply.opening(&mut out);
    for step in steps {
        take(&mut reply, 0, *step, &mut out);
    }
    assert!(reply.is_finished());
    reply.close(&Usage::default(), &mut out);
    let out = String::from_utf8(out).unwrap();
    let events = out.strip_suffix("data: [DONE]\n\n").unwrap().split_terminator("\n\n");
    events
        .map(|event| {
            let choice = event.split_once("\"choices\":[{\"index\":0,\"delta\":").unwrap().1;
            let (delta, reason) =
                choice.strip_suffix("}]}").unwrap().split_once(",\"logprobs\":null,\"finish_reason\":").unwrap();
            if reason == "null" { delta.to_owned() } else { format!("{delta} {reason}") }
        })
        .collect()
}

/// The one choice of a whole answer, as it was written.
fn whole(more: &Value, steps: &[Step]) -> String {
    let mut reply = reply(more);
    let mut out = Vec::new();
    reply.opening(&mut out);
    for step in steps {
        take(&mut reply, 0, *step, &mut out);
    }
    assert!(out.is_empty());
    let body = String::from_utf8(reply.into_body(&Usage::default())).unwrap();
    let choice =
        body.split_once("\"choices\":[{\"index\":0,\"message\":").unwrap().1.split_once("],\"usage\":").unwrap().0;
    choice.to_owned()
}

const FIRST: &str = r#"{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}],"refusal":null}"#;
const ROLE: &str = r#"{"role":"assistant","content":"","refusal":null}"#;

#[test]
fn the_first_call_brings_the_role() {
    let steps =
        [Begin("call_a", "f"), Arguments("{\"x\":"), Arguments(""), Arguments("\"é\"}"), Finish(FinishReason::Stop)];
    assert_eq!(
        streamed(&tools(), &steps),
        [
            FIRST,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"é\"}"}}]}"#,
            r#"{} "tool_calls""#,
        ]
    );
    assert_eq!(
        whole(&tools(), &steps),
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"x\":\"é\"}"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"}"#
    );
}

#[test]
fn calls_are_counted_and_text_comes_before_them() {
    let steps = [
        Text("Let me see."),
        Begin("call_a", "f"),
        Begin("call_b", "g"),
        Arguments("{}"),
        Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(
        streamed(&tools(), &steps),
        [
            ROLE,
            r#"{"content":"Let me see."}"#,
            r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"g","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}"#,
            r#"{} "tool_calls""#,
        ]
    );
    assert_eq!(
        whole(&tools(), &steps),
        r#"{"role":"assistant","content":"Let me see.","tool_calls":[{"id":"call_a","type":"function","function":{"name":"f","arguments":""}},{"id":"call_b","type":"function","function":{"name":"g","arguments":"{}"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"}"#
    );
}

#[test]
fn the_older_form_has_room_for_one_call() {
    let steps = [
        Begin("call_a", "f"),
        Arguments("{\"x\":"),
        Arguments("1}"),
        Begin("call_b", "f"),
        Arguments("{}"),
        Finish(FinishReason::Stop),
    ];
    assert_eq!(
        streamed(&functions(), &steps),
        [
            r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":""},"refusal":null}"#,
            r#"{"function_call":{"arguments":"{\"x\":"}}"#,
            r#"{"function_call":{"arguments":"1}"}}"#,
            r#"{} "function_call""#,
        ]
    );
    assert_eq!(
        whole(&functions(), &steps),
        r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"},"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"function_call"}"#
    );
}

#[test]
fn finish_reasons_follow_from_the_calls() {
    use FinishReason::{ContentFilter, FunctionCall, Length, Stop, ToolCalls};
    let auto = tools();
    let required = with(tools(), &json!({"tool_choice": "required"}));
    let named = with(tools(), &json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}));
    let named_function = with(functions(), &json!({"function_call": {"name": "f"}}));
    let (calls, text) = (&[Begin("call_a", "f"), Arguments("{")][..], &[Text("hm")][..]);
    let cases: [(&Value, &[Step], FinishReason, &str); 16] = [
        (&auto, calls, Stop, "tool_calls"),
        (&auto, calls, ToolCalls, "tool_calls"),
        (&auto, calls, Length, "length"),
        (&auto, calls, ContentFilter, "content_filter"),
        (&auto, text, Stop, "stop"),
        (&auto, text, ToolCalls, "stop"),
        (&auto, &[], ToolCalls, "stop"),
        (&auto, text, Length, "length"),
        (&required, calls, Stop, "tool_calls"),
        (&named, calls, Stop, "stop"),
        (&named, calls, ToolCalls, "stop"),
        (&named, calls, Length, "length"),
        (&functions(), calls, Stop, "function_call"),
        (&functions(), calls, Length, "length"),
        (&functions(), text, FunctionCall, "stop"),
        (&named_function, calls, Stop, "function_call"),
    ];
    for (more, steps, reason, expected) in cases {
        let steps: Vec<Step> = steps.iter().copied().chain([Finish(reason)]).collect();
        let ending = format!("{{}} \"{expected}\"");
        assert_eq!(streamed(more, &steps).last(), Some(&ending), "{more} {reason:?}");
        assert!(whole(more, &steps).ends_with(&format!("\"finish_reason\":\"{expected}\"}}")), "{more} {reason:?}");
    }
}

#[test]
fn without_calls_there_is_no_word_of_them() {
    let steps = [Text("hi"), Finish(FinishReason::Stop)];
    for more in [tools(), functions(), json!({})] {
        assert_eq!(streamed(&more, &steps), [ROLE, r#"{"content":"hi"}"#, r#"{} "stop""#]);
        assert_eq!(
            whole(&more, &steps),
            r#"{"role":"assistant","content":"hi","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}"#
        );
        let nothing = [Finish(FinishReason::Stop)];
        assert_eq!(streamed(&more, &nothing), [ROLE, r#"{} "stop""#]);
        assert!(whole(&more, &nothing).contains("\"content\":\"\""));
    }
}

#[test]
fn what_comes_out_of_turn_is_dropped() {
    let steps = [
        Arguments("early"),
        Text("hi"),
        Arguments("early"),
        Finish(FinishReason::Stop),
        Begin("call_a", "f"),
        Arguments("late"),
    ];
    assert_eq!(streamed(&tools(), &steps), [ROLE, r#"{"content":"hi"}"#, r#"{} "stop""#]);
    assert!(!whole(&tools(), &steps).contains("tool_calls"));
    let mut out = Vec::new();
    reply(&with(tools(), &json!({"stream": true}))).call(1, &CallPiece::Begin { id: "a", name: "f" }, &mut out);
    assert!(out.is_empty());
}

#[test]
fn only_requests_that_may_call_wait_with_the_role() {
    let opening = |more: &Value| {
        let mut out = Vec::new();
        reply(&with(json!({"stream": true, "n": 2}), more)).opening(&mut out);
        String::from_utf8(out).unwrap().matches("\"role\"").count()
    };
    assert_eq!(opening(&json!({})), 2);
    assert_eq!(opening(&tools()), 0);
    assert_eq!(opening(&functions()), 0);
    assert_eq!(opening(&with(tools(), &json!({"tool_choice": "none"}))), 2);
    assert_eq!(opening(&with(functions(), &json!({"function_call": "none"}))), 2);
}

#[test]
fn calls_have_no_logprobs_and_leave_those_of_the_text() {
    let tokens = [TokenLogprob { token: "a".into(), logprob: -1.0, ..TokenLogprob::default() }];
    for (text, expected) in [("", "\"logprobs\":null"), ("a", "\"logprobs\":{\"content\":[{\"token\":\"a\"")] {
        let mut reply = reply(&with(tools(), &json!({"logprobs": true})));
        let mut out = Vec::new();
        if !text.is_empty() {
            reply.push(0, &Piece { text, logprobs: &tokens }, &mut out);
        }
        reply.call(0, &CallPiece::Begin { id: "call_a", name: "f" }, &mut out);
        reply.finish_choice(0, FinishReason::Stop, &mut out);
        let body = String::from_utf8(reply.into_body(&Usage::default())).unwrap();
        assert!(body.contains(expected), "{body}");
    }
}

#[test]
fn choices_count_their_own_calls() {
    let mut reply = reply(&with(tools(), &json!({"n": 2})));
    let mut out = Vec::new();
    let steps = [
        (0, Begin("call_a", "f")),
        (1, Begin("call_b", "g")),
        (0, Arguments("{}")),
        (1, Arguments("[]")),
        (0, Begin("call_c", "g")),
        (0, Finish(FinishReason::Stop)),
        (1, Finish(FinishReason::Length)),
    ];
    for (choice, step) in steps {
        take(&mut reply, choice, step, &mut out);
    }
    let body: Value = serde_json::from_slice(&reply.into_body(&Usage::default())).unwrap();
    let call = |choice: usize, call: usize| {
        let call = &body["choices"][choice]["message"]["tool_calls"][call];
        (call["id"].as_str(), call["function"]["name"].as_str(), call["function"]["arguments"].as_str())
    };
    assert_eq!(call(0, 0), (Some("call_a"), Some("f"), Some("{}")));
    assert_eq!(call(0, 1), (Some("call_c"), Some("g"), Some("")));
    assert_eq!(call(1, 0), (Some("call_b"), Some("g"), Some("[]")));
    assert_eq!(body["choices"][1]["finish_reason"], "length");
}

/// Which choice each chunk of a stream is about, and how it ends there.
fn order(more: &Value, steps: &[(u32, Step)]) -> Vec<(u64, Option<String>)> {
    let mut reply = reply(&with(json!({"stream": true, "n": 2}), more));
    let mut out = Vec::new();
    reply.opening(&mut out);
    for (choice, step) in steps {
        take(&mut reply, *choice, *step, &mut out);
    }
    let out = String::from_utf8(out).unwrap();
    let chunks = out.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    let choices = chunks.map(|chunk| serde_json::from_str::<Value>(chunk).unwrap()["choices"][0].clone());
    choices
        .map(|choice| (choice["index"].as_u64().unwrap(), choice["finish_reason"].as_str().map(str::to_owned)))
        .collect()
}

/// openai-python files choices in the order in which it first sees them.
#[test]
fn a_choice_waits_until_those_before_it_have_begun() {
    let steps = [(1, Begin("call_b", "g")), (1, Arguments("{")), (1, Arguments("}")), (1, Finish(FinishReason::Stop))];
    assert_eq!(order(&tools(), &steps), [], "nothing is known of the first choice");
    let later = [(0, Text("a")), (0, Finish(FinishReason::Length))];
    let seen = order(&tools(), &[&steps[..], &later[..]].concat());
    let indexes: Vec<u64> = seen.iter().map(|(index, _)| *index).collect();
    // Role and text; the call, its arguments in one piece; the ends.
    assert_eq!(indexes, [0, 0, 1, 1, 0, 1]);
    let ends: Vec<Option<&str>> = seen.iter().map(|(_, end)| end.as_deref()).collect();
    assert_eq!(ends[4..], [Some("length"), Some("tool_calls")]);
}

/// As in all recordings of several choices.
#[test]
fn the_ends_of_all_choices_come_last() {
    let steps = [(0, Text("a")), (0, Finish(FinishReason::Stop)), (1, Text("b")), (1, Finish(FinishReason::Length))];
    let seen = order(&json!({}), &steps);
    let ends: Vec<Option<&str>> = seen.iter().map(|(_, end)| end.as_deref()).collect();
    assert_eq!(ends, [None, None, None, None, Some("stop"), Some("length")]);
}

/// Checklist C20: never within the content, absent without any, and the role comes first as ever.
#[test]
fn reasoning_has_a_field_of_its_own() {
    let fields = [
        (chat::ReasoningField::ReasoningContent, r#""reasoning_content":"hm""#),
        (chat::ReasoningField::Reasoning, r#""reasoning":"hm""#),
        (chat::ReasoningField::Both, r#""reasoning_content":"hm","reasoning":"hm""#),
    ];
    for (reasoning, expected) in fields {
        for stream in [true, false] {
            let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream});
            let request = chat::parse(body.to_string().as_bytes()).unwrap();
            let head = Head { id: "id".into(), created: 1, model: "m".into(), seed: 3 };
            let mut reply = chat::Reply::new(&head, &request, chat::Defaults { obfuscation: false, reasoning });
            let mut out = Vec::new();
            reply.opening(&mut out);
            reply.reasoning(0, "hm", &mut out);
            reply.push(0, &Piece { text: "yes", logprobs: &[] }, &mut out);
            reply.finish_choice(0, FinishReason::Stop, &mut out);
            reply.close(&Usage::default(), &mut out);
            let out = String::from_utf8(out).unwrap();
            let within =
                if stream { format!(r#""delta":{{{expected}}}"#) } else { format!(r#""content":"yes",{expected},"#) };
            assert!(out.contains(&within), "{out}");
        }
    }
}

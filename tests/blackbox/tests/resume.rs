//! A replica that dies in the middle of an answer, at every token of it: what the client sees is what it would have seen
//! without, streamed and whole. Checklist C02, C03, C22; law 3 of the architecture.

#![expect(clippy::print_stdout, reason = "says what was compared")]

use std::{thread, time::Duration};

use cloudach_blackbox::{Client, Fleet, Link, Plan, Replica, chat, eventually, with};
use cloudach_fake_engine::{Answer, Break, Fault, FaultRule, Script};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// Whole answers are broken at one token in so many: they are the same answer, asked once at its end.
const WHOLE: u32 = 9;

/// Two replicas of a model that calls in its own notation, of which so many may be lost under a request, less one.
fn fleet(script: &Script, losses: u32) -> Fleet {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(script.clone()), Replica::fake(script.clone())],
        models: json!({ "fake-model": { "tool_format": "hermes" } }),
        router: json!({ "relay": { "losses": losses } }),
        ..Plan::default()
    })
}

/// The next requests die after so many tokens: the first one after the first number, and so on.
fn strike(fleet: &Fleet, script: &Script, at: &[u32]) {
    let rule = |&at: &u32| FaultRule::from(Fault::After(at, Break::Reset)).times(1);
    let script = at.iter().map(rule).fold(script.clone(), Script::fault);
    fleet.engines.iter().for_each(|engine| engine.set_script(script.clone()));
}

/// What a client is told, put together: of a stream it does not matter in which pieces it came.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    choices: Vec<Choice>,
    usage: Value,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Choice {
    text: String,
    /// Names and arguments; the ids are drawn.
    calls: Vec<(String, String)>,
    logprobs: Vec<Value>,
    finish_reason: Value,
}

/// What a replica had cached is its own affair.
fn usage(usage: &Value) -> Value {
    with(usage.clone(), json!({ "prompt_tokens_details": { "cached_tokens": null } }))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Choice {
    fn note_logprobs(&mut self, logprobs: &Value) {
        match &logprobs["content"] {
            Value::Array(entries) => self.logprobs.extend(entries.iter().cloned()),
            // Of old: lists beside one another.
            _ => {
                for (token, logprob) in logprobs["tokens"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .zip(logprobs["token_logprobs"].as_array().into_iter().flatten())
                {
                    self.logprobs.push(json!([token, logprob]));
                }
            }
        }
    }
}

fn whole(client: &Client, path: &str, request: &Value) -> Seen {
    let answer = client.post(path, request);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let body = answer.json();
    let choice = |choice: &Value| {
        let message = &choice["message"];
        let call = |call: &Value| (text(&call["function"]["name"]).into(), text(&call["function"]["arguments"]).into());
        let mut seen = Choice {
            text: text(&message["content"]).to_owned() + text(&choice["text"]),
            calls: message["tool_calls"].as_array().into_iter().flatten().map(call).collect(),
            finish_reason: choice["finish_reason"].clone(),
            logprobs: Vec::new(),
        };
        seen.note_logprobs(&choice["logprobs"]);
        seen
    };
    Seen {
        choices: body["choices"].as_array().into_iter().flatten().map(choice).collect(),
        usage: usage(&body["usage"]),
    }
}

/// Also checks the order of a stream: one id, one role for each choice, first; one reason, last; then the usage.
fn streamed(client: &Client, path: &str, request: &Value) -> Seen {
    let stream = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let chunks = client.stream(path, &with(request.clone(), stream)).chunks();
    let mut seen = Seen::default();
    for (at, chunk) in chunks.iter().enumerate() {
        assert!(chunk.get("error").is_none(), "{chunk}");
        assert_eq!(chunk["id"], chunks[0]["id"]);
        if chunk["usage"].is_object() {
            assert_eq!(at + 1, chunks.len(), "usage is told once, at the end");
            seen.usage = usage(&chunk["usage"]);
        }
        for delta in chunk["choices"].as_array().into_iter().flatten() {
            let number = usize::try_from(delta["index"].as_u64().expect("a choice has a number")).expect("it is small");
            let new = number >= seen.choices.len();
            if new {
                seen.choices.resize(number + 1, Choice::default());
            }
            let choice = &mut seen.choices[number];
            assert!(choice.finish_reason.is_null(), "nothing follows the reason: {chunk}");
            let message = &delta["delta"];
            if path == CHAT {
                let begins = choice.text.is_empty() && choice.calls.is_empty();
                assert!(message.get("role").is_none() || begins, "one role, first: {chunk}");
            }
            choice.text += text(&message["content"]);
            choice.text += text(&delta["text"]);
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                if call.get("id").is_some() {
                    choice.calls.push((text(&call["function"]["name"]).to_owned(), String::new()));
                }
                choice.calls.last_mut().expect("a call begins with its id").1 += text(&call["function"]["arguments"]);
            }
            choice.note_logprobs(&delta["logprobs"]);
            choice.finish_reason = delta["finish_reason"].clone();
        }
    }
    assert!(seen.choices.iter().all(|choice| choice.finish_reason.is_string()), "each choice ends: {seen:?}");
    seen
}

/// Kills the replica at every token of the answer, and compares.
fn every_token(name: &str, script: &Script, path: &str, request: &Value, tokens: u32) {
    let fleet = fleet(script, 2);
    let client = fleet.client();
    let undisturbed = streamed(&client, path, request);
    assert_eq!(whole(&client, path, request), undisturbed, "streamed as whole");
    let strike = |at: u32| strike(&fleet, script, &[at]);
    let moved = || -> f64 {
        let count = |name| fleet.routers[0].metric(name).unwrap_or_default();
        count("cloudach_router_resumptions_total") + count("cloudach_router_retries_total")
    };
    let mut broken = 0.0;
    for at in 0..tokens {
        strike(at);
        assert_eq!(streamed(&client, path, request), undisturbed, "{name} streamed, broken at token {at}");
        broken += 1.0;
        if at.is_multiple_of(WHOLE) {
            strike(at);
            assert_eq!(whole(&client, path, request), undisturbed, "{name} whole, broken at token {at}");
            broken += 1.0;
        }
        assert!((moved() - broken).abs() < 0.5, "{name}: it was broken at token {at}, once");
    }
    println!("{name}: broken {broken} times, seen never");
    fleet.assert_well();
}

fn tools() -> Value {
    json!([{ "type": "function", "function": { "name": "get_weather", "parameters": {
        "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "array", "items": {
            "type": "string" } } }, "required": ["city", "days"] } } }])
}

#[test]
fn plain_text_survives_at_every_token() {
    for (name, script) in [("plain, vLLM", Script::vllm()), ("plain, llama.cpp", Script::llama_cpp())] {
        every_token(name, &script, CHAT, &chat("[[tokens=200]]"), 200);
    }
}

#[test]
fn a_completion_of_old_survives_at_every_token() {
    let request = json!({ "model": "fake-model", "prompt": "[[tokens=60]]", "max_tokens": 50, "logprobs": 2 });
    every_token("completion", &Script::vllm(), COMPLETIONS, &request, 50);
}

#[test]
fn characters_in_parts_survive_with_their_log_probabilities() {
    let said = "a naïve 日本語 crab 🦀, and 👩‍👩‍👧‍👦 too".repeat(3);
    let request = with(chat("What?"), json!({ "logprobs": true, "top_logprobs": 2 }));
    let tokens = u32::try_from(said.len()).expect("it is short");
    // What the script says its tokenizer knows.
    let script = Script { answer: Answer::cut(&said, 1), ..Script::vllm() };
    every_token("characters, vLLM", &script, CHAT, &request, tokens);
}

/// The second replica generates the first part of a character again, and what the third one is told holds it once: tokens
/// that come one by one, and several together.
#[test]
fn characters_in_parts_survive_two_deaths() {
    let said = "é日本🦀 and 👩‍👩‍👧";
    let tokens = u32::try_from(said.len()).expect("it is short");
    let request = with(chat("What?"), json!({ "logprobs": true, "max_tokens": tokens - 1 }));
    for burst in [1, 3] {
        let script = Script { answer: Answer::cut(said, 1), burst, ..Script::vllm() };
        let fleet = fleet(&script, 3);
        let client = fleet.client();
        let undisturbed = streamed(&client, CHAT, &request);
        for first in 0..tokens {
            for second in first + 1..first + 5 {
                strike(&fleet, &script, &[first, second]);
                let seen = streamed(&client, CHAT, &request);
                assert_eq!(seen, undisturbed, "broken at {first} and {second}, {burst} at a time");
            }
            // What nobody looks at is told in few pieces.
            strike(&fleet, &script, &[first, first + 2]);
            assert_eq!(whole(&client, CHAT, &request), undisturbed, "whole, from {first} on, {burst} at a time");
        }
        fleet.assert_well();
    }
}

/// What the edge has of an answer is what its router has, also where that one has moved it: another router goes on with it.
#[test]
fn characters_in_parts_survive_a_replica_and_then_a_router() {
    // From the first character on: before it the prompt would be read again, and what it says of faults too.
    const FIRST: u32 = 2;
    const STREAMS: u32 = 12;
    let script = Script { answer: Answer::cut(&"é日本🦀 and 👩‍👩‍👧 ".repeat(3), 1), ..Script::vllm() };
    let mut fleet = Fleet::start(Plan {
        routers: 2,
        replicas: vec![Replica::fake(script.clone()), Replica::fake(script)],
        link: Link::Tcp,
        ..Plan::default()
    });
    let client = fleet.client();
    let seen = |client: &Client, prompt: &str| {
        let seen = streamed(client, CHAT, &chat(prompt));
        (seen.choices, seen.usage["completion_tokens"].clone())
    };
    let undisturbed = seen(&client, "What?");
    let streams: Vec<_> = (FIRST..FIRST + STREAMS)
        .map(|at| {
            let client = client.clone();
            // What begins alike goes to one router.
            thread::spawn(move || seen(&client, &format!("{at} [[delay=30ms]][[fault:die_after={at}]]")))
        })
        .collect();
    let figure = |fleet: &Fleet, router: usize, name: &str| fleet.routers[router].metric(name).unwrap_or_default();
    eventually(Duration::from_secs(10), "all of them have moved", || {
        let names = ["cloudach_router_resumptions_total", "cloudach_router_retries_total"];
        let moved: f64 = (0..2).flat_map(|router| names.map(|name| figure(&fleet, router, name))).sum();
        moved >= f64::from(STREAMS)
    });
    let open = |router| figure(&fleet, router, "cloudach_router_requests_open");
    let busier = usize::from(open(1) > open(0));
    assert!(open(busier) >= 3.0, "they are under way");
    fleet.routers[busier].kill();
    for (at, stream) in (FIRST..).zip(streams) {
        assert_eq!(stream.join().expect("it is read"), undisturbed, "broken at token {at} first");
    }
    fleet.restart_router(busier);
}

/// What is written again under its schema is held against tokens that the caller has once.
#[test]
fn a_schema_survives_two_deaths() {
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "one", "strict": true,
        "schema": { "type": "object", "properties": { "word": { "type": "string", "enum": ["日本🦀"] } },
            "required": ["word"], "additionalProperties": false } } }, "seed": 7 });
    let request = with(chat("[[cut=1]]"), format);
    let script = Script::vllm();
    let fleet = fleet(&script, 3);
    let client = fleet.client();
    let undisturbed = streamed(&client, CHAT, &request);
    assert!(undisturbed.choices[0].text.contains("日本🦀"), "{undisturbed:?}");
    for first in 0..20 {
        for second in first + 1..first + 5 {
            strike(&fleet, &script, &[first, second]);
            assert_eq!(streamed(&client, CHAT, &request), undisturbed, "broken at {first} and {second}");
        }
    }
    fleet.assert_well();
}

#[test]
fn a_call_in_the_models_own_notation_survives_at_every_token() {
    let days = (0..35).map(|day| format!("\"day {day}\"")).collect::<Vec<_>>().join(", ");
    let said = format!(
        r#"I look.<tool_call>{{"name": "get_weather", "arguments": {{"city": "Zürich", "days": [{days}]}}}}</tool_call>"#
    );
    let request = with(chat(&format!("[[say:{said}]][[cut=2]]")), json!({ "tools": tools() }));
    let tokens = u32::try_from(said.len() / 2).expect("it is short");
    every_token("call", &Script::vllm(), CHAT, &request, tokens);
}

#[test]
fn a_forced_call_survives_at_every_token() {
    let forced = json!({ "tools": tools(), "tool_choice": "required" });
    for (name, script) in [("forced call, vLLM", Script::vllm()), ("forced call, llama.cpp", Script::llama_cpp())] {
        every_token(name, &script, CHAT, &with(chat("[[items=20]][[cut=3]]"), forced.clone()), 40);
    }
}

#[test]
fn a_schema_survives_at_every_token() {
    let format = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "list", "strict": true,
        "schema": { "type": "object", "properties": { "words": { "type": "array", "items": { "type": "string" } } },
            "required": ["words"], "additionalProperties": false } } }, "logprobs": true, "seed": 7 });
    every_token("schema", &Script::vllm(), CHAT, &with(chat("[[items=150]][[cut=2]]"), format), 200);
}

#[test]
fn each_of_three_choices_survives_at_every_token() {
    every_token("n=3", &Script::vllm(), CHAT, &with(chat("[[tokens=200]]"), json!({ "n": 3, "logprobs": true })), 200);
}

#[test]
fn stop_strings_survive_at_every_token() {
    let said = format!("{}END four", "one two three E N EN ".repeat(10));
    let request = with(chat(&format!("[[say:{said}]][[cut=1]]")), json!({ "stop": ["ND f", "xyz"] }));
    // The token that completes the stop string is the last one.
    let tokens = u32::try_from(said.find("ND f").map_or(0, |at| at + 3)).expect("it is short");
    for (name, script) in [("stop, vLLM", Script::vllm()), ("stop, llama.cpp", Script::llama_cpp())] {
        every_token(name, &script, CHAT, &request, tokens);
    }
}

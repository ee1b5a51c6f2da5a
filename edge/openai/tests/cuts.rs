//! However an answer is cut into pieces, its deltas make up the whole answer, and nothing is said twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::collections::BTreeMap;

use cloudach_openai::{CallPiece, FinishReason, Head, Piece, Usage, chat};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A part of an answer.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Call { name: String, arguments: String },
}

/// What a client has put together from one choice.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    content: Option<String>,
    calls: Vec<(String, String, String)>,
    reason: Option<String>,
}

/// Texts that are hard to cut and to quote.
fn text() -> impl Strategy<Value = String> {
    const HARD: &[&str] = &[
        "👩‍👩‍👧",
        "🇩🇪",
        "漢字",
        "한",
        "e\u{301}",
        "ß",
        "\"",
        "\\",
        "\\u0041",
        "\n",
        "\r\n",
        "\t",
        "\u{0}",
        "\u{1b}",
        "\u{7f}",
        "\u{2028}",
        "\u{fffd}",
        "\u{10ffff}",
        "{",
        "}",
        "data: ",
        "[DONE]",
        "\n\n",
        "null",
        " ",
        "a",
    ];
    prop::collection::vec(prop_oneof![4 => prop::sample::select(HARD).prop_map(str::to_owned), 1 => ".{0,3}"], 0..10)
        .prop_map(|pieces| pieces.concat())
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        text().prop_map(Part::Text),
        (text(), text()).prop_map(|(name, arguments)| Part::Call { name, arguments })
    ]
}

/// Where texts are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Nowhere,
    /// Before the character that begins at this byte of the answer.
    At(usize),
    Everywhere,
}

impl Cut {
    /// The pieces of a text that begins at byte `start` of the answer.
    fn pieces(self, text: &str, start: usize) -> Vec<&str> {
        match self {
            Self::Nowhere => vec![text],
            Self::At(place) => match place.checked_sub(start).and_then(|place| text.split_at_checked(place)) {
                Some((head, tail)) => vec![head, tail],
                None => vec![text],
            },
            Self::Everywhere => {
                text.char_indices().map(|(at, character)| &text[at..at + character.len_utf8()]).collect()
            }
        }
    }
}

/// All cuts of an answer: none, every one alone, and all at once.
fn cuts(parts: &[Part]) -> Vec<Cut> {
    let all: String = parts.iter().map(cut_text).collect();
    let single = all.char_indices().map(|(at, _)| Cut::At(at));
    [Cut::Nowhere, Cut::Everywhere].into_iter().chain(single).collect()
}

fn cut_text(part: &Part) -> &str {
    match part {
        Part::Text(text) => text,
        Part::Call { arguments, .. } => arguments,
    }
}

fn written(parts: &[Part], cut: Cut, stream: bool, legacy: bool) -> Vec<u8> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream});
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    if legacy {
        body["functions"] = json!([{"name": "f"}]);
    } else {
        body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    }
    let head = Head { id: "id".into(), created: 1, model: "m".into(), seed: 3 };
    let request = chat::parse(body.to_string().as_bytes()).unwrap();
    let mut reply = chat::Reply::new(
        &head,
        &request,
        chat::Defaults { obfuscation: true, reasoning: chat::ReasoningField::ReasoningContent },
    );
    let mut out = Vec::new();
    reply.opening(&mut out);
    let mut start = 0;
    for (position, part) in parts.iter().enumerate() {
        let pieces = cut.pieces(cut_text(part), start);
        start += cut_text(part).len();
        if let Part::Call { name, .. } = part {
            reply.call(0, &CallPiece::Begin { id: &format!("call_{position}"), name }, &mut out);
        }
        for piece in pieces {
            match part {
                Part::Text(_) => reply.push(0, &Piece { text: piece, logprobs: &[] }, &mut out),
                Part::Call { .. } => reply.call(0, &CallPiece::Arguments(piece), &mut out),
            }
        }
    }
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    reply.close(&Usage::default(), &mut out);
    out
}

fn call_of(call: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&call["id"]), text(&call["function"]["name"]), text(&call["function"]["arguments"]))
}

fn whole_answer(body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap();
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut calls: Vec<_> = message["tool_calls"].as_array().into_iter().flatten().map(call_of).collect();
    if let Some(function) = message.get("function_call") {
        calls.push(call_of(&json!({"id": "", "function": function})));
    }
    assert!(message.get("tool_calls").is_none_or(|calls| !calls.as_array().unwrap().is_empty()));
    Answer {
        content: message["content"].as_str().map(str::to_owned),
        calls,
        reason: choice["finish_reason"].as_str().map(str::to_owned),
    }
}

/// Puts a stream together as strictly as the strictest client, and counts what may come once only.
fn streamed_answer(out: &[u8]) -> Answer {
    let out = std::str::from_utf8(out).unwrap();
    let events: Vec<&str> = out.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let (usage, chunks) = chunks.split_last().unwrap();
    assert!(usage["choices"].as_array().unwrap().is_empty() && usage["usage"].is_object());
    let mut answer = Answer::default();
    let mut calls = BTreeMap::<u64, (String, String, String)>::new();
    for (position, chunk) in chunks.iter().enumerate() {
        assert!(chunk["usage"].is_null() && chunk.get("usage").is_some());
        let choice = &chunk["choices"][0];
        let delta = choice["delta"].as_object().unwrap();
        assert_eq!(delta.contains_key("role"), position == 0, "one role, in the first chunk");
        assert!(answer.reason.is_none(), "nothing follows the finish");
        if let Some(text) = delta.get("content").and_then(Value::as_str) {
            answer.content.get_or_insert_default().push_str(text);
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let index = call["index"].as_u64().unwrap();
            if call.get("id").is_some() {
                assert_eq!(index, u64::try_from(calls.len()).unwrap(), "calls are counted");
                assert_eq!(call["type"], "function");
                calls.insert(index, call_of(call));
            } else {
                assert_eq!(index + 1, u64::try_from(calls.len()).unwrap(), "calls do not interleave");
                assert_eq!(call.as_object().unwrap().len(), 2);
                calls.get_mut(&index).unwrap().2.push_str(call["function"]["arguments"].as_str().unwrap());
            }
        }
        if let Some(function) = delta.get("function_call") {
            if function.get("name").is_some() {
                assert!(calls.is_empty());
                calls.insert(0, call_of(&json!({"id": "", "function": function})));
            } else {
                calls.get_mut(&0).unwrap().2.push_str(function["arguments"].as_str().unwrap());
            }
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert!(delta.is_empty());
            answer.reason = Some(reason.to_owned());
        }
    }
    answer.calls = calls.into_values().collect();
    answer
}

fn expected(parts: &[Part], legacy: bool) -> Answer {
    let content: String = parts.iter().map(|part| if let Part::Text(text) = part { text } else { "" }).collect();
    let calls = parts.iter().enumerate().filter_map(|(position, part)| match part {
        Part::Call { name, arguments } => Some((format!("call_{position}"), name.clone(), arguments.clone())),
        Part::Text(_) => None,
    });
    let mut calls: Vec<_> = calls.collect();
    if legacy {
        calls.truncate(1);
        calls.iter_mut().for_each(|call| call.0.clear());
    }
    let reason = match (calls.is_empty(), legacy) {
        (true, _) => "stop",
        (false, true) => "function_call",
        (false, false) => "tool_calls",
    };
    let content = (calls.is_empty() || !content.is_empty()).then_some(content);
    Answer { content, calls, reason: Some(reason.into()) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_cut_makes_the_same_answer(parts in prop::collection::vec(part(), 0..5), legacy: bool) {
        let expected = expected(&parts, legacy);
        prop_assert_eq!(&whole_answer(&written(&parts, Cut::Nowhere, false, legacy)), &expected);
        for cut in cuts(&parts) {
            let streamed = streamed_answer(&written(&parts, cut, true, legacy));
            prop_assert_eq!(&streamed, &expected, "{:?}", cut);
            let whole = whole_answer(&written(&parts, cut, false, legacy));
            prop_assert_eq!(&whole, &expected, "{:?}", cut);
        }
    }
}

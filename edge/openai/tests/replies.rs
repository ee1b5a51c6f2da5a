//! Answers to the letter: what goes over the wire for one conversation each.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::{
    FinishReason, Head, Piece, TokenLogprob, TopLogprob, Usage, chat, completions, embeddings, ids, models,
};
use serde_json::{Value, json};

fn head() -> Head {
    Head { id: "id-1".into(), created: 7, model: "org/m".into(), seed: 1 }
}

fn text(text: &str) -> Piece<'_> {
    Piece { text, logprobs: &[] }
}

fn chat_reply(more: Value) -> chat::Reply {
    let mut body = json!({"model": "org/m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let defaults = chat::Defaults { obfuscation: false, reasoning: chat::ReasoningField::ReasoningContent };
    chat::Reply::new(&head(), &chat::parse(body.to_string().as_bytes()).unwrap(), defaults)
}

fn completion_reply(more: Value) -> completions::Reply {
    let mut body = json!({"model": "org/m", "prompt": "Say"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    completions::Reply::new(&head(), &completions::parse(body.to_string().as_bytes()).unwrap())
}

fn written(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap()
}

const USAGE: Usage = Usage { prompt_tokens: 9, completion_tokens: 2, cached_tokens: 4, reasoning_tokens: 1 };

const DETAILS: &str = r#"{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

#[test]
fn a_streamed_chat() {
    let mut reply = chat_reply(json!({"stream": true}));
    let mut out = Vec::new();
    reply.opening(&mut out);
    reply.push(0, &text("Hé\n"), &mut out);
    reply.push(0, &text(""), &mut out);
    assert!(!reply.is_finished());
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    assert!(reply.is_finished());
    reply.finish_choice(0, FinishReason::Length, &mut out);
    reply.push(0, &text("late"), &mut out);
    reply.push(1, &text("nobody's"), &mut out);
    reply.close(&USAGE, &mut out);
    let chunk = |choice: &str| {
        format!(
            r#"data: {{"id":"id-1","object":"chat.completion.chunk","created":7,"model":"org/m","service_tier":"default","system_fingerprint":null,"choices":[{{"index":0,{choice}}}]}}"#
        )
    };
    let expected = [
        chunk(r#""delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null"#),
        chunk(r#""delta":{"content":"Hé\n"},"logprobs":null,"finish_reason":null"#),
        chunk(r#""delta":{},"logprobs":null,"finish_reason":"stop""#),
        "data: [DONE]".into(),
    ];
    assert_eq!(written(out), expected.join("\n\n") + "\n\n");
}

#[test]
fn a_streamed_chat_with_usage() {
    let mut reply =
        chat_reply(json!({"stream": true, "stream_options": {"include_usage": true}, "service_tier": "flex"}));
    let mut out = Vec::new();
    reply.finish_choice(0, FinishReason::Length, &mut out);
    reply.close(&USAGE, &mut out);
    let start = r#"data: {"id":"id-1","object":"chat.completion.chunk","created":7,"model":"org/m","service_tier":"flex","system_fingerprint":null,"choices":["#;
    let expected = [
        format!(
            r#"{start}{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        ),
        format!(r#"{start}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"length"}}],"usage":null}}"#),
        format!(r#"{start}],"usage":{DETAILS}}}"#),
        "data: [DONE]".into(),
    ];
    assert_eq!(written(out), expected.join("\n\n") + "\n\n");
}

#[test]
fn a_whole_chat_with_two_choices() {
    let mut reply = chat_reply(json!({"n": 2}));
    let mut out = Vec::new();
    reply.opening(&mut out);
    reply.push(1, &text("b"), &mut out);
    reply.push(0, &text("a"), &mut out);
    reply.push(1, &text("b"), &mut out);
    reply.finish_choice(1, FinishReason::Length, &mut out);
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    assert!(out.is_empty());
    let choice = |index: u32, content: &str, reason: &str| {
        format!(
            r#"{{"index":{index},"message":{{"role":"assistant","content":"{content}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{reason}"}}"#
        )
    };
    let expected = format!(
        r#"{{"id":"id-1","object":"chat.completion","created":7,"model":"org/m","choices":[{},{}],"usage":{DETAILS},"service_tier":"default","system_fingerprint":null}}"#,
        choice(0, "a", "stop"),
        choice(1, "bb", "length")
    );
    assert_eq!(written(reply.into_body(&USAGE)), expected);
}

fn token(token: &str, bytes: &[u8], logprob: f32, top: &[(&str, f32)]) -> TokenLogprob {
    let top = top.iter().map(|(token, logprob)| TopLogprob {
        token: (*token).into(),
        bytes: Some(token.as_bytes().to_vec()),
        logprob: *logprob,
    });
    TokenLogprob { token: token.into(), bytes: Some(bytes.to_vec()), logprob, top: top.collect() }
}

#[test]
fn a_chat_with_logprobs_says_them_in_every_form() {
    let tokens =
        [token("a", b"a", -0.5, &[("a", -0.5), ("b", -1.25), ("c", -3.0)]), token("!", b"!", f32::NEG_INFINITY, &[])];
    let entries = [
        r#"{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":[97]},{"token":"b","logprob":-1.25,"bytes":[98]}]}"#,
        r#"{"token":"!","logprob":-9999.0,"bytes":[33],"top_logprobs":[]}"#,
    ];
    for stream in [false, true] {
        let mut reply = chat_reply(json!({"logprobs": true, "top_logprobs": 2, "stream": stream}));
        let mut out = Vec::new();
        reply.opening(&mut out);
        // The text of the first token is held back and comes with the second.
        reply.push(0, &Piece { text: "", logprobs: &tokens[..1] }, &mut out);
        reply.push(0, &Piece { text: "a!", logprobs: &tokens[1..] }, &mut out);
        reply.finish_choice(0, FinishReason::Stop, &mut out);
        reply.close(&USAGE, &mut out);
        let out = written(out);
        let expected = if stream {
            vec![
                r#""refusal":null},"logprobs":{"content":[],"refusal":null},"finish_reason":null"#.to_owned(),
                format!(r#""delta":{{"content":""}},"logprobs":{{"content":[{}],"refusal":null}}"#, entries[0]),
                format!(r#""delta":{{"content":"a!"}},"logprobs":{{"content":[{}],"refusal":null}}"#, entries[1]),
                r#""delta":{},"logprobs":null,"finish_reason":"stop""#.to_owned(),
            ]
        } else {
            vec![format!(r#""logprobs":{{"content":[{}],"refusal":null}},"finish_reason":"stop""#, entries.join(","))]
        };
        for part in expected {
            assert!(out.contains(&part), "{part}\nnot in\n{out}");
        }
    }
}

#[test]
fn padding_hides_the_length_of_text() {
    let mut reply =
        chat_reply(json!({"stream": true, "stream_options": {"include_obfuscation": true, "include_usage": true}}));
    let mut out = Vec::new();
    for length in 0..40 {
        // A quotation mark is two bytes long in JSON.
        reply.push(0, &text(&"\"".repeat(length)), &mut out);
    }
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    reply.close(&USAGE, &mut out);
    let mut paddings = std::collections::HashSet::new();
    let mut chunks = 0;
    for event in written(out).split_terminator("\n\n").filter(|event| *event != "data: [DONE]") {
        let chunk: Value = serde_json::from_str(&event[6..]).unwrap();
        let padding = chunk["obfuscation"].as_str().unwrap().to_owned();
        assert_eq!(event.len() % 16, 7, "as in all recordings: {event}");
        assert!(padding.len() < 16);
        assert!(padding.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        chunks += 1;
        if padding.len() > 8 {
            assert!(paddings.insert(padding), "padding came twice");
        }
    }
    assert_eq!(chunks, 42);
}

#[test]
fn padding_is_the_clients_choice_and_else_the_default() {
    let padded = |options: Value, obfuscation: bool| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true});
        body["stream_options"] = options;
        let request = chat::parse(body.to_string().as_bytes()).unwrap();
        let mut out = Vec::new();
        chat::Reply::new(
            &head(),
            &request,
            chat::Defaults { obfuscation, reasoning: chat::ReasoningField::ReasoningContent },
        )
        .opening(&mut out);
        written(out).contains("\"obfuscation\":\"")
    };
    for (options, obfuscation, expected) in [
        (json!({}), true, true),
        (json!({}), false, false),
        (json!(null), true, true),
        (json!({"include_obfuscation": null}), true, true),
        (json!({"include_obfuscation": false}), true, false),
        (json!({"include_obfuscation": true}), false, true),
    ] {
        assert_eq!(padded(options.clone(), obfuscation), expected, "{options} {obfuscation}");
    }
}

#[test]
fn a_streamed_completion() {
    let chunk = |text: &str, index: u32, reason: &str| {
        format!(
            r#"data: {{"id":"id-1","object":"text_completion","created":7,"choices":[{{"text":"{text}","index":{index},"logprobs":null,"finish_reason":{reason}}}],"model":"org/m","usage":null}}"#
        )
    };
    let mut reply = completion_reply(json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}}));
    let mut out = Vec::new();
    reply.opening(&mut out);
    reply.push(0, &text("a"), &mut out);
    reply.push(1, &text("b"), &mut out);
    reply.finish_choice(1, FinishReason::Length, &mut out);
    reply.push(0, &text("c"), &mut out);
    reply.finish_choice(0, FinishReason::Stop, &mut out);
    reply.close(&USAGE, &mut out);
    let expected = [
        chunk("a", 0, "null"),
        chunk("b", 1, "\"length\""),
        chunk("c", 0, "null"),
        chunk("", 0, "\"stop\""),
        r#"data: {"id":"id-1","object":"text_completion","created":7,"model":"org/m","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"choices":[]}"#.into(),
        "data: [DONE]".into(),
    ];
    assert_eq!(written(out), expected.join("\n\n") + "\n\n");
}

#[test]
fn a_chunk_that_was_sent_is_not_touched() {
    let mut reply = completion_reply(json!({"stream": true}));
    let mut sent = Vec::new();
    reply.push(0, &text("a"), &mut sent);
    let mut next = Vec::new();
    reply.finish_choice(0, FinishReason::Length, &mut next);
    assert!(written(sent).contains(r#""text":"a","index":0,"logprobs":null,"finish_reason":null"#));
    assert!(written(next).contains(r#""text":"","index":0,"logprobs":null,"finish_reason":"length""#));
    // As long as the buffer that was sent, but other bytes.
    let mut reply = completion_reply(json!({"stream": true}));
    let mut out = Vec::new();
    reply.push(0, &text("a"), &mut out);
    let mut other = vec![b' '; out.len()];
    reply.finish_choice(0, FinishReason::Length, &mut other);
    assert!(other.starts_with(&vec![b' '; out.len()]));
    assert!(other.len() > out.len());
}

#[test]
fn a_completion_that_echoes() {
    for stream in [false, true] {
        let mut reply = completion_reply(json!({"prompt": ["P", "Q"], "n": 2, "echo": true, "stream": stream}));
        let mut out = Vec::new();
        reply.opening(&mut out);
        for choice in 0..4 {
            reply.push(choice, &text("x"), &mut out);
            reply.finish_choice(choice, FinishReason::Stop, &mut out);
        }
        reply.close(&USAGE, &mut out);
        let texts = if stream { stream_texts(&out, 4) } else { whole_texts(&out) };
        assert_eq!(texts, ["Px", "Px", "Qx", "Qx"], "stream: {stream}");
    }
}

fn stream_texts(out: &[u8], choices: usize) -> Vec<String> {
    let mut texts = vec![String::new(); choices];
    for event in std::str::from_utf8(out).unwrap().split_terminator("\n\n").filter(|event| *event != "data: [DONE]") {
        let chunk: Value = serde_json::from_str(&event[6..]).unwrap();
        let choice = &chunk["choices"][0];
        texts[usize::try_from(choice["index"].as_u64().unwrap()).unwrap()].push_str(choice["text"].as_str().unwrap());
    }
    texts
}

fn whole_texts(out: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(out).unwrap();
    body["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_completion_with_logprobs_has_four_columns() {
    // A character of two bytes is split over two tokens; the generated token is not always among the likeliest.
    let tokens = [
        token("\u{fffd}", b"\xc3", -1.0, &[("a", -0.5), ("b", -0.75)]),
        token("\u{fffd}", b"\xa9", -2.0, &[("\u{fffd}", -2.0), ("b", -2.5)]),
        token("!", b"!", -3.0, &[]),
    ];
    let expected = concat!(
        r#"{"tokens":["�","�","!"],"token_logprobs":[-1.0,-2.0,-3.0],"#,
        r#""top_logprobs":[{"a":-0.5,"b":-0.75,"�":-1.0},{"�":-2.0,"b":-2.5},{"!":-3.0}],"text_offset":[0,1,1]}"#
    );
    let mut whole = completion_reply(json!({"logprobs": 2}));
    let mut out = Vec::new();
    whole.push(0, &Piece { text: "", logprobs: &tokens[..1] }, &mut out);
    whole.push(0, &Piece { text: "é!", logprobs: &tokens[1..] }, &mut out);
    whole.finish_choice(0, FinishReason::Stop, &mut out);
    let body = written(whole.into_body(&USAGE));
    let choice = format!(r#"{{"text":"é!","index":0,"logprobs":{expected},"finish_reason":"stop"}}"#);
    assert_eq!(
        body,
        format!(
            r#"{{"id":"id-1","object":"text_completion","created":7,"model":"org/m","choices":[{choice}],"usage":{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}}}"#
        )
    );
    let mut streamed = completion_reply(json!({"logprobs": 2, "stream": true}));
    let mut out = Vec::new();
    streamed.push(0, &Piece { text: "é", logprobs: &tokens[..2] }, &mut out);
    streamed.push(0, &Piece { text: "!", logprobs: &tokens[2..] }, &mut out);
    assert!(written(out).contains(
        r#""logprobs":{"tokens":["!"],"token_logprobs":[-3.0],"top_logprobs":[{"!":-3.0}],"text_offset":[1]}"#
    ));
}

#[test]
fn embeddings_in_both_encodings() {
    let vectors: [&[f32]; 2] = [&[1.0, -0.5], &[0.25, 0.1]];
    let body = |encoding| written(embeddings::body("m", vectors, encoding, 5));
    let expected = |first: &str, second: &str| {
        format!(
            r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":{first}}},{{"object":"embedding","index":1,"embedding":{second}}}],"model":"m","usage":{{"prompt_tokens":5,"total_tokens":5}}}}"#
        )
    };
    assert_eq!(body(embeddings::Encoding::Float), expected("[1.0,-0.5]", "[0.25,0.1]"));
    assert_eq!(body(embeddings::Encoding::Base64), expected("\"AACAPwAAAL8=\"", "\"AACAPs3MzD0=\""));
}

#[test]
fn models_have_four_keys() {
    let model = |id| models::Model { id, created: 3, owned_by: "acme" };
    let one = |id: &str| format!(r#"{{"id":"{id}","object":"model","created":3,"owned_by":"acme"}}"#);
    assert_eq!(written(models::one(model("org/a"))), one("org/a"));
    assert_eq!(
        written(models::list([model("a"), model("b")])),
        format!(r#"{{"object":"list","data":[{},{}]}}"#, one("a"), one("b"))
    );
    assert_eq!(written(models::list([])), r#"{"object":"list","data":[]}"#);
}

#[test]
fn ids_have_openais_form() {
    let id = ids::chat_completion(std::array::from_fn(|position| u8::try_from(position * 9 % 256).unwrap()));
    let (prefix, random) = id.split_once('-').unwrap();
    assert_eq!((prefix, random.len()), ("chatcmpl", 29));
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(ids::completion([0; 29]), format!("cmpl-{}", "A".repeat(29)));
    assert_eq!(ids::tool_call([0; 24]), format!("call_{}", "A".repeat(24)));
    assert_eq!(ids::request([0; 16]), format!("req_{}", "0".repeat(32)));
    assert_eq!(ids::request([255; 16]), format!("req_{}", "f".repeat(32)));
}

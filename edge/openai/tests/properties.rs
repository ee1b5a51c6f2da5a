//! What holds for every text, every cut of it, and every body.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_openai::{
    FinishReason, Head, Piece, Usage, chat, completions, conversations, embeddings, scores, tokenization,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Pieces of up to three choices, in the order in which an engine makes them.
fn pieces() -> impl Strategy<Value = Vec<(u32, String)>> {
    prop::collection::vec((0..3u32, any::<String>()), 0..40)
}

fn texts(pieces: &[(u32, String)]) -> Vec<String> {
    (0..3)
        .map(|choice| pieces.iter().filter(|piece| piece.0 == choice).map(|piece| piece.1.as_str()).collect())
        .collect()
}

const DEFAULTS: chat::Defaults =
    chat::Defaults { obfuscation: true, reasoning: chat::ReasoningField::ReasoningContent };

fn head() -> Head {
    Head { id: "id".into(), created: 1, model: "m".into(), seed: 3 }
}

fn events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap().strip_suffix("\n\ndata: [DONE]\n\n").expect("ends with [DONE]");
    text.split("\n\n").map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn chat_answer(pieces: &[(u32, String)], stream: Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 3});
    body.as_object_mut().unwrap().extend(stream.as_object().unwrap().clone());
    let mut reply = chat::Reply::new(&head(), &chat::parse(body.to_string().as_bytes()).unwrap(), DEFAULTS);
    let mut out = Vec::new();
    reply.opening(&mut out);
    for (choice, text) in pieces {
        reply.push(*choice, &Piece { text, logprobs: &[] }, &mut out);
    }
    for choice in 0..3 {
        reply.finish_choice(choice, FinishReason::Stop, &mut out);
    }
    reply.close(&Usage::default(), &mut out);
    out
}

fn completion_answer(pieces: &[(u32, String)], stream: bool, drained: bool, reason: FinishReason) -> Vec<u8> {
    let body = json!({"model": "m", "prompt": "hi", "n": 3, "stream": stream}).to_string();
    let mut reply = completions::Reply::new(&head(), &completions::parse(body.as_bytes()).unwrap());
    let mut sent = Vec::new();
    let mut out = Vec::new();
    for (choice, text) in pieces {
        reply.push(*choice, &Piece { text, logprobs: &[] }, &mut out);
        if drained {
            sent.append(&mut out);
        }
    }
    for choice in 0..3 {
        reply.finish_choice(choice, reason, &mut out);
    }
    reply.close(&Usage::default(), &mut out);
    sent.append(&mut out);
    sent
}

/// JSON with the names that requests use, so that readers are reached and not only the refusal of strangers.
fn request_like() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "model",
        "messages",
        "prompt",
        "input",
        "role",
        "content",
        "type",
        "text",
        "tool_calls",
        "id",
        "function",
        "name",
        "arguments",
        "tool_call_id",
        "tools",
        "parameters",
        "strict",
        "tool_choice",
        "allowed_tools",
        "mode",
        "functions",
        "function_call",
        "moderation",
        "best_of",
        "response_format",
        "json_schema",
        "schema",
        "properties",
        "items",
        "anyOf",
        "required",
        "additionalProperties",
        "structured_outputs",
        "json",
        "choice",
        "stop",
        "logit_bias",
        "metadata",
        "stream",
        "stream_options",
        "include_usage",
        "n",
        "seed",
        "temperature",
        "top_k",
        "max_tokens",
        "logprobs",
        "top_logprobs",
        "echo",
        "dimensions",
        "7",
    ];
    const WORDS: &[&str] = &[
        "",
        "m",
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "function",
        "object",
        "json_schema",
        "json_object",
        "auto",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2..3i64).prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 12, |inner| {
        let object = prop::collection::vec((prop::sample::select(NAMES), inner.clone()), 0..12);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

fn parse_all(body: &[u8]) {
    // Tools that are set apart as they are written are the same tools.
    assert_eq!(chat::parse_by(body, &mut |_, read| read()), chat::parse(body));
    let _ = completions::parse(body);
    let _ = embeddings::parse(body);
    let _ = scores::parse_rerank(body);
    let _ = scores::parse_score(body);
    let _ = tokenization::parse_tokenize(body);
    let _ = tokenization::parse_detokenize(body);
    let _ = conversations::parse_create(body);
    let _ = conversations::parse_items(body);
    let _ = conversations::parse_update(body);
}

proptest! {
    #[test]
    fn chat_deltas_are_the_text(pieces in pieces(), usage: bool, obfuscation: bool) {
        let options = json!({"stream": true, "stream_options": {"include_usage": usage, "include_obfuscation": obfuscation}});
        let chunks = events(&chat_answer(&pieces, options));
        let mut streamed = vec![String::new(); 3];
        let (mut roles, mut finishes) = ([0; 3], [0; 3]);
        for chunk in &chunks {
            prop_assert_eq!(chunk.get("usage").is_some(), usage);
            prop_assert_eq!(chunk.get("obfuscation").is_some(), obfuscation);
            for choice in chunk["choices"].as_array().unwrap() {
                let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
                let delta = &choice["delta"];
                let first = roles[index] == 0;
                prop_assert_eq!(delta.get("role").is_some(), first);
                prop_assert_eq!(finishes[index], 0, "nothing follows the finish");
                roles[index] += 1;
                streamed[index].push_str(delta["content"].as_str().unwrap_or(""));
                if !choice["finish_reason"].is_null() {
                    prop_assert_eq!(delta, &json!({}));
                    finishes[index] += 1;
                }
            }
        }
        prop_assert_eq!(finishes, [1; 3]);
        prop_assert_eq!(chunks.iter().filter(|chunk| chunk["choices"] == json!([])).count(), usize::from(usage));
        prop_assert_eq!(&streamed, &texts(&pieces));
        let whole: Value = serde_json::from_slice(&chat_answer(&pieces, json!({}))).unwrap();
        for (index, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
            prop_assert_eq!(choice["index"].as_u64(), u64::try_from(index).ok());
            prop_assert_eq!(choice["message"]["content"].as_str(), Some(streamed[index].as_str()));
        }
    }

    #[test]
    fn completion_deltas_are_the_text(pieces in pieces(), drained: bool, length: bool) {
        let reason = if length { FinishReason::Length } else { FinishReason::Stop };
        let mut streamed = vec![String::new(); 3];
        let mut finishes = [0; 3];
        for chunk in events(&completion_answer(&pieces, true, drained, reason)) {
            let choice = &chunk["choices"][0];
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            prop_assert_eq!(finishes[index], 0, "nothing follows the finish");
            streamed[index].push_str(choice["text"].as_str().unwrap());
            if let Some(said) = choice["finish_reason"].as_str() {
                prop_assert_eq!(said, reason.as_str());
                finishes[index] += 1;
            }
        }
        prop_assert_eq!(finishes, [1; 3]);
        prop_assert_eq!(&streamed, &texts(&pieces));
        let whole: Value = serde_json::from_slice(&completion_answer(&pieces, false, drained, reason)).unwrap();
        for (choice, text) in whole["choices"].as_array().unwrap().iter().zip(&streamed) {
            prop_assert_eq!(choice["text"].as_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn no_body_ends_in_a_panic(body: Vec<u8>) {
        parse_all(&body);
    }

    #[test]
    fn no_json_ends_in_a_panic(body in request_like(), messages in request_like(), more in request_like()) {
        parse_all(body.to_string().as_bytes());
        let mut body = json!({"model": "m", "messages": messages, "prompt": messages, "input": messages, "items": messages,
            "query": messages, "documents": messages, "text_1": messages, "text_2": messages, "tokens": messages});
        if let Value::Object(more) = more {
            body.as_object_mut().unwrap().extend(more);
        }
        parse_all(body.to_string().as_bytes());
    }

    #[test]
    fn messages_survive_their_own_form(content: String, name: Option<String>, arguments: String, parts: Vec<String>) {
        let parts: Vec<Value> = parts.into_iter().map(|text| json!({"type": "text", "text": text})).collect();
        let messages = json!([
            {"role": "system", "content": content, "name": name},
            {"role": "user", "content": parts},
            {"role": "assistant", "tool_calls": [{"id": content, "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": content, "content": arguments},
            {"role": "assistant", "content": content, "function_call": {"name": "f", "arguments": arguments}},
            {"role": "function", "name": "f", "content": arguments},
        ]);
        let read = |messages: &Value| chat::parse(json!({"model": "m", "messages": messages}).to_string().as_bytes()).unwrap().messages;
        let once = read(&messages);
        let again: Value = once.iter().cloned().map(Value::from).collect::<Vec<_>>().into();
        prop_assert_eq!(read(&again), once);
    }
}

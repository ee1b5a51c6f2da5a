//! Replays recorded exchanges with OpenAI: requests that it accepted are read, and answers made of the
//! recorded texts have the recorded form. The recordings lie beside the project; without them this is skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]
#![expect(clippy::print_stdout, reason = "says what was replayed and what was skipped")]

mod alike;
mod recording;

use std::collections::BTreeMap;

use base64::Engine;
use cloudach_openai::{FinishReason, Invalid, Piece, TokenLogprob, TopLogprob, Usage, chat, completions, embeddings};
use serde_json::Value;

use crate::alike::{assert_alike, assert_streams_alike};
use crate::recording::{folder, recordings};

const DEFAULTS: chat::Defaults = chat::Defaults { obfuscation: false };

/// The features of a request that the gateway refuses so far, by the name its error gives.
fn refused_on_purpose(error: &Invalid) -> bool {
    let unsupported = matches!(error.code, Some("unsupported_parameter" | "unsupported_value"));
    unsupported || error.param.as_deref() == Some("web_search_options")
}

#[test]
fn what_openai_accepted_is_read() {
    let Some(recordings) = recordings() else { return };
    let mut counts = BTreeMap::<String, usize>::new();
    for recording in recordings.iter().filter(|recording| recording.succeeded() && !recording.request.is_null()) {
        let read = match recording.path.as_str() {
            "/v1/chat/completions" => chat::parse(&recording.body()).map(drop),
            "/v1/completions" => completions::parse(&recording.body()).map(drop),
            "/v1/embeddings" => embeddings::parse(&recording.body()).map(drop),
            _ => continue,
        };
        let outcome = match read {
            Ok(()) => "accepted".to_owned(),
            Err(error) if refused_on_purpose(&error) => format!("refused: {}", feature(&error)),
            Err(error) => panic!("{}: {error:?}", recording.name),
        };
        *counts.entry(format!("{} {outcome}", recording.path)).or_default() += 1;
    }
    println!("{counts:#?}");
}

fn feature(error: &Invalid) -> String {
    error.param.as_deref().unwrap_or("").chars().filter(|character| !character.is_ascii_digit()).collect()
}

#[test]
fn what_openai_refused_is_refused_alike() {
    let Some(recordings) = recordings() else { return };
    // These come from reading the request alone; the other recorded errors need a model or a key.
    let cases = [
        "207-chat-400",
        "213-chat-400-missing_required_parameter",
        "262-completions-400-integer_below_min_value",
        "294-embeddings-400",
    ];
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| cases.contains(&recording.name.as_str())) {
        let error = match recording.path.as_str() {
            "/v1/chat/completions" => chat::parse(&recording.body()).unwrap_err(),
            "/v1/completions" => completions::parse(&recording.body()).unwrap_err(),
            _ => embeddings::parse(&recording.body()).unwrap_err(),
        };
        let expected = &recording.response["body"]["error"];
        assert_eq!(error.message, expected["message"].as_str().unwrap(), "{}", recording.name);
        assert_eq!(error.param.as_deref(), expected["param"].as_str(), "{}", recording.name);
        assert_eq!(error.code, expected["code"].as_str(), "{}", recording.name);
        seen += 1;
    }
    assert_eq!(seen, cases.len());
}

#[test]
fn quoted_errors_are_ours_too() {
    let Some(folder) = folder() else { return };
    let file = std::fs::read(folder.join("quoted_errors.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let mut seen = 0;
    for case in file["cases"].as_array().unwrap() {
        let request = &case["request"];
        // Keys and methods are not this crate's business.
        let about_the_body =
            case["expect"]["status"] == 400 && (request["body"].is_object() || request["raw"].is_string());
        if !about_the_body {
            continue;
        }
        let body = request["raw"].as_str().map_or_else(|| request["body"].to_string(), str::to_owned);
        let error = match request["path"].as_str().unwrap() {
            "/v1/chat/completions" => chat::parse(body.as_bytes()).err(),
            "/v1/embeddings" => embeddings::parse(body.as_bytes()).err(),
            _ => continue,
        };
        let error = error.unwrap_or_else(|| panic!("accepted: {case}"));
        let expected = &case["expect"]["error"];
        for (name, ours) in [("param", error.param.as_deref()), ("code", error.code)] {
            if expected.get(name).is_some() {
                assert_eq!(ours, expected[name].as_str(), "{name} of {}", case["id"]);
            }
        }
        let confidence = case["confidence"].as_str().unwrap();
        if !confidence.contains("for code and param") && !confidence.contains("only status and type") {
            assert_eq!(error.message, expected["message"].as_str().unwrap(), "{}", case["id"]);
        }
        seen += 1;
    }
    println!("{seen} quoted errors");
    assert!(seen >= 20);
}

#[test]
fn streamed_chats_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let (mut seen, mut skipped) = (0, BTreeMap::<&str, usize>::new());
    for recording in
        recordings.iter().filter(|recording| recording.path == "/v1/chat/completions" && recording.succeeded())
    {
        let Some(chunks) = recording.chunks() else { continue };
        if let Some(reason) = beyond_text(&chunks) {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        let Ok(request) = chat::parse(&recording.body()) else {
            *skipped.entry("request refused").or_default() += 1;
            continue;
        };
        let mut reply = chat::Reply::new(&recording.head(&chunks[0]), &request, DEFAULTS);
        let mut out = Vec::new();
        let mut usage = Usage::default();
        reply.opening(&mut out);
        for chunk in &chunks {
            usage = chunk.get("usage").and_then(usage_of).unwrap_or(usage);
            for choice in chunk["choices"].as_array().unwrap() {
                let index = u32::try_from(choice["index"].as_u64().unwrap()).unwrap();
                let logprobs = logprobs_of(choice);
                let text = choice["delta"]["content"].as_str().unwrap_or("");
                reply.push(index, &Piece { text, logprobs: &logprobs }, &mut out);
                if let Some(reason) = reason_of(choice) {
                    reply.finish_choice(index, reason, &mut out);
                }
            }
        }
        assert!(reply.is_finished(), "{}", recording.name);
        reply.close(&usage, &mut out);
        assert_streams_alike(recording, &out, chunks);
        seen += 1;
    }
    println!("{seen} streamed chats alike, skipped: {skipped:?}");
    assert!(seen >= 15);
}

#[test]
fn whole_chats_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let (mut seen, mut skipped) = (0, BTreeMap::<&str, usize>::new());
    for recording in
        recordings.iter().filter(|recording| recording.path == "/v1/chat/completions" && recording.succeeded())
    {
        let body = &recording.response["body"];
        if body.is_null() {
            continue;
        }
        if let Some(reason) = beyond_text(std::slice::from_ref(body)) {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        let Ok(request) = chat::parse(&recording.body()) else {
            *skipped.entry("request refused").or_default() += 1;
            continue;
        };
        let mut reply = chat::Reply::new(&recording.head(body), &request, DEFAULTS);
        let mut out = Vec::new();
        for choice in body["choices"].as_array().unwrap() {
            let index = u32::try_from(choice["index"].as_u64().unwrap()).unwrap();
            let logprobs = logprobs_of(choice);
            let text = choice["message"]["content"].as_str().unwrap();
            reply.push(index, &Piece { text, logprobs: &logprobs }, &mut out);
            reply.finish_choice(index, reason_of(choice).unwrap(), &mut out);
        }
        let ours = serde_json::from_slice(&reply.into_body(&usage_of(&body["usage"]).unwrap())).unwrap();
        assert_alike(&ours, body, recording.keeps_order, &recording.name);
        seen += 1;
    }
    println!("{seen} whole chats alike, skipped: {skipped:?}");
    assert!(seen >= 30);
}

#[test]
fn completions_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let (mut streamed, mut whole) = (0, 0);
    for recording in recordings.iter().filter(|recording| recording.path == "/v1/completions" && recording.succeeded())
    {
        let request = completions::parse(&recording.body()).unwrap();
        let answers = recording.chunks().unwrap_or_else(|| vec![recording.response["body"].clone()]);
        let mut reply = completions::Reply::new(&recording.head(&answers[0]), &request);
        let mut out = Vec::new();
        let mut usage = Usage::default();
        for answer in &answers {
            usage = answer.get("usage").and_then(usage_of).unwrap_or(usage);
            for choice in answer["choices"].as_array().unwrap() {
                let index = u32::try_from(choice["index"].as_u64().unwrap()).unwrap();
                reply.push(index, &Piece { text: choice["text"].as_str().unwrap(), logprobs: &[] }, &mut out);
                if let Some(reason) = reason_of(choice) {
                    reply.finish_choice(index, reason, &mut out);
                }
            }
        }
        reply.close(&usage, &mut out);
        if request.stream.is_some() {
            assert_streams_alike(recording, &out, answers);
            streamed += 1;
        } else {
            assert_alike(&serde_json::from_slice(&out).unwrap(), &answers[0], recording.keeps_order, &recording.name);
            whole += 1;
        }
    }
    println!("{streamed} streamed and {whole} whole completions alike");
    assert!(streamed >= 4 && whole >= 8);
}

#[test]
fn embeddings_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| recording.path == "/v1/embeddings" && recording.succeeded()) {
        let request = embeddings::parse(&recording.body()).unwrap();
        let body = &recording.response["body"];
        let vectors: Vec<Vec<f32>> =
            body["data"].as_array().unwrap().iter().map(|entry| vector_of(&entry["embedding"])).collect();
        let tokens = body["usage"]["prompt_tokens"].as_u64().unwrap();
        let model = body["model"].as_str().unwrap();
        let ours = embeddings::body(model, vectors.iter().map(Vec::as_slice), request.encoding, tokens);
        let ours: Value = serde_json::from_slice(&ours).unwrap();
        let (ours, theirs) = (as_floats(ours), as_floats(body.clone()));
        // Some recorders write the index last.
        assert_alike(&ours, &theirs, false, &recording.name);
        seen += 1;
    }
    println!("{seen} embeddings alike");
    assert!(seen >= 15);
}

/// What makes an answer more than text, if anything does.
fn beyond_text(answers: &[Value]) -> Option<&'static str> {
    let choices = || answers.iter().flat_map(|answer| answer["choices"].as_array().unwrap());
    let says =
        |name: &str| choices().any(|choice| !choice["delta"][name].is_null() || !choice["message"][name].is_null());
    let heard =
        answers.iter().any(|answer| answer["usage"]["prompt_tokens_details"]["audio_tokens"].as_u64() > Some(0));
    if heard {
        return Some("audio");
    }
    ["tool_calls", "function_call", "audio", "refusal"].into_iter().find(|name| says(name))
}

fn reason_of(choice: &Value) -> Option<FinishReason> {
    match choice["finish_reason"].as_str()? {
        "stop" => Some(FinishReason::Stop),
        "length" => Some(FinishReason::Length),
        other => panic!("finish reason {other}"),
    }
}

fn usage_of(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    Some(Usage {
        prompt_tokens: usage["prompt_tokens"].as_u64()?,
        completion_tokens: usage["completion_tokens"].as_u64()?,
        cached_tokens: usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        reasoning_tokens: usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
    })
}

fn logprobs_of(choice: &Value) -> Vec<TokenLogprob> {
    let entries = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let token = |entry: &Value| entry["token"].as_str().unwrap().to_owned();
    let bytes = |entry: &Value| {
        Some(entry["bytes"].as_array()?.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect())
    };
    #[expect(clippy::cast_possible_truncation, reason = "engines compute with 32 bits")]
    let logprob = |entry: &Value| entry["logprob"].as_f64().unwrap() as f32;
    entries(&choice["logprobs"]["content"])
        .iter()
        .map(|entry| TokenLogprob {
            token: token(entry),
            bytes: bytes(entry),
            logprob: logprob(entry),
            top: entries(&entry["top_logprobs"])
                .iter()
                .map(|top| TopLogprob { token: token(top), bytes: bytes(top), logprob: logprob(top) })
                .collect(),
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "vectors have 32 bits")]
fn vector_of(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(text) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
        }
        numbers => numbers.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect(),
    }
}

/// Numbers as 32-bit floats, whatever digits they were written with.
fn as_floats(mut body: Value) -> Value {
    for entry in body["data"].as_array_mut().unwrap() {
        if entry["embedding"].is_array() {
            entry["embedding"] = vector_of(&entry["embedding"]).into();
        }
    }
    body
}

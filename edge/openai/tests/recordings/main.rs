//! Replays recorded exchanges with OpenAI: requests that it accepted are read, and answers made of the
//! recorded texts have the recorded form. The recordings lie beside the project; without them this is skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]
#![expect(clippy::print_stdout, reason = "says what was replayed and what was skipped")]

mod alike;
mod chats;
mod completions;
mod embeddings;
mod parts;
mod recording;
mod responses;

use std::collections::BTreeMap;

use cloudach_openai::{Invalid, chat, completions as texts, embeddings as vectors};
use serde_json::Value;

use crate::recording::{folder, recordings};

/// What OpenAI serves in the recordings and models of text do not: pictures, sound, files and searches.
fn is_not_of_text(error: &Invalid) -> bool {
    let argument = matches!(error.param.as_deref(), Some("audio" | "modalities" | "web_search_options"));
    argument || error.message.contains("only supported by certain models") || error.message.contains("Content blocks")
}

/// Recorded refusals that come of more than the request.
const OTHER_REFUSALS: &[(&str, &str)] = &[
    ("210-chat-400-invalid_image_url", "of a picture that could not be fetched"),
    ("211-chat-400-invalid_image_url", "of a picture that could not be fetched"),
    ("215-chat-400-unsupported_parameter", "the request was not stored"),
    ("216-chat-400-unsupported_value", "of a model that knows no developers"),
    ("261-completions-400", "of a token that is not in the model's vocabulary"),
];

#[test]
fn what_openai_accepted_is_read() {
    let Some(recordings) = recordings() else { return };
    let mut counts = BTreeMap::<String, usize>::new();
    for recording in recordings.iter().filter(|recording| recording.succeeded() && !recording.request.is_null()) {
        let read = match recording.path.as_str() {
            "/v1/chat/completions" => chat::parse(&recording.body()).map(drop),
            "/v1/completions" => texts::parse(&recording.body()).map(drop),
            "/v1/embeddings" => vectors::parse(&recording.body()).map(drop),
            _ => continue,
        };
        let outcome = match read {
            Ok(()) => "accepted".to_owned(),
            Err(error) if is_not_of_text(&error) => format!("refused: {}", feature(&error)),
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
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| recording.response["status"] == 400) {
        if recording.path == "/v1/responses" || OTHER_REFUSALS.iter().any(|(name, _)| *name == recording.name) {
            continue;
        }
        let error = match recording.path.as_str() {
            "/v1/chat/completions" => chat::parse(&recording.body()).unwrap_err(),
            "/v1/completions" => texts::parse(&recording.body()).unwrap_err(),
            _ => vectors::parse(&recording.body()).unwrap_err(),
        };
        let expected = &recording.response["body"]["error"];
        assert_eq!(expected["type"], "invalid_request_error", "{}", recording.name);
        assert_eq!(error.message, expected["message"].as_str().unwrap(), "{}", recording.name);
        assert_eq!(error.param.as_deref(), expected["param"].as_str(), "{}", recording.name);
        assert_eq!(error.code, expected["code"].as_str(), "{}", recording.name);
        seen += 1;
    }
    assert!(seen >= 5);
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
            "/v1/embeddings" => vectors::parse(body.as_bytes()).err(),
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

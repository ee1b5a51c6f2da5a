//! Recorded responses, written by us from their items.

use std::collections::BTreeMap;

use cloudach_openai::responses::{self, Continued, Form, Response, Step};
use serde_json::{Value, json};

use crate::recording::{Recording, recordings};

/// What OpenAI's responses have and ours do not, and why.
const THEIRS_ONLY: &[(&str, &str)] = &[
    ("billing", "who pays is OpenAI's own business"),
    ("moderation", "nothing is moderated"),
    ("tool_usage", "no hosted tools run"),
    ("cache_write_tokens", "engines do not tell"),
    ("encrypted_content", "reasoning is told in the clear"),
    ("context", "of reasoning: what OpenAI keeps of it between turns"),
    ("mode", "of reasoning: OpenAI's own"),
    ("phase", "whether a message is a remark on the way: only OpenAI's latest models say so"),
];

/// What depends on the model, or on what an organisation has agreed with OpenAI, where a client does not ask for it.
const MODELS_OWN: &[&str] =
    &["temperature", "top_p", "reasoning", "prompt_cache_retention", "service_tier", "verbosity", "tools", "store"];

/// What recordings of 2025 lack.
const OURS_ONLY: &[&str] = &[
    "completed_at",
    "frequency_penalty",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "max_tool_calls",
    "top_logprobs",
    "verbosity",
    "content",
    "name",
    "obfuscation",
    "logprobs",
    "background",
    "sequence_number",
];

#[test]
fn responses_have_the_recorded_form() {
    let Some(recordings) = recordings() else { return };
    let (mut whole, mut streamed, mut skipped) = (0, 0, BTreeMap::<String, usize>::new());
    for recording in recordings.iter().filter(|one| one.path == "/v1/responses" && one.succeeded()) {
        let request = match request_of(recording) {
            Ok(request) => request,
            Err(reason) => {
                *skipped.entry(reason).or_default() += 1;
                continue;
            }
        };
        let events = recording.response["sse_events"].as_array();
        match events {
            Some(events) => check_stream(recording, request, events),
            None => check_whole(recording, request),
        }
        *(if events.is_some() { &mut streamed } else { &mut whole }) += 1;
    }
    println!("{whole} whole and {streamed} streamed responses alike, skipped: {skipped:#?}");
    assert!(whole >= 18 && streamed >= 6, "{whole} {streamed}");
}

/// Why a recording is left out, if it is.
fn request_of(recording: &Recording) -> Result<responses::Asked, String> {
    if recording.request.is_null() {
        return Err("the request was not stored".into());
    }
    let mut request = recording.request.clone();
    // What came before is not in the recording.
    if let Some(fields) = request.as_object_mut() {
        fields.remove("previous_response_id");
        let is_output = |item: &Value| item["type"] == "function_call_output";
        if let Some(items) = fields.get_mut("input").and_then(Value::as_array_mut)
            && items.iter().all(is_output)
        {
            *items = vec![json!({"role": "user", "content": "as before"})];
        }
    }
    responses::parse(request.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn record_of(recording: &Recording, request: responses::Asked, theirs: &Value) -> responses::Record {
    let id = cloudach_openai::ids::response([1; 21]);
    let created = theirs["created_at"].as_u64().unwrap();
    let begun = request.begin(id, created, Continued::default(), 1, true);
    let (_, record) = begun.unwrap_or_else(|error| panic!("{}: {error}", recording.name));
    record
}

fn check_whole(recording: &Recording, request: responses::Asked) {
    let theirs = &recording.response["body"];
    let record = record_of(recording, request, theirs);
    let mut response = Response::new(record, Form::Whole);
    if theirs["status"] != "queued" {
        for step in steps_of(theirs) {
            response.take(&step, &mut Vec::new());
        }
    }
    let mut out = Vec::new();
    response.write(&mut out);
    let ours: Value = serde_json::from_slice(&out).unwrap();
    assert_alike(&ours, theirs, &recording.name);
}

fn check_stream(recording: &Recording, request: responses::Asked, events: &[Value]) {
    let theirs: Vec<(String, Value)> = events.iter().map(|event| read(event.as_str().unwrap())).collect();
    let record = record_of(recording, request, &theirs[0].1["response"]);
    let mut response = Response::new(record, Form::Stream { after: None });
    let mut out = Vec::new();
    response.open(&mut out);
    let mut steps = Vec::new();
    for (kind, event) in &theirs {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        match kind.as_str() {
            "response.output_text.delta" => steps.push(Step::Text(text("delta").into(), "".into())),
            "response.function_call_arguments.delta" => steps.push(Step::Arguments(text("delta").into())),
            "response.output_item.added" if event["item"]["type"] == "function_call" => {
                let (id, name) = (event["item"]["call_id"].as_str(), event["item"]["name"].as_str());
                steps.push(Step::Call(id.unwrap().to_owned().into(), name.unwrap().to_owned().into()));
            }
            // Summaries are not made: reasoning is told itself, in events of its own.
            "response.output_item.added" if event["item"]["type"] == "reasoning" => return,
            "response.completed" | "response.incomplete" => {
                steps.push(Step::End { cut: kind.ends_with("incomplete") });
                steps.push(close_of(&event["response"]));
            }
            _ => {}
        }
    }
    for step in &steps {
        response.take(step, &mut out);
    }
    let ours = String::from_utf8(out).unwrap();
    let ours: Vec<(String, Value)> = ours.split_terminator("\n\n").map(read).collect();
    let kinds = |events: &[(String, Value)]| events.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&ours), kinds(&theirs), "{}", recording.name);
    for (position, ((_, ours), (_, theirs))) in ours.iter().zip(&theirs).enumerate() {
        assert_alike(ours, theirs, &format!("{}[{position}]", recording.name));
    }
}

fn read(event: &str) -> (String, Value) {
    let (kind, data) = event.split_once('\n').unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    let kind = kind.strip_prefix("event: ").unwrap();
    assert_eq!(data["type"], kind);
    (kind.to_owned(), data)
}

fn steps_of(response: &Value) -> Vec<Step<'static>> {
    let mut steps = Vec::new();
    for item in response["output"].as_array().unwrap() {
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        match item["type"].as_str().unwrap() {
            "reasoning" => steps.push(Step::Reasoning("".into())),
            "message" => {
                let text = item["content"][0]["text"].as_str().unwrap();
                steps.push(Step::Text(text.to_owned().into(), "".into()));
            }
            "function_call" => {
                steps.push(Step::Call(text("call_id").into(), text("name").into()));
                steps.push(Step::Arguments(text("arguments").into()));
            }
            other => panic!("{other}"),
        }
    }
    steps.push(Step::End { cut: response["status"] == "incomplete" });
    steps.push(close_of(response));
    steps
}

fn close_of(response: &Value) -> Step<'static> {
    let usage = &response["usage"];
    let count = |value: &Value| value.as_u64().unwrap();
    Step::Close {
        input: count(&usage["input_tokens"]),
        cached: count(&usage["input_tokens_details"]["cached_tokens"]),
        output: count(&usage["output_tokens"]),
        reasoning: count(&usage["output_tokens_details"]["reasoning_tokens"]),
        at: response["completed_at"].as_u64().unwrap_or_default(),
    }
}

fn assert_alike(ours: &Value, theirs: &Value, place: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, ours) in ours {
                match theirs.get(key) {
                    None => assert!(OURS_ONLY.contains(&key.as_str()), "{place}: {key} is ours only"),
                    Some(theirs) if MODELS_OWN.contains(&key.as_str()) => {
                        let same = std::mem::discriminant(ours) == std::mem::discriminant(theirs);
                        assert!(same || key == "prompt_cache_retention", "{place}.{key}: {ours} {theirs}");
                    }
                    Some(theirs) if key == "id" || key == "item_id" => {
                        let prefix = |id: &Value| id.as_str().unwrap().split('_').next().unwrap().to_owned();
                        assert_eq!(prefix(ours), prefix(theirs), "{place}.{key}");
                    }
                    // A snapshot of what was asked for; a response that this one went on from; what it is drawn from.
                    Some(theirs)
                        if ["model", "previous_response_id", "obfuscation", "instructions", "text"]
                            .contains(&key.as_str())
                            && !place.ends_with("part") =>
                    {
                        if key == "text" && theirs.is_string() {
                            assert_eq!(ours, theirs, "{place}.{key}");
                        } else if key == "text" {
                            assert_alike(&ours["format"]["type"], &theirs["format"]["type"], place);
                        }
                    }
                    Some(theirs) => assert_alike(ours, theirs, &format!("{place}.{key}")),
                }
            }
            for key in theirs.keys().filter(|key| !ours.contains_key(*key)) {
                let excused = THEIRS_ONLY.iter().any(|(name, _)| name == key);
                assert!(excused, "{place}: {key} is theirs only");
            }
        }
        (Value::Array(ours), Value::Array(_))
            if place.ends_with(".content") && ours.len() == 1 && ours[0]["type"] == "reasoning_text" => {}
        (Value::Array(_), Value::Array(_)) if place.ends_with(".summary") => {}
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert_alike(ours, theirs, &format!("{place}[{index}]"));
            }
        }
        (ours, theirs) => assert_eq!(ours, theirs, "{place}"),
    }
}

#[test]
fn what_openai_refused_is_refused_alike() {
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for recording in recordings.iter().filter(|one| one.path == "/v1/responses" && one.response["status"] == 400) {
        // Which models there are, and what is in a file, is not known here.
        if ["419", "426", "427", "428"].iter().any(|number| recording.name.starts_with(number)) {
            continue;
        }
        let error = responses::parse(&recording.body()).unwrap_err();
        if error.code == Some("invalid_json_schema") {
            let theirs = &recording.response["body"]["error"];
            assert_eq!(theirs["message"], error.message, "{}", recording.name);
            assert_eq!(theirs["param"], error.param.as_deref().unwrap(), "{}", recording.name);
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

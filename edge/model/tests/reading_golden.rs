//! What models write in some fifty formats, cut anywhere, against what the reference makes of it.
//!
//! The cases lie beside the project. Each is read whole, in its own pieces, byte by byte (as far as characters allow),
//! cut once at every place, and in random pieces; all must tell the same, and what the reference does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]
#![expect(clippy::print_stdout, reason = "the rates are what people want to see")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudach_model::reading::{Event, Function, Functions, Output, OutputReader};
use serde_json::{Value, json};

/// Longer texts are not cut at every single place.
const MOST_CUT: usize = 2048;

/// Cases in which the reference is not followed, and why.
const MISSES: &[(&str, &str)] = &[
    ("hermes/end-marker-in-string", "the reference looks for the end marker inside of strings, where it is none"),
    ("llama3_json/text-before", SHOWN),
    ("llama3_json/wrapped-in-text", SHOWN),
    ("olmo3/text-before", SHOWN),
    ("olmo3/unicode", SHOWN),
    ("phi4_mini_json/text-before", SHOWN),
    ("pythonic/trailing-text", "the call was given out before the text behind it came"),
];

const SHOWN: &str = "text before a call was shown when it came; the reference drops it, which a stream cannot";

#[test]
fn golden() {
    let Some(files) = files() else { return };
    let tools: Value =
        serde_json::from_str(&fs::read_to_string(files[0].parent().unwrap().join("tools.json")).unwrap()).unwrap();
    let mut failures = Vec::new();
    let mut missed = Vec::new();
    let mut total = (0, 0);
    for path in &files {
        let family: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let (mut passed, mut all) = (0, 0);
        for case in family["cases"].as_array().unwrap() {
            all += 1;
            let id = case["id"].as_str().unwrap();
            match check(&family, case, &tools) {
                Ok(()) => passed += 1,
                Err(why) if MISSES.iter().any(|(missed, _)| *missed == id) => missed.push((id.to_owned(), why)),
                Err(why) => failures.push(format!("{id}: {why}")),
            }
        }
        println!("{:>4}/{:<4} {}", passed, all, path.file_stem().unwrap().to_string_lossy());
        total = (total.0 + passed, total.1 + all);
    }
    println!("{}/{} in all", total.0, total.1);
    for (id, why) in MISSES {
        println!("missed: {id}: {why}");
        if !missed.iter().any(|(missed, _)| missed == id) {
            failures.push(format!("{id} passes, and is listed as missed"));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

fn check(family: &Value, case: &Value, tools: &Value) -> Result<(), String> {
    let reader = reader(family, tools)?;
    let raw = case["raw_output"].as_str().unwrap();
    let told = tell(&reader, &[raw]);
    let chunks: Vec<&str> = case["chunks"].as_array().unwrap().iter().map(|chunk| chunk.as_str().unwrap()).collect();
    for pieces in cuts(raw).into_iter().chain([chunks]) {
        let other = tell(&reader, &pieces);
        if other != told {
            return Err(format!("cut {pieces:?}\n  tells {other}\n  whole {told}"));
        }
    }
    let accepted = [&case["expected"], &case["streaming_expected"]]
        .into_iter()
        .chain(case["also_accepted"].as_array().into_iter().flatten());
    let streaming = case["streaming"].as_str().unwrap_or("same");
    let edges = streaming == "same up to white space at the edges";
    let partial = streaming.starts_with("may hand out the partial");
    let got = result(&told);
    for expected in accepted.filter(|expected| !expected.is_null()) {
        if same(&got, expected, edges) || (partial && begins(&got, expected, raw)) {
            return Ok(());
        }
    }
    Err(format!("{streaming}\n  {raw:?}\n  got      {got}\n  expected {}", case["expected"]))
}

/// A stream has sent what the whole text turned out not to mean.
fn begins(got: &Value, expected: &Value, raw: &str) -> bool {
    let Some([call]) = got["tool_calls"].as_array().map(Vec::as_slice) else { return false };
    let arguments = call["arguments"]["$unparsed"].as_str().unwrap_or_default();
    let _ = expected;
    raw.contains(call["name"].as_str().unwrap()) && raw.contains(arguments)
}

fn same(got: &Value, expected: &Value, edges: bool) -> bool {
    let text = |value: &Value| match value.as_str() {
        Some(text) if edges => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Some(text) => Some(text.to_owned()),
        None => None,
    };
    text(&got["content"]) == text(&expected["content"])
        && text(&got["reasoning"]) == text(&expected["reasoning"])
        && equal(&got["tool_calls"], &expected["tool_calls"])
}

/// Numbers are equal as numbers.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

/// What was told, in one value: text and reasoning joined, calls with the text of their arguments and whether they ended.
fn tell(reader: &OutputReader, pieces: &[&str]) -> Value {
    let mut reader = reader.clone();
    let (mut content, mut reasoning) = (String::new(), String::new());
    let mut calls: Vec<(String, String, bool)> = Vec::new();
    let mut emit = |event: Event<'_>| match event {
        Event::Text(text) => {
            assert!(!text.is_empty());
            content.push_str(text);
        }
        Event::Reasoning(text) => {
            assert!(!text.is_empty());
            reasoning.push_str(text);
        }
        Event::CallBegin { name } => calls.push((name.to_owned(), String::new(), false)),
        Event::CallArguments(text) => calls.last_mut().unwrap().1.push_str(text),
        Event::CallEnd => calls.last_mut().unwrap().2 = true,
        Event::Stopped => panic!("nothing stops here"),
    };
    for piece in pieces {
        reader.push(piece, &mut emit);
    }
    reader.finish(&mut emit);
    json!({"content": content, "reasoning": reasoning, "calls": calls})
}

fn result(told: &Value) -> Value {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let calls: Vec<Value> = told["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            let arguments = call[1].as_str().unwrap();
            let value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({"$unparsed": arguments}));
            json!({"name": call[0], "arguments": value})
        })
        .collect();
    json!({"reasoning": text(&told["reasoning"]), "content": text(&told["content"]), "tool_calls": calls})
}

/// The text in pieces: cut once at every place, in single characters, and in random pieces.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let places: Vec<usize> = (1..text.len()).filter(|place| text.is_char_boundary(*place)).collect();
    let mut all = vec![pieces(text, &places)];
    if text.len() <= MOST_CUT {
        all.extend(places.iter().map(|place| pieces(text, &[*place])));
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for width in [2_u64, 3, 5, 8, 13] {
        for _ in 0..4 {
            let chosen = places.iter().copied().filter(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random.is_multiple_of(width)
            });
            all.push(pieces(text, &chosen.collect::<Vec<_>>()));
        }
    }
    all
}

fn pieces<'t>(text: &'t str, places: &[usize]) -> Vec<&'t str> {
    let begins = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain([text.len()]);
    begins.zip(ends).map(|(begin, end)| &text[begin..end]).collect()
}

fn reader(family: &Value, tools: &Value) -> Result<OutputReader, String> {
    let functions: Vec<Function<'_>> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| Function {
            name: tool["function"]["name"].as_str().unwrap(),
            parameters: tool["function"]["parameters"].as_object(),
        })
        .collect();
    let tool_format = family["tool_format"].as_str().map(str::parse).transpose().map_err(|error| format!("{error}"))?;
    let reasoning_format =
        family["reasoning_format"].as_str().map(str::parse).transpose().map_err(|error| format!("{error}"))?;
    Ok(OutputReader::new(&Output {
        tool_format,
        reasoning_format,
        tools: &Arc::new(Functions::new(&functions)),
        prompt_end: family["prompt_ends_with"].as_str().unwrap(),
        offered: true,
        stops: &[],
        keep_stop: false,
        one_call: false,
    }))
}

fn files() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tool-output");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the golden outputs are missing: {}", folder.display());
        println!("skipped: there are no golden outputs in {}", folder.display());
        return None;
    }
    let by_name: BTreeMap<_, _> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_owned(), path))
        .collect();
    Some(
        by_name
            .into_values()
            .filter(|path| path.extension().is_some_and(|end| end == "json") && !path.ends_with("tools.json"))
            .collect(),
    )
}

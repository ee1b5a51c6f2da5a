//! Forced calls: any text is read without loss of what it says, and a list of calls gives exactly these calls.

use std::sync::LazyLock;

use cloudach_model::reading::{CallsReader, Forced, Function, StopReader};
use serde_json::{Map, Value, json};

use super::input::{Choices, cuts};
use super::told::Told;

/// How many bytes choose: what is forced, how the text is meant, two for the cuts.
const CHOICES: usize = 4;

/// Checks one input.
pub fn check(data: &[u8]) {
    let (mut choices, text) = Choices::split(data, CHOICES);
    let named = choices.one_of(2) == 1;
    let meant = choices.one_of(4);
    let seed = choices.one_of(256) * 256 + choices.one_of(256);
    let functions = functions();
    let forced =
        if named { Forced::Named(functions[0]) } else { Forced::Required { functions: &functions, parallel: true } };
    let reader = CallsReader::new(&forced, StopReader::new(&[], false));
    match arguments(&text) {
        Some(arguments) if meant == 1 => check_calls(&reader, named, &arguments, seed as u64),
        _ => check_text(&reader, &text, seed as u64),
    }
}

fn check_text(reader: &CallsReader, text: &str, seed: u64) {
    let told = tell(reader, &[text]);
    for pieces in cuts(text, seed) {
        assert_eq!(tell(reader, &pieces), told, "cut as {pieces:?}");
    }
    let mut signs = text.chars();
    assert!(told.content().chars().all(|sign| signs.any(|other| other == sign)), "{text:?} told {told:?}");
    for (name, arguments, _) in told.calls() {
        assert!(functions().iter().any(|function| function.name == name), "{name} was not offered");
        assert!(text.contains(arguments) || arguments == "{}", "{text:?} told {arguments:?}");
    }
}

/// The same arguments for each function, written as the engine would.
fn check_calls(reader: &CallsReader, named: bool, arguments: &str, seed: u64) {
    let functions = functions();
    let names: Vec<&str> = functions.iter().take(if named { 1 } else { 2 }).map(|function| function.name).collect();
    let call = |name: &str, before: bool| {
        let name = Value::from(name);
        if before {
            format!("{{\"parameters\": {arguments}, \"name\": {name}}}")
        } else {
            format!("{{\"name\":{name},\"parameters\":{arguments}}}")
        }
    };
    let text = if named {
        arguments.to_owned()
    } else {
        format!("[{}, {}]\n", call(names[0], seed.is_multiple_of(2)), call(names[1], seed.is_multiple_of(3)))
    };
    for pieces in cuts(&text, seed).iter().map(Vec::as_slice).chain([&[text.as_str()][..]]) {
        let told = tell(reader, pieces);
        let expected: Vec<_> = names.iter().map(|name| (*name, arguments, true)).collect();
        assert_eq!(told.calls().collect::<Vec<_>>(), expected, "{text:?}");
        assert_eq!(told.content(), "", "{text:?}");
    }
}

/// The text, if it is an object. A constraint bounds how long arguments may wait for their name.
fn arguments(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value.is_object() && text.len() < 16 * 1024).then(|| text.trim().to_owned())
}

fn tell(reader: &CallsReader, pieces: &[&str]) -> Told {
    let mut reader = reader.clone();
    let mut told = Told::default();
    for piece in pieces {
        reader.push(piece, &mut |event| told.add(event));
    }
    reader.finish(&mut |event| told.add(event));
    told
}

fn functions() -> [Function<'static>; 2] {
    static SCHEMA: LazyLock<Map<String, Value>> =
        LazyLock::new(|| json!({"properties": {"a": {"type": "string"}}}).as_object().cloned().unwrap_or_default());
    [Function { name: "known", parameters: Some(&SCHEMA) }, Function { name: "f\"é", parameters: None }]
}

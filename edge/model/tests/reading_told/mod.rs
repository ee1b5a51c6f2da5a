//! What a reader of outputs told, in one value.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::sync::Arc;

use cloudach_model::reading::{Event, Function, Functions, Output, OutputReader};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub content: String,
    pub reasoning: String,
    pub calls: Vec<(String, String, bool)>,
    pub stopped: bool,
}

impl Told {
    pub fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.content.push_str(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::CallBegin { name } => self.calls.push((name.to_owned(), String::new(), false)),
            Event::CallArguments(text) => {
                assert!(!text.is_empty());
                match self.calls.last_mut() {
                    Some(call) => call.1.push_str(text),
                    None => self.calls.push((String::new(), text.to_owned(), false)),
                }
            }
            Event::CallEnd => match self.calls.last_mut() {
                Some(call) => call.2 = true,
                None => self.calls.push((String::new(), String::new(), true)),
            },
            Event::Stopped => self.stopped = true,
        }
    }
}

pub fn tell(reader: &OutputReader, pieces: &[&str]) -> Told {
    let mut reader = reader.clone();
    let mut told = Told::default();
    for piece in pieces {
        reader.push(piece, &mut |event| {
            assert!(!told.stopped);
            told.add(event);
        });
    }
    reader.finish(&mut |event| told.add(event));
    told
}

pub fn reader(tool_format: &str, reasoning_format: &str) -> OutputReader {
    OutputReader::new(&output(tool_format, reasoning_format))
}

pub fn output(tool_format: &str, reasoning_format: &str) -> Output<'static> {
    Output {
        tool_format: (!tool_format.is_empty()).then(|| tool_format.parse().unwrap()),
        reasoning_format: (!reasoning_format.is_empty()).then(|| reasoning_format.parse().unwrap()),
        tools: tools(),
        prompt_end: "",
        offered: true,
        stops: &[],
        keep_stop: false,
        one_call: false,
    }
}

pub fn tools() -> &'static Arc<Functions> {
    static SCHEMA: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(|| {
        let schema = json!({"properties": {
            "s": {"type": "string"},
            "n": {"type": "number"},
            "b": {"type": "boolean"},
            "o": {"$ref": "#/$defs/o"},
            "u": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "l": {"type": "array", "items": {"type": "string"}},
        }, "$defs": {"o": {"type": "object"}}});
        schema.as_object().unwrap().clone()
    });
    static TOOLS: std::sync::LazyLock<Arc<Functions>> =
        std::sync::LazyLock::new(|| Arc::new(Functions::new(&[Function { name: "known", parameters: Some(&SCHEMA) }])));
    &TOOLS
}

//! `cloudach parse`: what a model's words become. Each line of the standard input holds a text as a model wrote it, in
//! any pieces; each line of the standard output what a client is told.

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use cloudach_model::reading::{Event, Function, Functions, Output, Reader, UnknownFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::lines::{self, Fault};

/// Say what a model's text is read as, for each line of JSON on the standard input.
///
/// A line: {"tool_format": NAME|null, "reasoning_format": NAME|null, "prompt_ends_with": TEXT, "tools": [..],
/// "tool_choice": .., "chunks": [TEXT, ..]}; formats by vLLM's names. The answer: {"content": TEXT|null, "reasoning":
/// TEXT|null, "tool_calls": [{"name": TEXT, "arguments": TEXT}]} or {"error": {"kind": .., "message": ..}}.
#[derive(Debug, Args)]
pub struct Parse {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    tool_format: Option<String>,
    #[serde(default)]
    reasoning_format: Option<String>,
    #[serde(default)]
    prompt_ends_with: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Value,
    chunks: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: Described,
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Serialize)]
struct Call {
    name: String,
    arguments: String,
}

impl Parse {
    pub fn run(self) -> ExitCode {
        lines::answer(told)
    }
}

fn told(line: Line) -> Result<Value, Fault> {
    let tools = line.tools.unwrap_or_default();
    let functions: Vec<Function<'_>> = tools
        .iter()
        .map(|Tool { function }| Function { name: &function.name, parameters: function.parameters.as_ref() })
        .collect();
    let mut reader = Reader::of_output(&Output {
        tool_format: format(line.tool_format.as_deref())?,
        reasoning_format: format(line.reasoning_format.as_deref())?,
        tools: &Arc::new(Functions::new(&functions)),
        prompt_end: line.prompt_ends_with.as_deref().unwrap_or_default(),
        offered: line.tool_choice != "none",
        stops: &[],
        keep_stop: false,
        one_call: false,
    });
    let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::<Call>::new());
    let mut take = |event: Event<'_>| match event {
        Event::Text(text) => content.push_str(text),
        Event::Reasoning(text) => reasoning.push_str(text),
        Event::CallBegin { name } => calls.push(Call { name: name.to_owned(), ..Call::default() }),
        Event::CallArguments(text) => {
            if let Some(call) = calls.last_mut() {
                call.arguments.push_str(text);
            }
        }
        Event::CallEnd | Event::Stopped => {}
    };
    for chunk in &line.chunks {
        reader.push(chunk, &mut take);
    }
    reader.finish(&mut take);
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(json!({ "content": some(content), "reasoning": some(reasoning), "tool_calls": calls }))
}

fn format<F: FromStr<Err = UnknownFormat>>(name: Option<&str>) -> Result<Option<F>, Fault> {
    let read = |name: &str| {
        name.parse().map_err(|error: UnknownFormat| Fault { kind: "unknown_format", message: error.to_string() })
    };
    name.map(read).transpose()
}

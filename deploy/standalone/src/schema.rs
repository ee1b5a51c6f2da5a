//! `cloudach schema`: what an engine is held to. Each line of the standard input holds a JSON Schema; each line of the
//! standard output the same set of values in the words that an engine's decoder keeps to.

use std::process::ExitCode;

use clap::Args;
use cloudach_model::schema::{self, Dialect};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lines::{self, Fault};

/// Translate JSON Schemas into what an engine's decoder truly enforces, for each line of JSON on the standard input.
///
/// A line: {"schema": {..}, "dialect": "vllm"|"llama_cpp"}. The answer: {"schema": {..}}, or {"error": {"kind": ..,
/// "message": ..}} where no translation allows exactly the same values.
#[derive(Debug, Args)]
pub struct Schema {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    schema: Value,
    #[serde(default)]
    dialect: Engine,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Engine {
    #[default]
    Vllm,
    LlamaCpp,
}

impl Schema {
    pub fn run(self) -> ExitCode {
        lines::answer(translated)
    }
}

fn translated(line: Line) -> Result<Value, Fault> {
    let dialect = match line.dialect {
        Engine::Vllm => Dialect::Vllm,
        Engine::LlamaCpp => Dialect::LlamaCpp,
    };
    let schema = schema::translate(&line.schema, dialect)
        .map_err(|error| Fault { kind: "unsupported_schema", message: error.to_string() })?;
    Ok(json!({ "schema": schema }))
}

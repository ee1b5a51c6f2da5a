//! Prompts and inputs as text or as token ids, alone or in a batch.

use serde_json::Value;

use crate::invalid::Invalid;
use crate::reader::{self, Path, integer};

/// One text to continue or to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptInput {
    /// Text, tokenised by the engine.
    Text(String),
    /// Token ids; never empty.
    Tokens(Vec<u32>),
}

const EXPECTED: &str = "one of a string, array of strings, array of integers, or array of arrays of integers";

/// Reads all four forms: a string, strings, token ids, lists of token ids. Never empty.
pub(crate) fn read(path: &Path<'_>, value: Value, most: usize) -> Result<Vec<PromptInput>, Invalid> {
    let values = match value {
        Value::String(text) => return Ok(vec![PromptInput::Text(text)]),
        Value::Array(values) => values,
        other => return Err(Invalid::wrong_type(path, EXPECTED, reader::kind(&other))),
    };
    match values.first() {
        None => Err(Invalid::empty_array(path)),
        Some(Value::Number(_)) => Ok(vec![PromptInput::Tokens(tokens(path, values)?)]),
        Some(_) if values.len() > most => Err(Invalid::array_too_long(path, most, values.len())),
        Some(Value::String(_)) => {
            reader::items(path, values, |path, value| reader::string(path, value).map(PromptInput::Text))
        }
        Some(Value::Array(_)) => reader::items(path, values, token_list),
        Some(other) => Err(Invalid::wrong_type(
            path.index(0),
            "one of a string, integer, or array of integers",
            reader::kind(other),
        )),
    }
}

fn token_list(path: &Path<'_>, value: Value) -> Result<PromptInput, Invalid> {
    match value {
        Value::Array(values) if values.is_empty() => Err(Invalid::empty_array(path)),
        Value::Array(values) => tokens(path, values).map(PromptInput::Tokens),
        other => Err(Invalid::wrong_type(path, "an array of integers", reader::kind(&other))),
    }
}

fn tokens(path: &Path<'_>, values: Vec<Value>) -> Result<Vec<u32>, Invalid> {
    reader::items(path, values, integer(0, u32::MAX.into()))
}

//! A call that the model must make: the schema that an engine enforces to that end.
//!
//! One function: its arguments, nothing else. Any function: a list of `{"name": .., "parameters": ..}`,
//! as vLLM asks for it (`tool_choice: "required"`).

use serde_json::{Map, Value, json};

use super::relocate::relocated;

/// Calls in one answer. Small models repeat themselves until something ends them.
const MOST_CALLS: u32 = 16;

/// What the client's `tool_choice` leaves the model to choose from.
#[derive(Debug, Clone, Copy)]
pub enum Forced<'a> {
    /// One call of this function.
    Named(Function<'a>),
    /// At least one call of any of these functions, of which there is at least one.
    Required {
        functions: &'a [Function<'a>],
        /// More than one call is welcome.
        parallel: bool,
    },
}

/// A function that the model may call.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    pub name: &'a str,
    /// The JSON Schema of its arguments. Without one, or with an empty one, it takes none: "omitting
    /// `parameters` defines a function with an empty parameter list" (OpenAI's API reference).
    pub parameters: Option<&'a Map<String, Value>>,
}

impl Forced<'_> {
    /// The JSON Schema of the model's answer, as JSON text with the client's order of keys.
    pub fn constraint(&self) -> String {
        match self {
            Self::Named(function) => Value::Object(function.schema()).to_string(),
            Self::Required { functions, parallel } => required(functions, *parallel).to_string(),
        }
    }
}

impl Function<'_> {
    /// Arguments are an object, also where the schema does not say so: engines take a schema without a type for one of
    /// any type.
    fn schema(&self) -> Map<String, Value> {
        match self.parameters {
            Some(parameters) if !parameters.is_empty() => {
                let mut schema = parameters.clone();
                if schema.get("type").and_then(Value::as_str).is_none() {
                    schema.insert("type".to_owned(), "object".into());
                }
                schema
            }
            _ => Map::from_iter([
                ("type".to_owned(), "object".into()),
                ("properties".to_owned(), Map::new().into()),
                ("additionalProperties".to_owned(), false.into()),
            ]),
        }
    }
}

/// The functions' own schemas stand side by side under numbers: names may differ in no more than signs
/// that engines take for the same when they name the rules of their grammars.
fn required(functions: &[Function<'_>], parallel: bool) -> Value {
    let mut calls = Vec::new();
    let mut schemas = Map::new();
    for (number, function) in functions.iter().enumerate() {
        let place = format!("#/$defs/{number}");
        calls.push(json!({
            "type": "object",
            "properties": {"name": {"const": function.name}, "parameters": {"$ref": place}},
            "required": ["name", "parameters"],
            "additionalProperties": false,
        }));
        schemas.insert(number.to_string(), relocated(function.schema(), &place));
    }
    json!({
        "type": "array",
        "minItems": 1,
        "maxItems": if parallel { MOST_CALLS } else { 1 },
        "items": {"anyOf": calls},
        "$defs": schemas,
    })
}

//! A call that the model must make: the schema that an engine enforces to that end.
//!
//! One function: its arguments, nothing else. Any function: a list of `{"name": .., "parameters": ..}`,
//! as vLLM asks for it (`tool_choice: "required"`).

use serde_json::{Map, Value, json};

use super::relocate::relocated;
use crate::schema::{self, Dialect, SchemaError};

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

/// The JSON Schema of either an answer or calls, for a model that may do both: a list is calls, an object is an answer.
/// `None`: an answer may be something else than an object, so that nothing would tell it from calls.
pub fn answer_or_calls(answer: &Value, calls: &Value) -> Option<Value> {
    let (Value::Object(answer), Value::Object(calls)) = (answer, calls) else { return None };
    is_of_objects(answer).then(|| {
        let [answer_at, calls_at] = ["#/$defs/0", "#/$defs/1"];
        json!({
            "anyOf": [{"$ref": answer_at}, {"$ref": calls_at}],
            "$defs": {"0": relocated(answer.clone(), answer_at), "1": relocated(calls.clone(), calls_at)},
        })
    })
}

/// Whether a schema in an engine's words has objects only.
fn is_of_objects(schema: &Map<String, Value>) -> bool {
    match schema.get("anyOf") {
        Some(Value::Array(schemas)) => schemas.iter().all(|schema| schema.as_object().is_some_and(is_of_objects)),
        _ => schema.get("type").is_some_and(|name| name == "object"),
    }
}

/// A function that the model may call.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    pub name: &'a str,
    /// The JSON Schema of its arguments. Without one, or with an empty one, it takes none: "omitting
    /// `parameters` defines a function with an empty parameter list" (OpenAI's API reference).
    pub parameters: Option<&'a Map<String, Value>>,
}

/// No engine can be held to a function's parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameters of function `{function}`: {error}")]
pub struct Unenforceable {
    pub function: String,
    pub error: SchemaError,
}

impl Forced<'_> {
    /// The JSON Schema of the model's answer in an engine's words, with the client's order of keys.
    ///
    /// # Errors
    /// The parameters of a function cannot be said in those words.
    pub fn constraint(&self, dialect: Dialect) -> Result<Value, Unenforceable> {
        match self {
            Self::Named(function) => function.enforced(dialect).map(Value::Object),
            Self::Required { functions, parallel } => required(functions, *parallel, dialect),
        }
    }
}

impl Function<'_> {
    /// The schema of its arguments in an engine's words.
    ///
    /// # Errors
    /// It cannot be said in those words.
    pub fn enforced(&self, dialect: Dialect) -> Result<Map<String, Value>, Unenforceable> {
        let unenforceable = |error| Unenforceable { function: self.name.to_owned(), error };
        match schema::translate(&Value::Object(self.schema()), dialect).map_err(unenforceable)? {
            Value::Object(schema) => Ok(schema),
            // Arguments are objects, and whatever else stands for all objects is written as one.
            _ => Ok(Map::from_iter([("type".to_owned(), "object".into())])),
        }
    }

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
fn required(functions: &[Function<'_>], parallel: bool, dialect: Dialect) -> Result<Value, Unenforceable> {
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
        schemas.insert(number.to_string(), relocated(function.enforced(dialect)?, &place));
    }
    Ok(json!({
        "type": "array",
        "minItems": 1,
        "maxItems": if parallel { MOST_CALLS } else { 1 },
        "items": {"anyOf": calls},
        "$defs": schemas,
    }))
}

//! What an answer must look like: OpenAI's `response_format` and vLLM's
//! `structured_outputs`, of which a request may use one.

use std::fmt;

use serde_json::{Map, Value};

use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, boolean, one_of, string};
use crate::strict;

/// Characters of the name of a schema, as at OpenAI.
pub(crate) const MOST_NAME_LENGTH: usize = 64;
/// Entries of a choice: each becomes a branch of the engine's grammar.
const MOST_CHOICES: usize = 1024;

/// The shape that the engine forces an answer into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    JsonSchema(JsonSchema),
    /// A regular expression for the whole answer.
    Regex(String),
    /// One of these texts; never empty.
    Choice(Vec<String>),
    /// A grammar in the engine's notation.
    Grammar(String),
}

/// A JSON Schema that an answer must satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSchema {
    /// In the client's key order.
    pub schema: Value,
    /// Which parameter it came in.
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// With the name that the client gave it.
    ResponseFormat(String),
    /// A response's `text.format`, with the same.
    TextFormat(String),
    StructuredOutputs,
    /// Of another dialect, with its place in the request.
    Elsewhere(String),
}

impl JsonSchema {
    /// A schema of a request in another dialect, which stands at `place` there.
    pub fn at(schema: Map<String, Value>, place: impl fmt::Display) -> Self {
        Self { schema: Value::Object(schema), origin: Origin::Elsewhere(place.to_string()) }
    }

    /// Of a response's `text.format`.
    pub(crate) fn of_text_format(schema: Value, name: String) -> Self {
        Self { schema, origin: Origin::TextFormat(name) }
    }

    /// What a client is told of a schema that cannot be enforced. Clients look for the first words (compat-spec,
    /// langchain-openai).
    pub fn refused(&self, why: impl fmt::Display) -> Invalid {
        match &self.origin {
            Origin::ResponseFormat(name) => {
                Invalid::new(format!("Invalid schema for response_format '{name}': {why}")).param("response_format")
            }
            Origin::TextFormat(name) => Invalid::new(format!("Invalid schema for response_format '{name}': {why}"))
                .param("text.format.schema")
                .code("invalid_json_schema"),
            Origin::StructuredOutputs => {
                Invalid::new(format!("Invalid schema for structured_outputs: {why}")).param("structured_outputs")
            }
            Origin::Elsewhere(place) => Invalid::new(format!("{place}: Invalid schema: {why}")).param(place),
        }
    }
}

impl Constraint {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, Invalid> {
        let format = fields.read("response_format", response_format)?.flatten();
        let structured = fields.read("structured_outputs", structured_outputs)?;
        match (format, structured) {
            (Some(_), Some(_)) => Err(Invalid::new(
                "Only one of 'response_format' and 'structured_outputs' can be used in a request. Leave one of them out.",
            )
            .param("structured_outputs")),
            (format, structured) => Ok(format.or(structured)),
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    JsonObject,
    JsonSchema,
}

fn response_format(path: &Path<'_>, value: Value) -> Result<Option<Constraint>, Invalid> {
    const FORMATS: &[(&str, Format)] =
        &[("json_object", Format::JsonObject), ("json_schema", Format::JsonSchema), ("text", Format::Text)];
    let mut fields = Fields::of(path, value)?;
    let constraint = match fields.require("type", one_of(FORMATS))? {
        Format::Text => None,
        Format::JsonObject => Some(Constraint::JsonObject),
        Format::JsonSchema => Some(fields.require("json_schema", |at, value| json_schema(at, value, path))?),
    };
    fields.no_unknown()?;
    Ok(constraint)
}

/// `blamed` is the parameter that errors about the schema's content name.
fn json_schema(path: &Path<'_>, value: Value, blamed: &Path<'_>) -> Result<Constraint, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let name = fields.require("name", reader::short_string(MOST_NAME_LENGTH))?;
    if !is_name(&name) {
        return Err(Invalid::pattern(path.field("name"), NAME_PATTERN));
    }
    fields.read("description", string)?;
    let strict = fields.read("strict", boolean)?.unwrap_or(false);
    let schema = fields.require("schema", reader::object)?;
    fields.no_unknown()?;
    if strict {
        strict::check(&schema).map_err(|fault| {
            Invalid::new(format!("Invalid schema for response_format '{name}': {fault}")).param(blamed)
        })?;
    }
    Ok(Constraint::JsonSchema(JsonSchema { schema: Value::Object(schema), origin: Origin::ResponseFormat(name) }))
}

/// Names of functions and of schemas.
pub(crate) const NAME_PATTERN: &str = "^[a-zA-Z0-9_-]+$";

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn structured_outputs(path: &Path<'_>, value: Value) -> Result<Constraint, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let found: Vec<Constraint> = [
        fields.read("json", schema_or_text)?,
        fields.read("json_object", boolean)?.and_then(|wanted| wanted.then_some(Constraint::JsonObject)),
        fields.read("regex", string)?.map(Constraint::Regex),
        fields.read("choice", choice)?.map(Constraint::Choice),
        fields.read("grammar", string)?.map(Constraint::Grammar),
    ]
    .into_iter()
    .flatten()
    .collect();
    fields.no_unknown()?;
    match <[Constraint; 1]>::try_from(found) {
        Ok([constraint]) => Ok(constraint),
        Err(found) => Err(Invalid::new(format!(
            "Invalid '{path}': expected exactly one of 'json', 'json_object', 'regex', 'choice', and 'grammar', but got {}.",
            found.len()
        ))
        .param(path)
        .code("invalid_value")),
    }
}

/// A schema as an object, or as the text of one.
fn schema_or_text(path: &Path<'_>, value: Value) -> Result<Constraint, Invalid> {
    let schema = match value {
        Value::Object(schema) => Value::Object(schema),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(schema)) => Value::Object(schema),
            _ => {
                return Err(Invalid::new(format!("Invalid '{path}': the string is not the JSON text of an object."))
                    .param(path)
                    .code("invalid_value"));
            }
        },
        other => return Err(Invalid::wrong_type(path, "one of an object or string", reader::kind(&other))),
    };
    Ok(Constraint::JsonSchema(JsonSchema { schema, origin: Origin::StructuredOutputs }))
}

fn choice(path: &Path<'_>, value: Value) -> Result<Vec<String>, Invalid> {
    let choices = reader::array("an array of strings", string)(path, value)?;
    match choices.len() {
        0 => Err(Invalid::empty_array(path)),
        count if count > MOST_CHOICES => Err(Invalid::array_too_long(path, MOST_CHOICES, count)),
        _ => Ok(choices),
    }
}

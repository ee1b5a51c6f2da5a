//! `text`: what the answer must look like.

use serde_json::{Value, json};

use crate::constraint::{Constraint, JsonSchema, MOST_NAME_LENGTH, NAME_PATTERN, is_name};
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, boolean, one_of, string};
use crate::strict;

/// What is asked for, and as the answer repeats it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) constraint: Option<Constraint>,
    pub(crate) told: Value,
}

impl Default for Text {
    fn default() -> Self {
        Self { constraint: None, told: json!({"format": {"type": "text"}, "verbosity": "medium"}) }
    }
}

pub(crate) fn text(path: &Path<'_>, value: Value) -> Result<Text, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let format = fields.read("format", format)?;
    fields.read("verbosity", |path, value| {
        let verbosity = one_of(&[("low", "'low'"), ("medium", ""), ("high", "'high'")])(path, value)?;
        if verbosity.is_empty() {
            return Ok(());
        }
        Err(Invalid::unsupported_value(path, verbosity, "Supported values are: 'medium'."))
    })?;
    fields.no_unknown()?;
    let (constraint, told) = format.unwrap_or_else(|| (None, json!({"type": "text"})));
    Ok(Text { constraint, told: json!({"format": told, "verbosity": "medium"}) })
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    JsonObject,
    JsonSchema,
}

fn format(path: &Path<'_>, value: Value) -> Result<(Option<Constraint>, Value), Invalid> {
    const FORMATS: &[(&str, Format)] =
        &[("json_object", Format::JsonObject), ("json_schema", Format::JsonSchema), ("text", Format::Text)];
    let mut fields = Fields::of(path, value)?;
    let read = match fields.require("type", one_of(FORMATS))? {
        Format::Text => (None, json!({"type": "text"})),
        Format::JsonObject => (Some(Constraint::JsonObject), json!({"type": "json_object"})),
        Format::JsonSchema => json_schema(path, &mut fields)?,
    };
    fields.no_unknown()?;
    Ok(read)
}

fn json_schema(path: &Path<'_>, fields: &mut Fields<'_>) -> Result<(Option<Constraint>, Value), Invalid> {
    let name = fields.require("name", reader::short_string(MOST_NAME_LENGTH))?;
    if !is_name(&name) {
        return Err(Invalid::pattern(path.field("name"), NAME_PATTERN));
    }
    let description = fields.read("description", string)?;
    let strict = fields.read("strict", boolean)?.unwrap_or(false);
    let schema = fields.require("schema", reader::object)?;
    let checked = if strict { strict::check(&schema) } else { Ok(()) };
    let told = json!({
        "type": "json_schema",
        "description": description,
        "name": name,
        "schema": schema,
        "strict": strict,
    });
    let schema = JsonSchema::of_text_format(Value::Object(schema), name);
    checked.map_err(|fault| schema.refused(fault))?;
    Ok((Some(Constraint::JsonSchema(schema)), told))
}

//! Tools in the flat form of responses, and the choice among them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::chat::{Tool, ToolChoice};
use crate::chat::{function, narrow_choice, tools_within_bounds};
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, one_of, string};
use crate::strict;

/// The tools that are offered, and as the answer repeats them.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) tools: Arc<[Tool]>,
    pub(crate) choice: ToolChoice,
    pub(crate) told: Vec<Value>,
    pub(crate) told_choice: Value,
}

impl Tools {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let read = fields.read("tools", |path, value| {
            let tools = reader::array("an array of objects", tool)(path, value)?;
            let (tools, told): (Vec<Tool>, Vec<Value>) = tools.into_iter().unzip();
            // Clients that have none send an empty list here.
            Ok((if tools.is_empty() { tools } else { tools_within_bounds(path, tools)? }, told))
        })?;
        let (tools, told) = read.unwrap_or_default();
        let tools: Arc<[Tool]> = tools.into();
        let asked = fields.read("tool_choice", |path, value| Ok((choice(path, value.clone())?, value)))?;
        let (asked, told_choice) = asked.map_or((None, json!("auto")), |(asked, value)| (Some(asked), value));
        let (tools, choice) = match asked {
            None if tools.is_empty() => (tools, ToolChoice::None),
            None => (tools, ToolChoice::Auto),
            Some(Choice::Word(ToolChoice::Auto)) if tools.is_empty() => (tools, ToolChoice::None),
            Some(Choice::Word(ToolChoice::Required)) if tools.is_empty() => {
                return Err(Invalid::new("Tool choice 'required' must be specified with 'tools' parameter.")
                    .param("tool_choice"));
            }
            Some(Choice::Word(choice)) => narrow_choice(choice, None, tools)?,
            Some(Choice::Among(choice, names)) => narrow_choice(choice, Some(names), tools)?,
        };
        Ok(Self { tools, choice, told, told_choice })
    }
}

/// Whose tool it is.
#[derive(Clone, Copy)]
enum Kind {
    Function,
    /// OpenAI's own servers run it.
    Hosted,
    /// It has no schema.
    Custom,
}

const KINDS: &[(&str, Kind)] = &[
    ("function", Kind::Function),
    ("file_search", Kind::Hosted),
    ("web_search", Kind::Hosted),
    ("web_search_2025_08_26", Kind::Hosted),
    ("web_search_preview", Kind::Hosted),
    ("web_search_preview_2025_03_11", Kind::Hosted),
    ("computer", Kind::Hosted),
    ("computer_use_preview", Kind::Hosted),
    ("code_interpreter", Kind::Hosted),
    ("image_generation", Kind::Hosted),
    ("mcp", Kind::Hosted),
    ("local_shell", Kind::Hosted),
    ("shell", Kind::Hosted),
    ("apply_patch", Kind::Hosted),
    ("tool_search", Kind::Hosted),
    ("namespace", Kind::Hosted),
    ("custom", Kind::Custom),
];

fn tool(path: &Path<'_>, value: Value) -> Result<(Tool, Value), Invalid> {
    let mut fields = Fields::of(path, value.clone())?;
    fields.require("type", function_type)?;
    let mut tool = function(path, value.clone())?;
    // Who does not say gets a strict function where the schema is one, and else one that is not. OpenAI rewrites it so
    // that it is.
    if fields.read("strict", |_, _| Ok(()))?.is_none() {
        tool.strict = tool.parameters.as_ref().is_some_and(is_strict);
    }
    let told = json!({
        "type": "function",
        "description": tool.description,
        "name": tool.name,
        "parameters": tool.parameters,
        "strict": tool.strict,
    });
    Ok((tool, told))
}

fn function_type(path: &Path<'_>, value: Value) -> Result<(), Invalid> {
    let word = string(path, value.clone())?;
    match one_of(KINDS)(path, value)? {
        Kind::Function => Ok(()),
        Kind::Custom => Err(Invalid::unsupported_value(path, "'custom'", "Use 'function' instead.")),
        Kind::Hosted => Err(Invalid::new(format!(
            "Hosted tool '{word}' is not supported with this model: this server runs no tools. Use a function of your own \
             instead."
        ))
        .param(path)
        .code("unsupported_value")),
    }
}

/// Whether a schema keeps the rules of strict ones, and says nothing but what every engine can be held to.
fn is_strict(schema: &Map<String, Value>) -> bool {
    strict::check(schema).is_ok() && is_plain(&Value::Object(schema.clone()))
}

/// The recursion is as deep as the JSON that was read, which has a bound.
fn is_plain(schema: &Value) -> bool {
    const KEYWORDS: &[&str] =
        &["type", "properties", "required", "items", "enum", "description", "title", "additionalProperties"];
    let Value::Object(schema) = schema else { return true };
    schema.iter().all(|(keyword, value)| {
        KEYWORDS.contains(&keyword.as_str())
            && match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => properties.values().all(is_plain),
                ("items", items) => items.is_object() && is_plain(items),
                ("type", named) => named.is_string(),
                _ => true,
            }
    })
}

enum Choice {
    Word(ToolChoice),
    /// A choice among some of the tools.
    Among(ToolChoice, Vec<String>),
}

fn choice(path: &Path<'_>, value: Value) -> Result<Choice, Invalid> {
    match value {
        Value::String(_) => {
            let words = [("none", 0), ("auto", 1), ("required", 2)];
            Ok(Choice::Word(match one_of(&words)(path, value)? {
                0 => ToolChoice::None,
                1 => ToolChoice::Auto,
                _ => ToolChoice::Required,
            }))
        }
        Value::Object(_) if value.get("type").and_then(Value::as_str) == Some("allowed_tools") => {
            let mut fields = Fields::of(path, value)?;
            let required = fields.require("mode", one_of(&[("auto", false), ("required", true)]))?;
            let names = fields.require("tools", |path, value| {
                let names = reader::array("an array of objects", named)(path, value)?;
                if names.is_empty() { Err(Invalid::empty_array(path)) } else { Ok(names) }
            })?;
            Ok(Choice::Among(if required { ToolChoice::Required } else { ToolChoice::Auto }, names))
        }
        Value::Object(_) => named(path, value).map(|name| Choice::Word(ToolChoice::Named(name))),
        other => Err(Invalid::wrong_type(
            path,
            "one of one of 'none', 'auto', or 'required' or object",
            reader::kind(&other),
        )),
    }
}

fn named(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let mut fields = Fields::of(path, value)?;
    fields.require("type", function_type)?;
    fields.require("name", string)
}

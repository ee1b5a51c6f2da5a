//! The tools that a client offers to the model, and whether the model may use them.

use serde_json::{Map, Value};

use crate::chat::message::function_type;
use crate::constraint::{NAME_PATTERN, is_name};
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, boolean, string};
use crate::strict;

/// Tools in one request, as at OpenAI.
const MOST_TOOLS: usize = 128;
/// Characters of a function's name, as at OpenAI.
const MOST_NAME_LENGTH: usize = 64;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, in the client's key order.
    pub parameters: Option<Map<String, Value>>,
    /// The arguments must satisfy the schema.
    pub strict: bool,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoice {
    /// They are not offered to it.
    None,
    /// It decides.
    Auto,
}

/// A tool as a template takes it; `strict` speaks to the gateway and not to the model.
impl From<Tool> for Value {
    fn from(tool: Tool) -> Self {
        let mut function = Map::new();
        function.insert("name".into(), tool.name.into());
        if let Some(description) = tool.description {
            function.insert("description".into(), description.into());
        }
        if let Some(parameters) = tool.parameters {
            function.insert("parameters".into(), parameters.into());
        }
        let mut fields = Map::new();
        fields.insert("type".into(), "function".into());
        fields.insert("function".into(), function.into());
        Value::Object(fields)
    }
}

/// The three arguments about tools, which make sense together only.
pub(crate) struct Tools {
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: ToolChoice,
    pub(crate) parallel: bool,
}

impl Tools {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let tools = fields.read("tools", tools)?.unwrap_or_default();
        let choice = fields.read("tool_choice", tool_choice)?;
        let parallel = fields.read("parallel_tool_calls", boolean)?;
        if tools.is_empty() {
            // `none` asks for what happens anyway.
            if choice == Some(ToolChoice::Auto) {
                return Err(only_with_tools("tool_choice"));
            }
            if parallel.is_some() {
                return Err(only_with_tools("parallel_tool_calls"));
            }
            return Ok(Self { tools, choice: ToolChoice::None, parallel: true });
        }
        let parallel = parallel.unwrap_or(true);
        match choice.unwrap_or(ToolChoice::Auto) {
            ToolChoice::None => Ok(Self { tools: vec![], choice: ToolChoice::None, parallel }),
            ToolChoice::Auto => Ok(Self { tools, choice: ToolChoice::Auto, parallel }),
        }
    }
}

fn only_with_tools(name: &str) -> Invalid {
    Invalid::new(format!("Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."))
        .param(name)
}

fn tools(path: &Path<'_>, value: Value) -> Result<Vec<Tool>, Invalid> {
    let tools = reader::array("an array of objects", tool)(path, value)?;
    match tools.len() {
        0 => Err(Invalid::empty_array(path)),
        count if count > MOST_TOOLS => Err(Invalid::array_too_long(path, MOST_TOOLS, count)),
        _ => Ok(tools),
    }
}

fn tool(path: &Path<'_>, value: Value) -> Result<Tool, Invalid> {
    let mut fields = Fields::of(path, value)?;
    fields.require("type", function_type)?;
    fields.require("function", function)
}

fn function(path: &Path<'_>, value: Value) -> Result<Tool, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let name = fields.require("name", reader::short_string(MOST_NAME_LENGTH))?;
    if !is_name(&name) {
        return Err(Invalid::pattern(path.field("name"), NAME_PATTERN));
    }
    let description = fields.read("description", string)?;
    let parameters = fields.read("parameters", reader::object)?;
    let strict = fields.read("strict", boolean)?.unwrap_or(false);
    if let Some(schema) = &parameters {
        let checked = if strict { strict::check(schema) } else { strict::check_root(schema, false) };
        checked.map_err(|fault| {
            Invalid::new(format!("Invalid schema for function '{name}': {fault}"))
                .param(path.field("parameters"))
                .code("invalid_function_parameters")
        })?;
    }
    Ok(Tool { name, description, parameters, strict })
}

/// Forcing a call needs the model's own notation for calls, so it is refused until the gateway reads it.
fn tool_choice(path: &Path<'_>, value: Value) -> Result<ToolChoice, Invalid> {
    const CHOICES: &[(&str, Option<ToolChoice>)] =
        &[("none", Some(ToolChoice::None)), ("auto", Some(ToolChoice::Auto)), ("required", None)];
    match value {
        Value::String(_) => reader::one_of(CHOICES)(path, value)?
            .ok_or_else(|| Invalid::unsupported_value(path, "'required'", "Use 'auto' instead.")),
        Value::Object(_) => Err(Invalid::unsupported_value(path, "a named tool", "Use 'auto' instead.")),
        other => Err(Invalid::wrong_type(path, "one of a string or object", reader::kind(&other))),
    }
}

//! The tools that a client offers to the model, and whether the model may use them.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

use crate::chat::functions;
use crate::chat::message::function_type;
use crate::chat::tool_choice::{self, Asked};
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
    /// The parameter that its schema came in, for errors about it.
    place: String,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// They are not offered to it.
    None,
    /// It decides.
    Auto,
    /// It must call one or more.
    Required,
    /// It must call the tool of this name, which is one of those offered.
    Named(String),
}

/// In which words a client speaks of calls, and reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallForm {
    /// `tools` and `tool_calls`.
    Tools,
    /// `functions` and `function_call`: the older form, which has room for one call.
    Functions,
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

impl Tool {
    /// A tool of a request in another dialect. `place` is where its schema stands there, for errors about it.
    pub fn new(
        name: String,
        description: Option<String>,
        parameters: Option<Map<String, Value>>,
        strict: bool,
        place: String,
    ) -> Self {
        Self { name, description, parameters, strict, place }
    }

    /// What a client is told of parameters that cannot be enforced.
    pub fn refused(&self, why: impl fmt::Display) -> Invalid {
        Invalid::new(format!("Invalid schema for function '{}': {why}", self.name))
            .param(&self.place)
            .code("invalid_function_parameters")
    }

    pub(crate) fn find<'t>(tools: &'t [Self], name: &str) -> Option<&'t Self> {
        tools.iter().find(|tool| tool.name == name)
    }
}

/// Gives the tools that this text of `tools` stands for: as they were read before, or by the function.
pub type Known<'k> = dyn FnMut(&str, &dyn Fn() -> Result<Arc<[Tool]>, Invalid>) -> Result<Arc<[Tool]>, Invalid> + 'k;

/// The arguments about tools, which make sense together only.
pub(crate) struct Tools {
    pub(crate) tools: Arc<[Tool]>,
    pub(crate) choice: ToolChoice,
    pub(crate) parallel: bool,
    pub(crate) form: CallForm,
}

impl Tools {
    /// `text`: that of `tools`, where it was set apart from the other fields.
    pub(crate) fn read(fields: &mut Fields<'_>, text: Option<&str>, known: &mut Known<'_>) -> Result<Self, Invalid> {
        let functions = functions::read(fields)?;
        let tools = match text {
            Some(text) => Some(known(text, &|| of_text(text))?),
            None => fields.read("tools", tools)?.map(Arc::from),
        };
        let choice = fields.read("tool_choice", tool_choice::read)?;
        let parallel = fields.read("parallel_tool_calls", boolean)?;
        let Some(tools) = tools else {
            // `none` asks for what happens anyway.
            if choice.is_some_and(|asked| !matches!(asked, Asked::Choice(ToolChoice::None))) {
                return Err(only_with_tools("tool_choice"));
            }
            if parallel.is_some() {
                return Err(only_with_tools("parallel_tool_calls"));
            }
            let Some((tools, choice)) = functions else {
                return Ok(Self {
                    tools: Arc::default(),
                    choice: ToolChoice::None,
                    parallel: true,
                    form: CallForm::Tools,
                });
            };
            let tools = if choice == ToolChoice::None { Arc::default() } else { tools.into() };
            return Ok(Self { tools, choice, parallel: false, form: CallForm::Functions });
        };
        if functions.is_some() {
            return Err(Invalid::new(
                "Invalid request: 'functions' and 'tools' cannot both be provided. 'functions' are deprecated; use the \
                 'tools' parameter instead.",
            ));
        }
        let (tools, choice) = choice.unwrap_or(Asked::Choice(ToolChoice::Auto)).narrow(tools)?;
        Ok(Self { tools, choice, parallel: parallel.unwrap_or(true), form: CallForm::Tools })
    }
}

fn only_with_tools(name: &str) -> Invalid {
    Invalid::new(format!("Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."))
        .param(name)
}

fn of_text(text: &str) -> Result<Arc<[Tool]>, Invalid> {
    let value = serde_json::from_str(text).map_err(|_| Invalid::malformed())?;
    tools(&Path::ROOT.field("tools"), value).map(Arc::from)
}

fn tools(path: &Path<'_>, value: Value) -> Result<Vec<Tool>, Invalid> {
    within_bounds(path, reader::array("an array of objects", tool)(path, value)?)
}

/// From one to the most that OpenAI takes.
pub(crate) fn within_bounds(path: &Path<'_>, tools: Vec<Tool>) -> Result<Vec<Tool>, Invalid> {
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

/// The description of a function, in `tools` and in `functions` alike.
pub(crate) fn function(path: &Path<'_>, value: Value) -> Result<Tool, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let name = fields.require("name", reader::short_string(MOST_NAME_LENGTH))?;
    if name.is_empty() {
        return Err(Invalid::empty_string(path.field("name")));
    }
    if !is_name(&name) {
        return Err(Invalid::pattern(path.field("name"), NAME_PATTERN));
    }
    let description = fields.read("description", string)?;
    let parameters = fields.read("parameters", reader::object)?;
    let strict = fields.read("strict", boolean)?.unwrap_or(false);
    let tool = Tool { name, description, parameters, strict, place: path.field("parameters").to_string() };
    if let Some(schema) = &tool.parameters {
        let checked = if strict { strict::check(schema) } else { strict::check_root(schema, false) };
        checked.map_err(|fault| tool.refused(fault))?;
    }
    Ok(tool)
}

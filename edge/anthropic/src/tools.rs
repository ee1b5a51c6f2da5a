//! The tools that a client offers, and whether the model must use them.

use std::sync::Arc;

use cloudach_openai::Invalid;
use cloudach_openai::chat::{Known, Tool, ToolChoice};
use serde_json::Value;

use crate::reader::{Fields, Path, boolean, list, object, one_of, short_string, shorten, string, value_of};

/// As many as a chat may offer.
const MOST_TOOLS: usize = 128;
/// Characters of a tool's name.
const MOST_NAME: usize = 128;

pub(crate) struct Tools {
    pub(crate) tools: Arc<[Tool]>,
    pub(crate) choice: ToolChoice,
    pub(crate) parallel: bool,
}

impl Tools {
    /// `text`: that of `tools`, where it was set apart from the other fields.
    pub(crate) fn read(fields: &mut Fields<'_>, text: Option<&str>, known: &mut Known<'_>) -> Result<Self, Invalid> {
        let tools = match text {
            Some(text) => known(text, &|| of_text(text))?,
            None => fields.read("tools", list(MOST_TOOLS, tool))?.unwrap_or_default().into(),
        };
        let (choice, parallel) = fields.read("tool_choice", tool_choice)?.unwrap_or((ToolChoice::Auto, true));
        match &choice {
            ToolChoice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
                Err(wrong_choice(format!("tool_choice: Tool '{}' not found in provided tools", shorten(name))))
            }
            ToolChoice::Required if tools.is_empty() => {
                Err(wrong_choice("tool_choice: 'any' needs at least one tool in 'tools'".to_owned()))
            }
            _ if tools.is_empty() => Ok(Self { tools, choice: ToolChoice::None, parallel: true }),
            ToolChoice::None => Ok(Self { tools: Arc::default(), choice, parallel }),
            _ => Ok(Self { tools, choice, parallel }),
        }
    }
}

fn of_text(text: &str) -> Result<Arc<[Tool]>, Invalid> {
    list(MOST_TOOLS, tool)(&Path::ROOT.field("tools"), value_of(text)?).map(Arc::from)
}

fn wrong_choice(message: String) -> Invalid {
    Invalid { message, param: Some("tool_choice".to_owned()), code: None }
}

fn tool(path: &Path<'_>, value: Value) -> Result<Tool, Invalid> {
    let mut fields = Fields::of(path, value)?;
    if let Some(kind) = fields.read("type", string)?.filter(|kind| kind != "custom") {
        // Anthropic runs some of these itself, and its models know the others by heart.
        return Err(path.field("type").wrong(format_args!(
            "tools of type '{}' are not available here; describe the tool with 'name' and 'input_schema'",
            shorten(&kind)
        )));
    }
    let name = fields.require("name", short_string(1, MOST_NAME))?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err(path.field("name").wrong("String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"));
    }
    let description = fields.read("description", string)?;
    let schema = fields.require("input_schema", object)?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(path.field("input_schema").field("type").wrong("Input should be 'object'"));
    }
    let strict = fields.read("strict", boolean)?.unwrap_or(false);
    fields.pass_over(&["cache_control", "defer_loading", "allowed_callers", "input_examples", "eager_input_streaming"]);
    fields.no_others()?;
    let place = path.field("input_schema").to_string();
    Ok(Tool::new(name, description, Some(schema), strict, place))
}

#[derive(Clone, Copy)]
enum Kind {
    Auto,
    Any,
    Tool,
    None,
}

fn tool_choice(path: &Path<'_>, value: Value) -> Result<(ToolChoice, bool), Invalid> {
    const KINDS: &[(&str, Kind)] =
        &[("auto", Kind::Auto), ("any", Kind::Any), ("tool", Kind::Tool), ("none", Kind::None)];
    let mut fields = Fields::of(path, value)?;
    let choice = match fields.require("type", one_of(KINDS))? {
        Kind::Auto => ToolChoice::Auto,
        Kind::Any => ToolChoice::Required,
        Kind::Tool => ToolChoice::Named(fields.require("name", string)?),
        Kind::None => ToolChoice::None,
    };
    let one_at_a_time = fields.read("disable_parallel_tool_use", boolean)?.unwrap_or(false);
    fields.no_others()?;
    Ok((choice, !one_at_a_time))
}

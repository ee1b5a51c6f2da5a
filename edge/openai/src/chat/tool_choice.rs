//! `tool_choice`: whether the model may, must or must not call, and which of its tools.

use std::sync::Arc;

use serde_json::Value;

use crate::chat::message::function_type;
use crate::chat::tools::{Tool, ToolChoice};
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, one_of, string};

/// What a client may write.
pub(crate) enum Asked {
    Choice(ToolChoice),
    /// A choice among some of the tools; the names are not empty.
    Among(ToolChoice, Vec<String>),
}

impl Asked {
    /// The tools that are left to offer, and what the model may do with them.
    pub(crate) fn narrow(self, tools: Arc<[Tool]>) -> Result<(Arc<[Tool]>, ToolChoice), Invalid> {
        match self {
            Self::Choice(ToolChoice::None) => Ok((Arc::default(), ToolChoice::None)),
            Self::Choice(ToolChoice::Named(name)) => match Tool::find(&tools, &name) {
                Some(_) => Ok((tools, ToolChoice::Named(name))),
                None => Err(Invalid::no_function(&name, "tool_choice", "tools")),
            },
            Self::Choice(choice) => Ok((tools, choice)),
            Self::Among(choice, names) => {
                if let Some(name) = names.iter().find(|name| Tool::find(&tools, name).is_none()) {
                    return Err(Invalid::no_allowed_tool(name));
                }
                let among = tools.iter().filter(|tool| names.contains(&tool.name)).cloned();
                Ok((among.collect(), choice))
            }
        }
    }
}

/// The tools that are left to offer where a choice is made among those of these names, or all, and what the model may do
/// with them.
pub(crate) fn narrow(
    choice: ToolChoice,
    among: Option<Vec<String>>,
    tools: Arc<[Tool]>,
) -> Result<(Arc<[Tool]>, ToolChoice), Invalid> {
    match among {
        Some(names) => Asked::Among(choice, names).narrow(tools),
        None => Asked::Choice(choice).narrow(tools),
    }
}

pub(crate) fn read(path: &Path<'_>, value: Value) -> Result<Asked, Invalid> {
    match value {
        Value::String(_) => word(path, value).map(Asked::Choice),
        Value::Object(_) => object(path, value),
        // The stammer is OpenAI's.
        other => Err(Invalid::wrong_type(
            path,
            "one of one of 'none', 'auto', or 'required' or object",
            reader::kind(&other),
        )),
    }
}

fn word(path: &Path<'_>, value: Value) -> Result<ToolChoice, Invalid> {
    #[derive(Clone, Copy)]
    enum Word {
        None,
        Auto,
        Required,
    }
    const WORDS: &[(&str, Word)] = &[("none", Word::None), ("auto", Word::Auto), ("required", Word::Required)];
    Ok(match one_of(WORDS)(path, value)? {
        Word::None => ToolChoice::None,
        Word::Auto => ToolChoice::Auto,
        Word::Required => ToolChoice::Required,
    })
}

fn object(path: &Path<'_>, value: Value) -> Result<Asked, Invalid> {
    if value.get("type").and_then(Value::as_str) == Some("allowed_tools") {
        return Fields::of(path, value)?.require("allowed_tools", allowed_tools);
    }
    named(path, value).map(|name| Asked::Choice(ToolChoice::Named(name)))
}

fn allowed_tools(path: &Path<'_>, value: Value) -> Result<Asked, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let required = fields.require("mode", one_of(&[("auto", false), ("required", true)]))?;
    let names = fields.require("tools", |path, value| {
        let names = reader::array("an array of objects", named)(path, value)?;
        if names.is_empty() { Err(Invalid::empty_array(path)) } else { Ok(names) }
    })?;
    Ok(Asked::Among(if required { ToolChoice::Required } else { ToolChoice::Auto }, names))
}

/// OpenAI looks for the function before it looks at the type.
fn named(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let mut fields = Fields::of(path, value)?;
    if fields.is("type", "custom") {
        fields.require("type", function_type)?;
    }
    let name = fields.require("function", |path, value| Fields::of(path, value)?.require("name", string))?;
    fields.require("type", function_type)?;
    Ok(name)
}

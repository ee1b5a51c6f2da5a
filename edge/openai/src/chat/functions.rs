//! Tools by their older names: `functions` and `function_call`, which OpenAI still takes.

use serde_json::Value;

use crate::chat::tools::{Tool, ToolChoice, function, within_bounds};
use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, one_of, string};

/// The two arguments, which make sense together only. `None`: the client offers no functions.
pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<(Vec<Tool>, ToolChoice)>, Invalid> {
    let functions = fields.read("functions", functions)?;
    let choice = fields.read("function_call", function_call)?;
    let Some(functions) = functions else {
        // `none` asks for what happens anyway.
        return match choice {
            None | Some(ToolChoice::None) => Ok(None),
            Some(_) => Err(Invalid::new(
                "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
            )
            .param("function_call")),
        };
    };
    if let Some(ToolChoice::Named(name)) = &choice {
        Tool::find(&functions, name).ok_or_else(|| Invalid::no_function(name, "function_call", "functions"))?;
    }
    Ok(Some((functions, choice.unwrap_or(ToolChoice::Auto))))
}

fn functions(path: &Path<'_>, value: Value) -> Result<Vec<Tool>, Invalid> {
    within_bounds(path, reader::array("an array of function definitions", function)(path, value)?)
}

fn function_call(path: &Path<'_>, value: Value) -> Result<ToolChoice, Invalid> {
    match value {
        Value::String(_) => {
            let may_call = one_of(&[("none", false), ("auto", true)])(path, value)?;
            Ok(if may_call { ToolChoice::Auto } else { ToolChoice::None })
        }
        Value::Object(_) => Ok(ToolChoice::Named(Fields::of(path, value)?.require("name", string)?)),
        other => Err(Invalid::wrong_type(path, "one of 'none' or 'auto' or object", reader::kind(&other))),
    }
}

//! The rules that `strict: true` lays on a JSON Schema, checked before an engine
//! sees it: the client learns where its schema breaks them, in OpenAI's words.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

/// What is wrong with a schema, to be put behind its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a schema whose root must be an object with no freedom in its keys.
pub(crate) fn check(schema: &Value) -> Result<(), Fault> {
    check_root(schema, true)?;
    check_node(schema, &mut Vec::new())
}

/// Checks only that the root describes an object; schemas that are not strict may leave the type out.
pub(crate) fn check_root(schema: &Value, type_required: bool) -> Result<(), Fault> {
    let named = match schema.get("type") {
        Some(Value::String(name)) if name == "object" => return Ok(()),
        None | Some(Value::Null) if !type_required => return Ok(()),
        Some(Value::String(name)) => name,
        _ => "None",
    };
    Err(Fault(format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{}\"'.", crate::invalid::shorten(named))))
}

/// The depth is bounded by that of the JSON it was read from.
fn check_node<'s>(node: &'s Value, context: &mut Vec<&'s str>) -> Result<(), Fault> {
    let Value::Object(node) = node else { return Ok(()) };
    if node.get("type").and_then(Value::as_str) == Some("object") || node.contains_key("properties") {
        check_object(node, context)?;
    }
    for key in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(children)) = node.get(key) {
            for (name, child) in children {
                descend(child, &[key, name], context)?;
            }
        }
    }
    if let Some(items) = node.get("items") {
        descend(items, &["items"], context)?;
    }
    if let Some(Value::Array(branches)) = node.get("anyOf") {
        for (position, branch) in branches.iter().enumerate() {
            // Only the first ten branches get their number: a name must outlive the walk.
            let name = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].get(position).copied().unwrap_or("...");
            descend(branch, &["anyOf", name], context)?;
        }
    }
    Ok(())
}

fn descend<'s>(child: &'s Value, steps: &[&'s str], context: &mut Vec<&'s str>) -> Result<(), Fault> {
    let before = context.len();
    context.extend_from_slice(steps);
    check_node(child, context)?;
    context.truncate(before);
    Ok(())
}

fn check_object(node: &Map<String, Value>, context: &[&str]) -> Result<(), Fault> {
    let place = || in_context(context);
    if node.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(Fault(format!("In context={}, 'additionalProperties' is required to be supplied and to be false.", place())));
    }
    let Some(Value::Object(properties)) = node.get("properties") else { return Ok(()) };
    let required: Vec<&str> = match node.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let required: std::collections::HashSet<&str> = required.into_iter().collect();
    match properties.keys().find(|name| !required.contains(name.as_str())) {
        None => Ok(()),
        Some(missing) => Err(Fault(format!(
            "In context={}, 'required' is required to be supplied and to be an array including every key in properties. \
             Missing '{}'.",
            place(),
            crate::invalid::shorten(missing)
        ))),
    }
}

/// The way to a node, written like a Python tuple.
fn in_context(context: &[&str]) -> String {
    let mut text = String::from("(");
    for (position, step) in context.iter().enumerate() {
        let gap = if position > 0 { ", " } else { "" };
        write!(text, "{gap}'{}'", crate::invalid::shorten(step)).expect("memory takes all of it");
    }
    text.push_str(if context.len() == 1 { ",)" } else { ")" });
    text
}

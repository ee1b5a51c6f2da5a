//! The rules that `strict: true` lays on a JSON Schema, checked before an engine
//! sees it: the client learns where its schema breaks them, in OpenAI's words.

use std::collections::HashSet;
use std::fmt::{self, Write};

use serde_json::{Map, Value};

use crate::invalid::shorten;

/// What is wrong with a schema, to be put behind its name.
#[derive(Debug)]
pub(crate) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a schema whose root must be an object and whose objects leave no freedom in their keys.
pub(crate) fn check(schema: &Map<String, Value>) -> Result<(), Fault> {
    check_root(schema, true)?;
    check_node(schema, &mut Vec::new())
}

/// Checks only that the root describes an object; schemas that are not strict may leave the type out.
pub(crate) fn check_root(schema: &Map<String, Value>, type_required: bool) -> Result<(), Fault> {
    let named = match schema.get("type") {
        Some(Value::String(name)) if name == "object" => return Ok(()),
        None | Some(Value::Null) if !type_required => return Ok(()),
        Some(Value::String(name)) => shorten(name),
        _ => "None",
    };
    Err(Fault(format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{named}\"'.")))
}

/// One step on the way to a node.
#[derive(Clone, Copy)]
enum Step<'s> {
    Key(&'s str),
    Branch(usize),
}

/// The recursion is as deep as the JSON that was read, which has a bound.
fn check_node<'s>(node: &'s Map<String, Value>, way: &mut Vec<Step<'s>>) -> Result<(), Fault> {
    if node.get("type").and_then(Value::as_str) == Some("object") || node.contains_key("properties") {
        check_object(node, way)?;
    }
    for keyword in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(children)) = node.get(keyword) {
            for (name, child) in children {
                descend(child, &[Step::Key(keyword), Step::Key(name)], way)?;
            }
        }
    }
    if let Some(items) = node.get("items") {
        descend(items, &[Step::Key("items")], way)?;
    }
    if let Some(Value::Array(branches)) = node.get("anyOf") {
        for (position, branch) in branches.iter().enumerate() {
            descend(branch, &[Step::Key("anyOf"), Step::Branch(position)], way)?;
        }
    }
    Ok(())
}

fn descend<'s>(child: &'s Value, steps: &[Step<'s>], way: &mut Vec<Step<'s>>) -> Result<(), Fault> {
    let Value::Object(child) = child else { return Ok(()) };
    let before = way.len();
    way.extend_from_slice(steps);
    check_node(child, way)?;
    way.truncate(before);
    Ok(())
}

fn check_object(node: &Map<String, Value>, way: &[Step<'_>]) -> Result<(), Fault> {
    if node.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(fault(way, "'additionalProperties' is required to be supplied and to be false."));
    }
    let Some(Value::Object(properties)) = node.get("properties") else { return Ok(()) };
    let required: HashSet<&str> = match node.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => HashSet::new(),
    };
    match properties.keys().find(|name| !required.contains(name.as_str())) {
        None => Ok(()),
        Some(missing) => Err(fault(
            way,
            &format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{}'.",
                shorten(missing)
            ),
        )),
    }
}

/// Names the place the way OpenAI does, as a Python tuple.
fn fault(way: &[Step<'_>], rule: &str) -> Fault {
    let mut text = String::from("In context=(");
    for (position, step) in way.iter().enumerate() {
        let gap = if position > 0 { ", " } else { "" };
        match step {
            Step::Key(key) => write!(text, "{gap}'{}'", shorten(key)),
            Step::Branch(branch) => write!(text, "{gap}'{branch}'"),
        }
        .expect("memory takes all of it");
    }
    text.push_str(if way.len() == 1 { ",), " } else { "), " });
    text.push_str(rule);
    Fault(text)
}

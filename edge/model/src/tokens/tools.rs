//! Offered tools as OpenAI's models read them: a TypeScript namespace. Only its length matters here.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// What the namespace costs beside its text.
pub(super) const FRAMING: u64 = 9;

/// No parameters nested deeper than this are written out.
const MAX_DEPTH: usize = 32;

/// The declaration of the tools.
pub(crate) fn declaration(tools: &[Value]) -> String {
    let mut lines = vec!["namespace functions {".to_owned(), String::new()];
    for function in tools.iter().filter_map(|tool| tool.get("function")) {
        if let Some(description) = description(function) {
            lines.push(description);
        }
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
        match function.get("parameters").and_then(properties) {
            Some(properties) => {
                lines.push(format!("type {name} = (_: {{"));
                lines.push(members(&function["parameters"], properties, 0));
                lines.push("}) => any;".to_owned());
            }
            None => lines.push(format!("type {name} = () => any;")),
        }
        lines.push(String::new());
    }
    lines.push("} // namespace functions".to_owned());
    lines.join("\n")
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object).filter(|properties| !properties.is_empty())
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description").and_then(Value::as_str).filter(|text| !text.is_empty())?;
    Some(format!("// {text}"))
}

fn members(schema: &Value, properties: &Map<String, Value>, depth: usize) -> String {
    let required: HashSet<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let indent = " ".repeat(depth * 2);
    let mut lines = Vec::new();
    for (name, member) in properties {
        // Deeper descriptions are not shown to the model.
        if depth == 0
            && let Some(description) = description(member)
        {
            lines.push(format!("{indent}{description}"));
        }
        let optional = if required.contains(name.as_str()) { "" } else { "?" };
        lines.push(format!("{indent}{name}{optional}: {},", type_of(member, depth)));
    }
    lines.join("\n")
}

fn type_of(schema: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "any".to_owned();
    }
    let choices = schema.get("enum").and_then(Value::as_array);
    match schema.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer") if choices.is_some() => {
            choices.into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().join(" | ")
        }
        Some("integer") => "number".to_owned(),
        Some(name @ ("string" | "number" | "boolean" | "null")) => name.to_owned(),
        Some("array") => match schema.get("items") {
            Some(items) => format!("{}[]", type_of(items, depth + 1)),
            None => "any[]".to_owned(),
        },
        Some("object") => match properties(schema) {
            Some(properties) => format!("{{\n{}\n}}", members(schema, properties, depth + 1)),
            None => "{\n\n}".to_owned(),
        },
        _ => "any".to_owned(),
    }
}

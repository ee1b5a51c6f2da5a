//! Moves a schema that is in an engine's words to another place in a document, its references with it.

use serde_json::{Map, Value};

/// Keywords whose value is a schema or a list of schemas.
const SCHEMAS: &[&str] = &["additionalProperties", "allOf", "anyOf", "items", "prefixItems"];

/// Keywords whose value has schemas under names of the author's choice.
const NAMED_SCHEMAS: &[&str] = &["$defs", "patternProperties", "properties"];

/// The schema, to stand at `place` (`#/..`): what pointed into it (`#/..`) points there.
pub(super) fn relocated(mut schema: Map<String, Value>, place: &str) -> Value {
    relocate(&mut schema, place);
    Value::Object(schema)
}

/// The recursion is as deep as the translation nests schemas, which has a bound.
fn relocate(schema: &mut Map<String, Value>, place: &str) {
    for (keyword, value) in schema {
        match value {
            Value::String(reference) if keyword == "$ref" => {
                if let Some(path) = reference.strip_prefix('#') {
                    *reference = format!("{place}{path}");
                }
            }
            Value::Object(schema) if SCHEMAS.contains(&keyword.as_str()) => relocate(schema, place),
            Value::Array(schemas) if SCHEMAS.contains(&keyword.as_str()) => {
                schemas.iter_mut().filter_map(Value::as_object_mut).for_each(|schema| relocate(schema, place));
            }
            Value::Object(named) if NAMED_SCHEMAS.contains(&keyword.as_str()) => {
                named.values_mut().filter_map(Value::as_object_mut).for_each(|schema| relocate(schema, place));
            }
            _ => {}
        }
    }
}

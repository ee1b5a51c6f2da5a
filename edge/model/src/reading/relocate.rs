//! Moves a JSON Schema to another place in a document, its local references with it.

use std::collections::HashSet;
use std::ptr;

use serde_json::{Map, Value};

const ADDRESS: &str = "$id";

/// Keywords whose value is a schema or a list of schemas.
const SCHEMAS: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value has schemas under names of the author's choice.
const NAMED_SCHEMAS: &[&str] =
    &["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// The schema, to stand at `place` (`#/..`): what pointed into it (`#`, `#/..`) points there. Everything
/// else stays: references to elsewhere and by anchor, and what only looks like a reference (a property of
/// that name, a constant, an example).
///
/// Its own address goes, as it would make a document of its own out of the schema, in which nothing is at
/// the new place; and where two have the same address, engines take one for the other.
pub(super) fn relocated(mut schema: Map<String, Value>, place: &str) -> Value {
    schema.shift_remove(ADDRESS);
    let mut schema = Value::Object(schema);
    let references = references(&schema);
    relocate(&mut schema, &references, place);
    schema
}

/// The local references, by where they are in memory: the schema is not moved until they are rewritten.
fn references(root: &Value) -> HashSet<*const Value> {
    let mut references = HashSet::new();
    let mut visited = HashSet::new();
    let mut pending = vec![root];
    while let Some(value) = pending.pop() {
        let Value::Object(schema) = value else { continue };
        if is_document(schema) || !visited.insert(ptr::from_ref(value)) {
            continue;
        }
        for (keyword, value) in schema {
            match value {
                Value::String(reference) if keyword == "$ref" => {
                    if let Some(pointer) = local(reference) {
                        references.insert(ptr::from_ref(value));
                        // Schemas may also be kept under keywords that the standard does not know.
                        pending.extend(root.pointer(pointer));
                    }
                }
                Value::Array(schemas) if SCHEMAS.contains(&keyword.as_str()) => pending.extend(schemas),
                Value::Object(_) if SCHEMAS.contains(&keyword.as_str()) => pending.push(value),
                Value::Object(schemas) if NAMED_SCHEMAS.contains(&keyword.as_str()) => {
                    pending.extend(schemas.values());
                }
                _ => {}
            }
        }
    }
    references
}

/// The recursion is as deep as the JSON that was read, which has a bound.
fn relocate(value: &mut Value, references: &HashSet<*const Value>, place: &str) {
    let address = ptr::from_ref(&*value);
    match value {
        Value::String(reference) if references.contains(&address) => {
            reference.replace_range(..1, place);
        }
        Value::Array(values) => values.iter_mut().for_each(|value| relocate(value, references, place)),
        Value::Object(fields) => fields.values_mut().for_each(|value| relocate(value, references, place)),
        _ => {}
    }
}

/// Whether the schema has an address, so that what is local in it points into itself wherever it stands.
fn is_document(schema: &Map<String, Value>) -> bool {
    schema.get(ADDRESS).and_then(Value::as_str).is_some_and(|address| !address.starts_with('#'))
}

/// The JSON pointer of a reference into its own document.
fn local(reference: &str) -> Option<&str> {
    reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
}

//! Any JSON as a schema: it is translated or refused in bounded time, and so is its translation; all mean the same.

use arbitrary::Unstructured;
use cloudach_model::schema::{Dialect, SchemaError, translate};
use serde_json::Value;

use super::schemas;

/// vLLM refuses schemas with more levels of JSON.
const MOST_DEPTH: usize = 64;

/// Checks one input: JSON text, or what a random schema is made of behind a sign that no JSON begins with.
pub fn check(data: &[u8]) {
    if let Some((b'~', choices)) = data.split_first() {
        let mut choices = Unstructured::new(choices);
        let Ok(schema) = schemas::document(&mut choices) else { return };
        let values: Vec<Value> = (0..12).map_while(|_| schemas::value(&mut choices, 0).ok()).collect();
        check_schema(&schema, &values);
    } else if let Ok(schema) = serde_json::from_slice(data) {
        check_schema(&schema, &[]);
    }
}

fn check_schema(schema: &Value, values: &[Value]) {
    for dialect in [Dialect::Vllm, Dialect::LlamaCpp] {
        let Ok(translated) = translate(schema, dialect) else { continue };
        let text = translated.to_string();
        assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(&translated), "{schema} became {text}");
        assert!(depth(&translated) <= MOST_DEPTH, "{schema} became {text}");
        mean_the_same(schema, &translated, values);
        match translate(&translated, dialect) {
            Ok(again) => mean_the_same(&translated, &again, values),
            // There may be no words for it a second time, but it is a schema, and there are values for it.
            Err(SchemaError::Unsupported { .. } | SchemaError::TooLarge { .. }) => {}
            Err(error) => panic!("{schema} became {text}: {error}"),
        }
    }
}

fn mean_the_same(schema: &Value, translated: &Value, values: &[Value]) {
    if values.is_empty() {
        return;
    }
    // What is wrong with a schema and changes nothing is passed over, as a name that is required twice.
    let Ok(meant) = jsonschema::draft202012::new(schema) else { return };
    let written = jsonschema::draft202012::new(translated).unwrap_or_else(|error| panic!("{translated}: {error}"));
    for value in values {
        assert_eq!(meant.is_valid(value), written.is_valid(value), "{schema} became {translated} for {value}");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

//! The smallest JSON value that fits a simple JSON schema: what a constrained answer is made of.

use serde_json::{Map, Value, json};

/// How deep schemas may nest, references included, as in vLLM.
const MAX_DEPTH: usize = 64;
/// How many bytes an answer may have, and how many steps it may take to make it: references let a short schema ask
/// for more than any memory holds.
const MAX_SIZE: usize = 1 << 20;
const MAX_STRING: u64 = 10_000;

/// A schema that no answer can be made for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SchemaError {
    #[error("Invalid type: {0}")]
    Type(String),
    #[error("Pointer '{0}' does not exist")]
    Reference(String),
    #[error("The JSON schema is nested too deeply: objects and arrays may nest at most 64 levels")]
    Depth,
    #[error("The smallest fitting value is larger than the fake engine makes")]
    Size,
    #[error("Unsatisfiable schema: false")]
    Nothing,
}

/// The smallest value that fits.
pub(crate) fn example(schema: &Value) -> Result<Value, SchemaError> {
    check_types(schema)?;
    fit(schema, schema, 0, &mut { MAX_SIZE })
}

fn fit(schema: &Value, root: &Value, depth: usize, left: &mut usize) -> Result<Value, SchemaError> {
    if depth > MAX_DEPTH {
        return Err(SchemaError::Depth);
    }
    spend(1, left)?;
    let Value::Object(schema) = schema else {
        return if schema == &Value::Bool(false) { Err(SchemaError::Nothing) } else { Ok(json!({})) };
    };
    if let Some(value) = schema.get("const") {
        return copied(value, left);
    }
    if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
        return copied(value, left);
    }
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let missing = || SchemaError::Reference(reference.clone());
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).ok_or_else(missing)?;
        return fit(target, root, depth + 1, left);
    }
    for branches in ["anyOf", "oneOf", "allOf"] {
        if let Some(branch) = schema.get(branches).and_then(|branches| branches.get(0)) {
            return fit(branch, root, depth + 1, left);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("object"),
        Some(other) => return Err(SchemaError::Type(other.to_string())),
        None => "object",
    };
    match kind {
        "object" => object(schema, root, depth, left),
        "array" => array(schema, root, depth, left),
        "string" => copied(&string(schema), left),
        "integer" => Ok(number(schema, 1.0)),
        "number" => Ok(number(schema, 0.5)),
        "boolean" => Ok(json!(true)),
        "null" => Ok(Value::Null),
        other => Err(SchemaError::Type(other.to_owned())),
    }
}

/// Finds unknown types anywhere, also in what the smallest value leaves out: an engine compiles the whole schema.
fn check_types(schema: &Value) -> Result<(), SchemaError> {
    let Value::Object(schema) = schema else { return Ok(()) };
    for kind in schema.get("type").into_iter().flat_map(one_or_many) {
        match kind.as_str() {
            Some("object" | "array" | "string" | "integer" | "number" | "boolean" | "null") => {}
            Some(other) => return Err(SchemaError::Type(other.to_owned())),
            None => return Err(SchemaError::Type(kind.to_string())),
        }
    }
    for named in ["properties", "$defs", "definitions"] {
        schema
            .get(named)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .try_for_each(|(_, part)| check_types(part))?;
    }
    for parts in ["items", "anyOf", "oneOf", "allOf"] {
        schema.get(parts).into_iter().flat_map(one_or_many).try_for_each(check_types)?;
    }
    Ok(())
}

fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

fn object(schema: &Map<String, Value>, root: &Value, depth: usize, left: &mut usize) -> Result<Value, SchemaError> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let mut object = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        if required.is_some_and(|required| required.iter().any(|wanted| wanted == name)) {
            object.insert(name.clone(), fit(property, root, depth + 1, left)?);
        }
    }
    Ok(Value::Object(object))
}

fn array(schema: &Map<String, Value>, root: &Value, depth: usize, left: &mut usize) -> Result<Value, SchemaError> {
    let items = schema.get("items").unwrap_or(&Value::Bool(true));
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    (0..least).map(|_| fit(items, root, depth + 1, left)).collect()
}

fn copied(value: &Value, left: &mut usize) -> Result<Value, SchemaError> {
    spend(value.to_string().len(), left)?;
    Ok(value.clone())
}

fn spend(size: usize, left: &mut usize) -> Result<(), SchemaError> {
    *left = left.checked_sub(size).ok_or(SchemaError::Size)?;
    Ok(())
}

fn string(schema: &Map<String, Value>) -> Value {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2024-01-01T00:00:00Z",
        Some("date") => "2024-01-01",
        Some("email") => "a@example.com",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("uri") => "https://example.com/",
        _ => "a",
    };
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(MAX_STRING);
    let mut text = text.to_owned();
    while (text.len() as u64) < least {
        text.push('a');
    }
    Value::String(text)
}

/// `step` is what an exclusive bound is kept away from.
fn number(schema: &Map<String, Value>, step: f64) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let mut number: f64 = 0.0;
    if let Some(least) = bound("minimum").or(bound("exclusiveMinimum").map(|bound| bound + step)) {
        number = number.max(least);
    }
    if let Some(most) = bound("maximum").or(bound("exclusiveMaximum").map(|bound| bound - step)) {
        number = number.min(most);
    }
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return Value::Number(format!("{number:.0}").parse().expect("whole numbers are JSON"));
    }
    json!(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_fitting_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 3},
                "age": {"type": "integer", "minimum": 18},
                "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2},
                "home": {"$ref": "#/$defs/home"},
                "note": {"type": ["string", "null"]}
            },
            "required": ["name", "age", "tags", "home"],
            "$defs": {"home": {"anyOf": [{"type": "null"}, {"type": "string"}]}}
        });
        assert_eq!(example(&schema), Ok(json!({"name": "aaa", "age": 18, "tags": ["x", "x"], "home": null})));
    }

    #[test]
    fn schemas_that_cannot_be_met() {
        assert_eq!(example(&json!({"type": "foo"})), Err(SchemaError::Type("foo".into())));
        assert_eq!(example(&json!({"properties": {"a": {"type": "foo"}}})), Err(SchemaError::Type("foo".into())));
        assert_eq!(example(&json!({"$ref": "#/nowhere"})), Err(SchemaError::Reference("#/nowhere".into())));
        assert_eq!(example(&json!({"$ref": "#"})), Err(SchemaError::Depth));
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "x": {"type": "null"}},
            "required": ["x"]});
        assert_eq!(example(&tree), Ok(json!({"x": null})));
        let bomb = json!({"type": "array", "minItems": 1000, "items": {"$ref": "#"}});
        assert!(example(&bomb).is_err());
        let wide = json!({"type": "array", "minItems": 10_000_000_000_u64, "items": {"type": "null"}});
        assert_eq!(example(&wide), Err(SchemaError::Size));
        let fan = json!({"required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(example(&fan).is_err());
    }
}

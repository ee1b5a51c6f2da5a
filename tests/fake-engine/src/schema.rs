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

/// The smallest value that fits, with `items` elements in every array that may have so many.
pub(crate) fn example(schema: &Value, items: Option<u64>) -> Result<Value, SchemaError> {
    check_types(schema)?;
    Fitter { root: schema, items: items.unwrap_or(0), turn: 0, path: Vec::new(), depth: 0, left: MAX_SIZE }.fit(schema)
}

/// Makes a value for a schema.
struct Fitter<'a> {
    root: &'a Value,
    items: u64,
    /// Which of several branches is tried first: another one for every element of an array.
    turn: usize,
    /// The references that are being followed. What fits does so without following one inside of itself.
    path: Vec<String>,
    depth: usize,
    /// What is left of the size.
    left: usize,
}

impl Fitter<'_> {
    fn fit(&mut self, schema: &Value) -> Result<Value, SchemaError> {
        if self.depth == MAX_DEPTH {
            return Err(SchemaError::Depth);
        }
        self.depth += 1;
        let value = self.value(schema);
        self.depth -= 1;
        value
    }

    fn value(&mut self, schema: &Value) -> Result<Value, SchemaError> {
        self.spend(1)?;
        let Value::Object(schema) = schema else {
            return if schema == &Value::Bool(false) { Err(SchemaError::Nothing) } else { Ok(json!({})) };
        };
        if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
            return self.copied(value);
        }
        if let Some(Value::String(reference)) = schema.get("$ref") {
            return self.follow(reference);
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(name).and_then(Value::as_array) {
                return self.one_of(schema, name, branches);
            }
        }
        if let Some(Value::Array(branches)) = schema.get("allOf") {
            let mut all = without(schema, "allOf");
            for branch in branches {
                let reference = branch.get("$ref").and_then(Value::as_str);
                let target = reference.map_or(Ok(branch), |reference| target(self.root, reference))?;
                if target == &Value::Bool(false) {
                    return Err(SchemaError::Nothing);
                }
                add(&mut all, target);
            }
            return self.fit(&Value::Object(all));
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("object"),
            Some(other) => return Err(SchemaError::Type(other.to_string())),
            None => "object",
        };
        match kind {
            "object" => self.object(schema),
            "array" => self.array(schema),
            "string" => self.copied(&string(schema)),
            "integer" => Ok(number(schema, 1.0)),
            "number" => Ok(number(schema, 0.5)),
            "boolean" => Ok(json!(true)),
            "null" => Ok(Value::Null),
            other => Err(SchemaError::Type(other.to_owned())),
        }
    }

    fn follow(&mut self, reference: &str) -> Result<Value, SchemaError> {
        if self.path.iter().any(|followed| followed == reference) {
            return Err(SchemaError::Depth);
        }
        let target = target(self.root, reference)?;
        self.path.push(reference.to_owned());
        let value = self.fit(target);
        self.path.pop();
        value
    }

    /// The first branch that can be met, together with what stands beside the branches.
    fn one_of(&mut self, schema: &Map<String, Value>, name: &str, branches: &[Value]) -> Result<Value, SchemaError> {
        let beside = without(schema, name);
        let mut why = SchemaError::Nothing;
        for at in 0..branches.len() {
            let branch = &branches[(self.turn + at) % branches.len()];
            if branch == &Value::Bool(false) {
                continue;
            }
            let mut both = beside.clone();
            add(&mut both, branch);
            match self.fit(&Value::Object(both)) {
                Err(error) if error != SchemaError::Size => why = error,
                done => return done,
            }
        }
        Err(why)
    }

    fn object(&mut self, schema: &Map<String, Value>) -> Result<Value, SchemaError> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut object = Map::new();
        for (name, property) in properties.iter().filter(|(name, _)| required.iter().any(|wanted| wanted == *name)) {
            object.insert(name.clone(), self.fit(property)?);
        }
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required.iter().filter_map(Value::as_str).filter(|name| !properties.contains_key(*name)) {
            object.insert(name.to_owned(), self.fit(others)?);
        }
        Ok(Value::Object(object))
    }

    fn array(&mut self, schema: &Map<String, Value>) -> Result<Value, SchemaError> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let (least, most) = (bound("minItems").unwrap_or(0), bound("maxItems").unwrap_or(u64::MAX));
        if least > most {
            return Err(SchemaError::Nothing);
        }
        let others = schema.get("items").unwrap_or(&Value::Bool(true));
        let first = schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut array = Vec::new();
        let turn = self.turn;
        for at in 0..self.items.clamp(least, most) {
            let at_index = usize::try_from(at).unwrap_or(usize::MAX);
            self.turn = at_index;
            match self.fit(first.get(at_index).unwrap_or(others)) {
                Ok(item) => array.push(item),
                // More than there must be, and there can be no more.
                Err(SchemaError::Depth | SchemaError::Nothing) if at >= least => break,
                Err(error) => return Err(error),
            }
        }
        self.turn = turn;
        Ok(Value::Array(array))
    }

    fn copied(&mut self, value: &Value) -> Result<Value, SchemaError> {
        self.spend(value.to_string().len())?;
        Ok(value.clone())
    }

    fn spend(&mut self, size: usize) -> Result<(), SchemaError> {
        self.left = self.left.checked_sub(size).ok_or(SchemaError::Size)?;
        Ok(())
    }
}

fn target<'a>(root: &'a Value, reference: &str) -> Result<&'a Value, SchemaError> {
    let found = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
    found.ok_or_else(|| SchemaError::Reference(reference.to_owned()))
}

fn without(schema: &Map<String, Value>, name: &str) -> Map<String, Value> {
    schema.iter().filter(|(other, _)| *other != name).map(|(name, part)| (name.clone(), part.clone())).collect()
}

/// Adds what another schema asks for. Of two words for the same the later one counts.
fn add(schema: &mut Map<String, Value>, other: &Value) {
    for (name, part) in other.as_object().into_iter().flatten() {
        match (schema.get_mut(name), part) {
            (Some(Value::Object(held)), Value::Object(more)) if name == "properties" => held.extend(more.clone()),
            (Some(Value::Array(held)), Value::Array(more)) if name == "required" => held.extend(more.iter().cloned()),
            _ => {
                schema.insert(name.clone(), part.clone());
            }
        }
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
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
        text.truncate(usize::try_from(most).unwrap_or(usize::MAX));
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
    if let Some(multiple) = bound("multipleOf").filter(|multiple| *multiple > 0.0) {
        number = (number / multiple).ceil() * multiple;
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
        assert_eq!(example(&schema, None), Ok(json!({"name": "aaa", "age": 18, "tags": ["x", "x"], "home": null})));
    }

    #[test]
    fn schemas_that_cannot_be_met() {
        assert_eq!(example(&json!({"type": "foo"}), None), Err(SchemaError::Type("foo".into())));
        assert_eq!(example(&json!({"properties": {"a": {"type": "foo"}}}), None), Err(SchemaError::Type("foo".into())));
        assert_eq!(example(&json!({"$ref": "#/nowhere"}), None), Err(SchemaError::Reference("#/nowhere".into())));
        assert_eq!(example(&json!({"$ref": "#"}), None), Err(SchemaError::Depth));
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "x": {"type": "null"}},
            "required": ["x"]});
        assert_eq!(example(&tree, None), Ok(json!({"x": null})));
        let bomb = json!({"type": "array", "minItems": 1000, "items": {"$ref": "#"}});
        assert!(example(&bomb, None).is_err());
        let wide = json!({"type": "array", "minItems": 10_000_000_000_u64, "items": {"type": "null"}});
        assert_eq!(example(&wide, None), Err(SchemaError::Size));
        let fan = json!({"required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(example(&fan, None).is_err());
    }

    #[test]
    fn forced_tool_calls() {
        let schema = json!({
            "type": "array", "minItems": 1, "maxItems": 3,
            "items": {"anyOf": [
                {"type": "object", "additionalProperties": false, "required": ["name", "parameters"],
                    "properties": {"name": {"const": "f"}, "parameters": {"$ref": "#/$defs/0"}}},
                {"type": "object", "additionalProperties": false, "required": ["name", "parameters"],
                    "properties": {"name": {"const": "g"}, "parameters": {"$ref": "#/$defs/1"}}}
            ]},
            "$defs": {
                "0": {"type": "object", "properties": {"city": {"$ref": "#/$defs/0/$defs/place"}}, "required": ["city"],
                    "$defs": {"place": {"enum": ["Paris", "Rome"]}}},
                "1": {"type": "object", "properties": {"deep": {"type": "object", "required": ["n"],
                    "properties": {"n": {"type": "integer", "minimum": 3, "multipleOf": 2}}}}, "required": ["deep"]}
            }
        });
        let f = json!({"name": "f", "parameters": {"city": "Paris"}});
        let g = json!({"name": "g", "parameters": {"deep": {"n": 4}}});
        assert_eq!(example(&schema, None), Ok(json!([f])));
        assert_eq!(example(&schema, Some(2)), Ok(json!([f, g])));
        assert_eq!(example(&schema, Some(9)), Ok(json!([f, g, f])));
    }

    #[test]
    fn recursion_ends_where_it_can() {
        let list = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["value", "next"],
            "properties": {"value": {"type": "boolean"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}});
        assert_eq!(example(&list, None), Ok(json!({"value": true, "next": null})));
        let tree = json!({"type": "array", "items": {"$ref": "#"}});
        assert_eq!(example(&tree, Some(2)), Ok(json!([[], []])));
    }

    #[test]
    fn parts_are_met_together() {
        let all = json!({"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"b": {"const": 2}}, "required": ["b"]}],
            "$defs": {"a": {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}}});
        assert_eq!(example(&all, None), Ok(json!({"a": 1, "b": 2})));
        let beside = json!({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"],
            "anyOf": [false, {"required": ["c"], "additionalProperties": {"type": "null"}}]});
        assert_eq!(example(&beside, None), Ok(json!({"a": 1, "c": null})));
        let pair = json!({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3});
        assert_eq!(example(&pair, None), Ok(json!([1, 2, 2])));
        assert_eq!(example(&json!({"type": "string", "maxLength": 0}), None), Ok(json!("")));
        assert_eq!(example(&json!({"anyOf": [false]}), None), Err(SchemaError::Nothing));
        let none = json!({"type": "array", "minItems": 2, "maxItems": 1});
        assert_eq!(example(&none, None), Err(SchemaError::Nothing));
    }
}

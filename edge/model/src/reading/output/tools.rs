//! The functions that the model was offered, as far as reading needs to know them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::Function;

/// How many references a schema may go through to its types.
const MOST_REFERENCES: usize = 8;

/// How many schemas are looked at for the types of one function's parameters. A few that refer to each other in each of their
/// branches would be looked at without end; what is not known has any type.
const MOST_LOOKS: usize = 1000;

/// What reading knows of functions, by their names.
#[derive(Debug, Default, PartialEq)]
pub struct Functions(HashMap<String, Known>);

#[derive(Debug, PartialEq)]
struct Known {
    /// Of its parameters.
    types: HashMap<String, Types>,
    /// Of its parameters, as text: only formats whose arguments nest look into it.
    schema: Option<Box<str>>,
}

/// The types that a value may have, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Functions {
    /// These.
    pub fn new(functions: &[Function<'_>]) -> Self {
        Self(functions.iter().map(|function| (function.name.to_owned(), Known::of(function))).collect())
    }

    pub(super) fn offers(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The types of a parameter; any, where nothing is said of it.
    pub(super) fn types(&self, function: &str, parameter: &str) -> Types {
        self.0.get(function).and_then(|known| known.types.get(parameter)).copied().unwrap_or(Types::ANY)
    }

    /// The schema of a function's parameters. None: no such function is offered, or nothing is said of what it takes.
    pub(super) fn schema(&self, function: &str) -> Option<Map<String, Value>> {
        serde_json::from_str(self.0.get(function)?.schema.as_ref()?).ok()
    }
}

impl Known {
    fn of(function: &Function<'_>) -> Self {
        let schema = function.parameters.and_then(|schema| serde_json::to_string(schema).ok());
        Self { types: parameters(function), schema: schema.map(String::into_boxed_str) }
    }
}

impl Types {
    const NONE: Self = Self(0);
    pub(super) const STRING: Self = Self(1);
    pub(super) const NUMBER: Self = Self(2);
    pub(super) const BOOLEAN: Self = Self(4);
    pub(super) const NULL: Self = Self(8);
    pub(super) const OBJECT: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const ANY: Self = Self(63);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn named(name: &str) -> Self {
        match name {
            "string" => Self::STRING,
            "integer" | "number" => Self::NUMBER,
            "boolean" => Self::BOOLEAN,
            "null" => Self::NULL,
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            _ => Self::ANY,
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::STRING,
            Value::Number(_) => Self::NUMBER,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Null => Self::NULL,
            Value::Object(_) => Self::OBJECT,
            Value::Array(_) => Self::ARRAY,
        }
    }

    fn any_of(types: impl Iterator<Item = Self>) -> Self {
        types.fold(Self::NONE, Self::with)
    }
}

fn parameters(function: &Function<'_>) -> HashMap<String, Types> {
    let Some(schema) = function.parameters else { return HashMap::new() };
    let Some(Value::Object(properties)) = schema.get("properties") else { return HashMap::new() };
    let mut looks = Looks::into(schema);
    properties.iter().map(|(name, property)| (name.clone(), looks.types(property, MOST_REFERENCES))).collect()
}

/// What holds other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

/// Looks for the types that schemas allow.
pub(super) struct Looks<'s> {
    root: &'s Map<String, Value>,
    /// How many more there may be.
    left: usize,
}

impl<'s> Looks<'s> {
    /// Into the schemas of one function.
    pub(super) fn into(root: &'s Map<String, Value>) -> Self {
        Self { root, left: MOST_LOOKS }
    }

    /// The types that a schema allows.
    pub(super) fn of(&mut self, schema: &Value) -> Types {
        self.types(schema, MOST_REFERENCES)
    }

    /// The list or the object that a schema allows, the first of those that it has to choose from.
    pub(super) fn container(&mut self, schema: &'s Value) -> Option<(Container, &'s Map<String, Value>)> {
        self.held(schema, MOST_REFERENCES)
    }

    fn held(&mut self, schema: &'s Value, references: usize) -> Option<(Container, &'s Map<String, Value>)> {
        let fields = schema.as_object()?;
        self.left = self.left.checked_sub(1)?;
        let named = |kind: &str| match fields.get("type") {
            Some(Value::String(name)) => name == kind,
            Some(Value::Array(names)) => names.iter().any(|name| name == kind),
            _ => false,
        };
        let untyped = !fields.contains_key("type");
        if named("array") || (untyped && fields.contains_key("items")) {
            return Some((Container::Array, fields));
        }
        if named("object")
            || (untyped && ["properties", "additionalProperties"].iter().any(|key| fields.contains_key(*key)))
        {
            return Some((Container::Object, fields));
        }
        let choices = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| fields.get(*key)?.as_array()).flatten();
        for choice in choices {
            if let Some(held) = self.held(choice, references) {
                return Some(held);
            }
        }
        let reference = fields.get("$ref")?.as_str()?;
        self.held(local(reference, self.root)?, references.checked_sub(1)?)
    }

    /// The recursion is as deep as the JSON that was read, which has a bound, times the references.
    fn types(&mut self, schema: &Value, references: usize) -> Types {
        let Value::Object(fields) = schema else { return Types::ANY };
        let Some(left) = self.left.checked_sub(1) else { return Types::ANY };
        self.left = left;
        let found = if let Some(name) = fields.get("type") {
            match name {
                Value::String(name) => Types::named(name),
                Value::Array(names) => Types::any_of(names.iter().filter_map(Value::as_str).map(Types::named)),
                _ => Types::ANY,
            }
        } else if let Some(Value::Array(values)) = fields.get("enum") {
            Types::any_of(values.iter().map(Types::of))
        } else if let Some(value) = fields.get("const") {
            Types::of(value)
        } else if let Some(Value::Array(schemas)) = fields.get("anyOf").or_else(|| fields.get("oneOf")) {
            Types::any_of(schemas.iter().map(|schema| self.types(schema, references)))
        } else if let Some(schema) = fields.get("allOf").and_then(|schemas| schemas.get(0)) {
            self.types(schema, references)
        } else if let (Some(Value::String(reference)), 1..) = (fields.get("$ref"), references) {
            local(reference, self.root).map_or(Types::ANY, |schema| self.types(schema, references - 1))
        } else {
            Types::ANY
        };
        match (found, fields.get("nullable")) {
            (Types::NONE, _) => Types::ANY,
            (found, Some(Value::Bool(true))) => found.with(Types::NULL),
            (found, _) => found,
        }
    }
}

/// What a reference into the same document points at.
fn local<'a>(reference: &str, root: &'a Map<String, Value>) -> Option<&'a Value> {
    let mut steps = reference.strip_prefix("#/")?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(&step))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_that_refer_to_each_other_in_all_branches_come_to_an_end() {
        let branches = vec![json!({ "$ref": "#/$defs/a" }); 100];
        let schema = json!({
            "properties": { "looping": { "anyOf": branches }, "plain": { "type": "string" } },
            "$defs": { "a": { "anyOf": branches } },
        });
        let functions = Functions::new(&[Function { name: "f", parameters: schema.as_object() }]);
        assert_eq!(functions.types("f", "looping"), Types::ANY);
        assert_eq!(functions.types("f", "plain"), Types::ANY, "nothing is left to look with");
    }
}

//! JSON as values of the template engine.

use minijinja::Value as TemplateValue;
use serde_json::{Map, Value};

pub(super) fn from_json(value: Value) -> TemplateValue {
    match value {
        Value::Null => TemplateValue::from(()),
        Value::Bool(value) => value.into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(integer)) => integer.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(from_json).collect::<Vec<_>>().into(),
        Value::Object(object) => from_object(object),
    }
}

pub(super) fn from_object(object: Map<String, Value>) -> TemplateValue {
    TemplateValue::from_pairs(object.into_iter().map(|(key, value)| (key, from_json(value))))
}

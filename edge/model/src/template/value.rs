//! What a request says as values of the template engine.

use std::fmt;
use std::sync::Arc;

use minijinja::Value as TemplateValue;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, ValueKind};
use serde_json::Value;

use super::python::repr_float;

pub(super) fn from_json(value: Value) -> TemplateValue {
    match value {
        Value::Null => TemplateValue::from(()),
        Value::Bool(value) => value.into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(integer)) => integer.into(),
            (None, None) => from_float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(from_json).collect::<Vec<_>>().into(),
        Value::Object(object) => {
            TemplateValue::from_pairs(object.into_iter().map(|(key, value)| (key, from_json(value))))
        }
    }
}

/// An object of few fields whose names are known, in their order. They are looked for one after the other: a table costs more
/// than it saves, and each message would have one.
#[derive(Debug)]
pub(super) struct Fields(Vec<(&'static str, TemplateValue)>);

impl Fields {
    /// No two have the same name.
    pub fn of(fields: impl IntoIterator<Item = (&'static str, TemplateValue)>) -> TemplateValue {
        TemplateValue::from_object(Self(fields.into_iter().collect()))
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &TemplateValue) -> Option<TemplateValue> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<TemplateValue> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_rev_key_value_enumerator(|fields| {
            Box::new(fields.0.iter().map(|(name, value)| (TemplateValue::from(*name), value.clone())))
        })
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A float that Python prints with an exponent. The engine would print all its digits where a template
/// joins it to a text, so it is handed over as a thing that prints itself; filters take it by [`number`].
#[derive(Debug)]
struct ExponentFloat(f64);

impl Object for ExponentFloat {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&repr_float(self.0))
    }
}

fn from_float(value: f64) -> TemplateValue {
    if repr_float(value).contains('e') { TemplateValue::from_object(ExponentFloat(value)) } else { value.into() }
}

/// The value as a number that can be calculated with, if it is one. To Python true is one, too: 1.
pub(super) fn number(value: &TemplateValue) -> TemplateValue {
    match value.downcast_object_ref::<ExponentFloat>() {
        Some(float) => float.0.into(),
        None if value.kind() == ValueKind::Bool => i64::from(value.is_true()).into(),
        None => value.clone(),
    }
}

/// Whether the value is a number that came in as [`ExponentFloat`].
pub(super) fn is_exponent_float(value: &TemplateValue) -> bool {
    value.downcast_object_ref::<ExponentFloat>().is_some()
}

//! Fields of a JSON body, read one by one because both dialects must name the field that has the wrong type.

use serde_json::{Map, Value};

/// A body's fields; `null` counts as absent.
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

/// A field with a value of another type.
#[derive(Debug, PartialEq)]
pub(crate) struct WrongType {
    pub(crate) field: String,
    pub(crate) expected: Expected,
    pub(crate) found: Value,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Boolean,
    Integer,
    Number,
    Text,
    Texts,
    Ids,
    Object,
    Inputs,
}

/// A prompt: text to be tokenised, or ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Text(String),
    Ids(Vec<u64>),
}

impl<'a> Fields<'a> {
    pub(crate) fn new(fields: &'a Map<String, Value>) -> Self {
        Self(fields)
    }

    pub(crate) fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn boolean(&self, field: &str) -> Result<bool, WrongType> {
        Ok(self.read(field, Expected::Boolean, Value::as_bool)?.unwrap_or(false))
    }

    pub(crate) fn integer(&self, field: &str) -> Result<Option<i64>, WrongType> {
        self.read(field, Expected::Integer, Value::as_i64)
    }

    /// A count: negative numbers are of the wrong type.
    pub(crate) fn count(&self, field: &str) -> Result<Option<u32>, WrongType> {
        self.read(field, Expected::Integer, |value| u32::try_from(value.as_u64()?).ok())
    }

    pub(crate) fn number(&self, field: &str) -> Result<Option<f64>, WrongType> {
        self.read(field, Expected::Number, Value::as_f64)
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<&'a str>, WrongType> {
        self.read(field, Expected::Text, Value::as_str)
    }

    pub(crate) fn object(&self, field: &str) -> Result<Option<Fields<'a>>, WrongType> {
        self.read(field, Expected::Object, |value| value.as_object().map(Fields))
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&self, field: &str) -> Result<Vec<String>, WrongType> {
        let read = |value: &'a Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        Ok(self.read(field, Expected::Texts, read)?.unwrap_or_default())
    }

    pub(crate) fn ids(&self, field: &str) -> Result<Vec<u32>, WrongType> {
        let one = |id: &Value| u32::try_from(id.as_u64()?).ok();
        let read = |value: &'a Value| value.as_array()?.iter().map(one).collect();
        Ok(self.read(field, Expected::Ids, read)?.unwrap_or_default())
    }

    /// One input or a list of them: text, ids, or a list of either.
    pub(crate) fn inputs(&self, field: &str) -> Result<Vec<Input>, WrongType> {
        Ok(self.read(field, Expected::Inputs, inputs)?.unwrap_or_default())
    }

    fn read<T>(
        &self,
        field: &str,
        expected: Expected,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongType> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(WrongType { field: field.to_owned(), expected, found: value.clone() }),
        }
    }
}

impl Expected {
    /// As vLLM's Python front end says it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Boolean => "a valid boolean",
            Self::Integer => "a valid integer",
            Self::Number => "a valid number",
            Self::Text => "a valid string",
            Self::Texts => "a valid string or a valid list of strings",
            Self::Ids => "a valid list of integers",
            Self::Object => "a valid dictionary",
            Self::Inputs => "a valid string or a valid list",
        }
    }

    /// As llama.cpp says it.
    pub(crate) fn json_type(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer | Self::Number => "number",
            Self::Text => "string",
            Self::Texts | Self::Ids | Self::Inputs => "array",
            Self::Object => "object",
        }
    }
}

fn inputs(value: &Value) -> Option<Vec<Input>> {
    match value {
        Value::String(text) => Some(vec![Input::Text(text.clone())]),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => Some(vec![ids(items)?]),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Some(Input::Text(text.clone())),
                Value::Array(items) => ids(items),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn ids(items: &[Value]) -> Option<Input> {
    items.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>().map(Input::Ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_come_in_four_shapes() {
        let read = |value: Value| inputs(&value);
        assert_eq!(read(json!("a")), Some(vec![Input::Text("a".into())]));
        assert_eq!(read(json!([1, 2])), Some(vec![Input::Ids(vec![1, 2])]));
        assert_eq!(read(json!(["a", [3]])), Some(vec![Input::Text("a".into()), Input::Ids(vec![3])]));
        assert_eq!(read(json!([1, "a"])), None);
        assert_eq!(read(json!([-1])), None);
        assert_eq!(read(json!(7)), None);
    }

    #[test]
    fn wrong_types_name_their_field() {
        let body = json!({"n": "two", "m": null});
        let fields = Fields::new(body.as_object().unwrap());
        assert_eq!(fields.count("n").unwrap_err().field, "n");
        assert_eq!(fields.count("m"), Ok(None));
    }
}

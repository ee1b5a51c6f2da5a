//! Reading a request's JSON with the path of every value at hand, so that an
//! error can name what it is about.
//!
//! An object is emptied field by field: what is left when everything known was
//! taken is what nobody knows. An explicit `null` is an absent field.

use std::fmt;

use serde_json::{Map, Value};

use crate::apart;
use crate::invalid::{Invalid, shorten};

/// Where a value stands in the request. Only written out when something is wrong with it.
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Root,
    Field(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn field(&'p self, name: &'p str) -> Path<'p> {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// What holds this value; the root holds itself.
    pub(crate) fn parent(&'p self) -> &'p Path<'p> {
        self.parent.unwrap_or(self)
    }

    /// The notation of OpenAI's older checks, which look at messages as wholes: `messages.[3].role`.
    pub(crate) fn older(&'p self) -> OlderPath<'p> {
        OlderPath(self)
    }
}

/// See [`Path::older`].
pub(crate) struct OlderPath<'p>(&'p Path<'p>);

impl fmt::Display for OlderPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.0.parent else { return Ok(()) };
        parent.older().fmt(f)?;
        let dot = if matches!(parent.step, Step::Root) { "" } else { "." };
        match self.0.step {
            Step::Root => Ok(()),
            Step::Field(name) => write!(f, "{dot}{}", shorten(name)),
            Step::Index(index) => write!(f, "{dot}[{index}]"),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if matches!(parent.step, Step::Root) => f.write_str(shorten(name)),
            Step::Field(name) => write!(f, ".{}", shorten(name)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// The fields of one object that were not read yet.
pub(crate) struct Fields<'p> {
    path: &'p Path<'p>,
    fields: Map<String, Value>,
}

impl<'p> Fields<'p> {
    /// The whole body of a request.
    pub(crate) fn of_body(body: &[u8]) -> Result<Fields<'static>, Invalid> {
        const ROOT: &Path<'static> = &Path::ROOT;
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields { path: ROOT, fields }),
            Ok(other) => Err(Invalid::new(format!(
                "Invalid type for the body of your request: expected an object, but got {} instead.",
                kind(&other)
            ))
            .code("invalid_type")),
            Err(_) => Err(Invalid::malformed()),
        }
    }

    /// The same, and the text of one field, which is not read, unless it is `null`.
    pub(crate) fn of_body_without<'b>(
        body: &'b [u8],
        name: &str,
    ) -> Result<(Fields<'static>, Option<&'b str>), Invalid> {
        const ROOT: &Path<'static> = &Path::ROOT;
        match apart::read(body, name) {
            Ok((fields, text)) => Ok((Fields { path: ROOT, fields }, text)),
            // What is wrong with it is said there.
            Err(_) => Ok((Self::of_body(body)?, None)),
        }
    }

    pub(crate) fn of(path: &'p Path<'p>, value: Value) -> Result<Self, Invalid> {
        Ok(Self { path, fields: object(path, value)? })
    }

    /// Reads a field that may be absent or `null`.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Path<'_>, Value) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(&self.path.field(name), value).map(Some),
        }
    }

    /// Reads a field that must be there.
    pub(crate) fn require<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Path<'_>, Value) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        let path = self.path.field(name);
        match self.fields.remove(name) {
            None => Err(Invalid::missing(&path)),
            Some(value) => read(&path, value),
        }
    }

    /// A field that was not read yet, unless it is `null`.
    pub(crate) fn peek(&self, name: &str) -> Option<Value> {
        self.fields.get(name).filter(|value| !value.is_null()).cloned()
    }

    /// Whether a field that was not read yet has this text.
    pub(crate) fn is(&self, name: &str, text: &str) -> bool {
        self.fields.get(name).and_then(Value::as_str) == Some(text)
    }

    /// Refuses a top-level argument that was not read.
    pub(crate) fn no_unrecognized(&self) -> Result<(), Invalid> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(Invalid::unrecognized(name)),
        }
    }

    /// Refuses a field of a nested object that was not read.
    pub(crate) fn no_unknown(&self) -> Result<(), Invalid> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(Invalid::unknown(self.path.field(name))),
        }
    }
}

pub(crate) fn string(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Invalid::wrong_type(path, "a string", kind(&other))),
    }
}

/// A string of at most so many characters.
pub(crate) fn short_string(most: usize) -> impl Fn(&Path<'_>, Value) -> Result<String, Invalid> {
    move |path, value| {
        let text = string(path, value)?;
        let length = text.chars().count();
        if length > most {
            return Err(Invalid::string_too_long(path, most, length));
        }
        Ok(text)
    }
}

pub(crate) fn boolean(path: &Path<'_>, value: Value) -> Result<bool, Invalid> {
    match value {
        Value::Bool(value) => Ok(value),
        other => Err(Invalid::wrong_type(path, "a boolean", kind(&other))),
    }
}

/// A whole number within bounds, both included. `T` must hold every value within them.
pub(crate) fn integer<T: TryFrom<i64>>(least: i64, most: i64) -> impl Fn(&Path<'_>, Value) -> Result<T, Invalid> {
    move |path, value| {
        let Value::Number(number) = &value else {
            return Err(Invalid::wrong_type(path, "an integer", kind(&value)));
        };
        match number.as_i64() {
            Some(number) if number < least => Err(Invalid::integer_below(path, least, number)),
            Some(number) if number <= most => {
                T::try_from(number).map_err(|_| Invalid::integer_above(path, most, number))
            }
            Some(number) => Err(Invalid::integer_above(path, most, number)),
            None if number.is_u64() => Err(Invalid::integer_above(path, most, number)),
            None => Err(Invalid::wrong_type(path, "an integer", kind(&value))),
        }
    }
}

/// Any number within bounds, both included.
pub(crate) fn decimal(least: f64, most: f64) -> impl Fn(&Path<'_>, Value) -> Result<f32, Invalid> {
    move |path, value| {
        let number = match &value {
            Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
            other => return Err(Invalid::wrong_type(path, "a decimal", kind(other))),
        };
        if number < least {
            return Err(Invalid::decimal_below(path, format_args!(">= {least}"), &value));
        }
        if number > most {
            return Err(Invalid::decimal_above(path, most, &value));
        }
        #[expect(clippy::cast_possible_truncation, reason = "engines compute with 32 bits; the value is within bounds")]
        Ok(number as f32)
    }
}

/// One of the given words, and what it stands for.
pub(crate) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Path<'_>, Value) -> Result<T, Invalid> {
    move |path, value| {
        let text = string(path, value)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let supported: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(Invalid::wrong_value(path, &text, &supported))
            }
        }
    }
}

/// An array, `expected` being its description in an error.
pub(crate) fn array<T>(
    expected: &'static str,
    item: impl Fn(&Path<'_>, Value) -> Result<T, Invalid>,
) -> impl Fn(&Path<'_>, Value) -> Result<Vec<T>, Invalid> {
    move |path, value| match value {
        Value::Array(values) => items(path, values, &item),
        other => Err(Invalid::wrong_type(path, expected, kind(&other))),
    }
}

pub(crate) fn items<T>(
    path: &Path<'_>,
    values: Vec<Value>,
    item: impl Fn(&Path<'_>, Value) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    values.into_iter().enumerate().map(|(index, value)| item(&path.index(index), value)).collect()
}

pub(crate) fn object(path: &Path<'_>, value: Value) -> Result<Map<String, Value>, Invalid> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(Invalid::wrong_type(path, "an object", kind(&other))),
    }
}

/// What a value is, as errors say it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

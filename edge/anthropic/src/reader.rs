//! Reading a request's JSON with the path of every value at hand. An object is emptied field by field; what is left is
//! what nobody knows. An explicit `null` is an absent field. Errors have the words of Anthropic's validator.

use std::fmt;

use cloudach_openai::{Invalid, apart};
use serde_json::{Map, Value};

/// Characters of a client's own words that an error repeats.
const MOST_REPEATED: usize = 64;

/// Where a value stands in the request: `messages.0.content`. Only written out when something is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
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

    /// A mistake in what stands here.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> Invalid {
        invalid(format!("{self}: {what}"), Some(self.to_string()))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        if !matches!(parent.step, Step::Root) {
            f.write_str(".")?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => f.write_str(&shorten(name)),
            Step::Index(index) => write!(f, "{index}"),
        }
    }
}

/// An error about the request as a whole, or about what stands at a path.
pub(crate) fn invalid(message: String, param: Option<String>) -> Invalid {
    Invalid { message, param, code: None }
}

/// The beginning of a client's own words.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(MOST_REPEATED).collect()
}

/// The fields of one object that were not read yet.
pub(crate) struct Fields<'p> {
    path: Path<'p>,
    fields: Map<String, Value>,
}

/// What a part of the body says.
pub(crate) fn value_of(text: &str) -> Result<Value, Invalid> {
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> Invalid {
    invalid(format!("The request body is not valid JSON: {error}"), None)
}

impl<'p> Fields<'p> {
    /// The whole body of a request.
    pub(crate) fn of_body(body: &[u8]) -> Result<Fields<'static>, Invalid> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields { path: Path::ROOT, fields }),
            Ok(_) => Err(invalid("The request body must be a JSON object.".to_owned(), None)),
            Err(error) => Err(not_json(&error)),
        }
    }

    /// The same, and the text of one field, which is not read, unless it is `null`.
    pub(crate) fn of_body_without<'b>(
        body: &'b [u8],
        name: &str,
    ) -> Result<(Fields<'static>, Option<&'b str>), Invalid> {
        match apart::read(body, name) {
            Ok((fields, text)) => Ok((Fields { path: Path::ROOT, fields }, text)),
            // What is wrong with it is said there.
            Err(_) => Ok((Self::of_body(body)?, None)),
        }
    }

    pub(crate) fn of(path: &Path<'p>, value: Value) -> Result<Self, Invalid> {
        Ok(Self { path: *path, fields: object(path, value)? })
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
        self.fields.remove(name).map_or_else(|| Err(path.wrong("Field required")), |value| read(&path, value))
    }

    /// Passes over fields that change no answer.
    pub(crate) fn pass_over(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Refuses what was not read.
    pub(crate) fn no_others(&self) -> Result<(), Invalid> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.path.field(name).wrong("Extra inputs are not permitted")),
        }
    }
}

pub(crate) fn string(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(path.wrong("Input should be a valid string")),
    }
}

/// A string of some length, in characters, both bounds included.
pub(crate) fn short_string(least: usize, most: usize) -> impl Fn(&Path<'_>, Value) -> Result<String, Invalid> {
    move |path, value| {
        let text = string(path, value)?;
        match text.chars().count() {
            count if count < least => Err(path.wrong(format_args!("String should have at least {least} character"))),
            count if count > most => Err(path.wrong(format_args!("String should have at most {most} characters"))),
            _ => Ok(text),
        }
    }
}

pub(crate) fn boolean(path: &Path<'_>, value: Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| path.wrong("Input should be a valid boolean"))
}

pub(crate) fn object(path: &Path<'_>, value: Value) -> Result<Map<String, Value>, Invalid> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(path.wrong("Input should be an object")),
    }
}

/// A whole number, at least `least`.
pub(crate) fn integer(least: u32) -> impl Fn(&Path<'_>, Value) -> Result<u32, Invalid> {
    move |path, value| {
        let Value::Number(number) = &value else { return Err(path.wrong("Input should be a valid integer")) };
        let whole = number.as_i64().or_else(|| number.as_u64().map(|_| i64::MAX));
        match whole.map(u32::try_from) {
            None => Err(path.wrong("Input should be a valid integer")),
            Some(Ok(number)) if number >= least => Ok(number),
            Some(Err(_)) if whole > Some(0) => {
                Err(path.wrong(format_args!("Input should be less than or equal to {}", u32::MAX)))
            }
            Some(_) => Err(path.wrong(format_args!("Input should be greater than or equal to {least}"))),
        }
    }
}

/// A number from 0 to 1.
pub(crate) fn share(path: &Path<'_>, value: Value) -> Result<f32, Invalid> {
    let number = value.as_f64().ok_or_else(|| path.wrong("Input should be a valid number"))?;
    if number < 0.0 {
        return Err(path.wrong("Input should be greater than or equal to 0"));
    }
    if number > 1.0 {
        return Err(path.wrong("Input should be less than or equal to 1"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "engines compute with 32 bits; the value is within bounds")]
    Ok(number as f32)
}

/// A list of at most so many items.
pub(crate) fn list<T>(
    most: usize,
    item: impl Fn(&Path<'_>, Value) -> Result<T, Invalid>,
) -> impl Fn(&Path<'_>, Value) -> Result<Vec<T>, Invalid> {
    move |path, value| {
        let Value::Array(values) = value else { return Err(path.wrong("Input should be a valid list")) };
        if values.len() > most {
            return Err(path.wrong(format_args!("List should have at most {most} items, not {}", values.len())));
        }
        values.into_iter().enumerate().map(|(index, value)| item(&path.index(index), value)).collect()
    }
}

/// One of the given words, and what it stands for.
pub(crate) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Path<'_>, Value) -> Result<T, Invalid> {
    move |path, value| {
        let text = string(path, value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
            let (last, rest) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
            let or = if rest.is_empty() { "" } else { " or " };
            path.wrong(format_args!("Input should be {}{or}{last}", rest.join(", ")))
        })
    }
}

//! Python's `json.dumps`, which is what `tojson` means in a chat template.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::super::value::is_exponent_float;
use super::number::repr_float;
use super::{MAX_DEPTH, check_length, too_deep};

/// What stands between items, and between a key and its value.
pub(in super::super) struct Separators {
    pub item: String,
    pub key: String,
}

/// How to write a value as JSON.
pub(in super::super) struct Dump {
    pub ensure_ascii: bool,
    /// What one level is indented by; `None` writes everything on one line.
    pub indent: Option<String>,
    pub separators: Separators,
    pub sort_keys: bool,
}

impl Dump {
    pub(in super::super) fn write(&self, value: &Value) -> Result<String, Error> {
        let mut out = String::new();
        self.value(&mut out, value, 0)?;
        Ok(out)
    }

    fn value(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        check_length(out.len())?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(out, value, depth)?,
            ValueKind::Map => self.dict(out, value, depth)?,
            ValueKind::Plain if is_exponent_float(value) => out.push_str(&value.to_string()),
            kind => {
                let problem = format!("Object of type {kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, problem));
            }
        }
        Ok(())
    }

    fn list(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        out.push('[');
        let mut empty = true;
        for item in value.try_iter()? {
            self.begin_item(out, empty, depth + 1);
            empty = false;
            self.value(out, &item, depth + 1)?;
        }
        self.end(out, empty, depth, ']');
        Ok(())
    }

    fn dict(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let mut pairs: Vec<(Value, Value)> =
            value.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten().collect();
        if self.sort_keys {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        out.push('{');
        for (index, (key, value)) in pairs.iter().enumerate() {
            self.begin_item(out, index == 0, depth + 1);
            self.string(out, &dict_key(key)?);
            out.push_str(&self.separators.key);
            self.value(out, value, depth + 1)?;
        }
        self.end(out, pairs.is_empty(), depth, '}');
        Ok(())
    }

    fn begin_item(&self, out: &mut String, first: bool, depth: usize) {
        if !first {
            out.push_str(&self.separators.item);
        }
        self.new_line(out, depth);
    }

    fn end(&self, out: &mut String, empty: bool, depth: usize, close: char) {
        if !empty {
            self.new_line(out, depth);
        }
        out.push(close);
    }

    fn new_line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            for _ in 0..depth {
                out.push_str(indent);
            }
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => push_unicode_escape(out, c),
                '\u{7f}'.. if self.ensure_ascii => push_unicode_escape(out, c),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => match repr_float(float) {
            text if text == "nan" => "NaN".to_owned(),
            text if text.ends_with("inf") => text.replace("inf", "Infinity"),
            text => text,
        },
        _ => value.to_string(),
    }
}

fn dict_key(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Ok(number(key)),
        kind => {
            let problem = format!("keys must be str, int, float, bool or None, not {kind}");
            Err(Error::new(ErrorKind::BadSerialization, problem))
        }
    }
}

fn push_unicode_escape(out: &mut String, c: char) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

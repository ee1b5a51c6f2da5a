//! `str` and `repr`: what `{{ value }}` prints.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::number::repr_float;
use super::{MAX_DEPTH, check_length, too_deep};

/// Python's `str(value)`; an undefined value is empty, as Jinja2 prints it.
pub(in super::super) fn to_str(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        _ => {
            let mut out = String::new();
            repr(&mut out, value, 0)?;
            Ok(out)
        }
    }
}

/// Appends Python's `repr(value)`.
fn repr(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    check_length(out.len())?;
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::String => repr_str(out, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(float) => out.push_str(&repr_float(float)),
            Err(_) => push_display(out, value),
        },
        ValueKind::Seq | ValueKind::Iterable if value.len().is_some() => repr_list(out, value, depth)?,
        ValueKind::Map => repr_dict(out, value, depth)?,
        _ => push_display(out, value),
    }
    Ok(())
}

fn repr_list(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
    out.push(open);
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        repr(out, &item, depth + 1)?;
    }
    if value.is_tuple() && value.len() == Some(1) {
        out.push(',');
    }
    out.push(close);
    Ok(())
}

fn repr_dict(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    let Some(object) = value.as_object() else { return Ok(()) };
    out.push('{');
    for (index, (key, value)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        repr(out, &key, depth + 1)?;
        out.push_str(": ");
        repr(out, &value, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

fn repr_str(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => push_escape(out, u32::from(c)),
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable` as far as std knows the character classes: separators, controls, format
/// characters, private use and non-characters are not.
fn is_printable(c: char) -> bool {
    let hidden = c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x180E
            | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xE000..=0xF8FF | 0xFEFF
            | 0xFFF0..=0xFFFB | 0xFFFE..=0xFFFF | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
            | 0xE0000..=0xE00FF | 0xE01F0..=0x10_FFFF);
    !hidden
}

fn push_escape(out: &mut String, code: u32) {
    let _ = match code {
        0..=0xFF => write!(out, "\\x{code:02x}"),
        0x100..=0xFFFF => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

fn push_display(out: &mut String, value: &Value) {
    let _ = write!(out, "{value}");
}

//! Arguments that a model wrote in a notation of its own, as the text of a JSON object.
//!
//! A value that can only be a string flows as it comes. Another waits until it is complete or until it cannot be
//! anything but a string, and what is none of the types that the schema names is a string.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::piece::{Emit, Piece};
use super::tools::Types;

/// How many bytes a value may have that waits. What is longer flows as a string.
const MOST_HELD: usize = 256 * 1024;

/// How many bytes of white space may stand before a value that is no string, and how many such a value may have that
/// is neither object nor list.
const MOST_OF_WORD: usize = 512;

/// Writes the object of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Arguments {
    /// Members that were begun.
    members: usize,
    value: Option<Value>,
}

#[derive(Debug, Clone)]
struct Value {
    types: Types,
    form: Form,
    text: Text,
}

/// What a format puts around its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value begins and ends with its markers.
    Bare,
    /// One line end on each side belongs to the notation.
    Lines,
}

#[derive(Debug, Clone)]
enum Text {
    Waits(String),
    /// A string whose beginning was given out. `line_end`: one that may belong to the notation waits.
    Flows {
        line_end: bool,
    },
}

impl Arguments {
    /// A parameter begins.
    pub(super) fn begin(&mut self, name: &str, types: Types, form: Form, emit: Emit<'_>) {
        self.end_value(emit);
        let begin = if self.members == 0 { "{" } else { ", " };
        emit(Piece::Arguments(&format!("{begin}{}: ", quoted(name))));
        self.members += 1;
        self.value = Some(Value { types, form, text: Text::Waits(String::new()) });
    }

    /// The next piece of the parameter's value.
    pub(super) fn text(&mut self, text: &str, emit: Emit<'_>) {
        let Some(value) = &mut self.value else { return };
        match &mut value.text {
            Text::Waits(held) => {
                held.push_str(text);
                let shown =
                    if value.form == Form::Lines { held.strip_prefix('\n').unwrap_or(held) } else { held.as_str() };
                let undecided = held.is_empty() || (value.form == Form::Lines && held == "\n");
                if !undecided && (must_be_string(shown, value.types) || held.len() > MOST_HELD) {
                    emit(Piece::Arguments("\""));
                    let shown = shown.to_owned();
                    value.text = Text::Flows { line_end: false };
                    self.text(&shown, emit);
                }
            }
            Text::Flows { line_end } => {
                if text.is_empty() {
                    return;
                }
                if std::mem::take(line_end) {
                    emit(Piece::Arguments("\\n"));
                }
                let shown = match text.strip_suffix('\n') {
                    Some(shown) if value.form == Form::Lines => {
                        *line_end = true;
                        shown
                    }
                    _ => text,
                };
                if !shown.is_empty() {
                    emit(Piece::Arguments(&escaped(shown)));
                }
            }
        }
    }

    /// The parameter's value is complete.
    pub(super) fn end_value(&mut self, emit: Emit<'_>) {
        let Some(Value { types, form, text }) = self.value.take() else { return };
        match text {
            Text::Flows { .. } => emit(Piece::Arguments("\"")),
            Text::Waits(held) => {
                let mut shown = held.as_str();
                if form == Form::Lines {
                    shown = shown.strip_prefix('\n').unwrap_or(shown);
                    shown = shown.strip_suffix('\n').unwrap_or(shown);
                }
                emit(Piece::Arguments(&typed(shown, types)));
            }
        }
    }

    /// The call is complete.
    pub(super) fn end(&mut self, emit: Emit<'_>) {
        self.end_value(emit);
        emit(Piece::Arguments(if self.members == 0 { "{}" } else { "}" }));
        *self = Self::default();
    }

    /// The engine has ended inside of the call: what waits is given out as far as it came.
    pub(super) fn cut_off(&mut self, emit: Emit<'_>) {
        match self.value.take() {
            Some(Value { text: Text::Waits(held), .. }) if !held.trim().is_empty() => {
                emit(Piece::Arguments(held.trim()));
            }
            _ => {}
        }
    }
}

/// A value as JSON.
pub(super) fn typed(text: &str, types: Types) -> Cow<'_, str> {
    let value = text.trim();
    if types == Types::STRING {
        return quoted(text).into();
    }
    let lower = || value.to_ascii_lowercase();
    if types.has(Types::NULL) && value.eq_ignore_ascii_case("null") {
        return "null".into();
    }
    if types != Types::ANY && types.has(Types::BOOLEAN) && matches!(lower().as_str(), "true" | "false") {
        return lower().into();
    }
    if types.has(Types::NUMBER)
        && let Some(number) = number(value)
    {
        return number;
    }
    let is_json = || serde_json::from_str::<IgnoredAny>(value).is_ok();
    let kind = match value.as_bytes().first() {
        Some(b'{') => Types::OBJECT,
        Some(b'[') => Types::ARRAY,
        Some(b'"') if types == Types::ANY => Types::STRING,
        Some(b't' | b'f') if types == Types::ANY => Types::BOOLEAN,
        _ => return quoted(text).into(),
    };
    let fits = types.has(kind) || !types.has(Types::STRING);
    if fits && is_json() { value.into() } else { quoted(text).into() }
}

/// A number as JSON; Python writes some that JSON does not (`007`, `+5`, `.5`).
pub(super) fn number(text: &str) -> Option<Cow<'_, str>> {
    let begins = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
    if !text.starts_with(begins) {
        return None;
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Some(text.into());
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.to_string().into());
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    serde_json::to_string(&number).ok().map(Cow::from)
}

/// Whether a value that begins like this can be nothing else but a string.
fn must_be_string(begin: &str, types: Types) -> bool {
    if types == Types::STRING {
        return true;
    }
    let indented = begin.len();
    let begin = begin.trim_start();
    if indented - begin.len() > MOST_OF_WORD {
        return true;
    }
    let Some(first) = begin.chars().next() else { return false };
    if begin.len() > MOST_OF_WORD && !matches!(first, '{' | '[' | '"') {
        return true;
    }
    let word = |word: &str| {
        let begin = begin.trim_end();
        begin.len() <= word.len() && word.as_bytes()[..begin.len()].eq_ignore_ascii_case(begin.as_bytes())
    };
    let may_be = match first {
        'n' | 'N' => types.has(Types::NULL) && word("null"),
        't' | 'T' => types.has(Types::BOOLEAN) && word("true"),
        'f' | 'F' => types.has(Types::BOOLEAN) && word("false"),
        '0'..='9' | '-' | '+' | '.' => {
            let of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            types.has(Types::NUMBER) && begin.trim_end().chars().all(of_number)
        }
        '{' => types.has(Types::OBJECT) || !types.has(Types::STRING),
        '[' => types.has(Types::ARRAY) || !types.has(Types::STRING),
        '"' => types == Types::ANY,
        _ => false,
    };
    !may_be
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// What stands for the text inside of a JSON string.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        match sign {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\0'..'\x20' => escaped.push_str(&format!("\\u{:04x}", sign as u32)),
            _ => escaped.push(sign),
        }
    }
    escaped.into()
}

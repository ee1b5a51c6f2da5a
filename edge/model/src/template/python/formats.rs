//! Python's two ways to format, in front of the engine's: it would fall over what is refused here.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use super::check_length;

/// The most digits behind the point that the engine can write.
const MOST_PRECISION: usize = u16::MAX as usize;

/// `"{}".format(*values)`
pub(super) fn format_text(text: &str, values: &[Value]) -> Result<Value, Error> {
    check_widths(text)?;
    for field in text.split('{').skip(1) {
        check_name(bracketed(field))?;
        let spec = field.split('}').next().and_then(|field| field.split_once(':'));
        let point = spec.and_then(|(_, spec)| spec.split_once('.'));
        check_precision(point.map_or("", |(_, precision)| precision))?;
    }
    format(FormatStyle::StrFormat, text, values).map(Value::from)
}

/// `"%s"|format(*values)`
pub(in super::super) fn format_filter(
    state: &mut State<'_, '_>,
    text: &Value,
    values: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    for field in text.as_str().unwrap_or_default().split('%').skip(1) {
        let (name, spec) = match field.strip_prefix('(') {
            Some(named) => named.split_once(')').unwrap_or((named, "")),
            None => ("", field),
        };
        check_name(name)?;
        let width = |c: char| c.is_ascii_digit() || matches!(c, '#' | '-' | ' ' | '+');
        check_precision(spec.trim_start_matches(width).strip_prefix('.').unwrap_or_default())?;
    }
    minijinja::filters::format(state, text, values)
}

/// The name in `a[b]}`.
fn bracketed(field: &str) -> &str {
    match field.find(['[', ':', '}']) {
        Some(open) if field[open..].starts_with('[') => &field[open..field.rfind(']').unwrap_or(field.len())],
        _ => "",
    }
}

/// The engine would cut other names in the middle of their characters.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_ascii() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidOperation, "a name in brackets in a format must be ASCII"))
}

fn check_precision(begin: &str) -> Result<(), Error> {
    let digits = begin.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    if digits.is_empty() || digits.parse::<usize>().is_ok_and(|precision| precision <= MOST_PRECISION) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidOperation, "a format asks for too many digits"))
}

/// Refuses a format whose widths or precisions alone would outgrow any prompt.
fn check_widths(pattern: &str) -> Result<(), Error> {
    let numbers = pattern.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let total = numbers.map(|digits| digits.parse::<usize>().unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    check_length(total)
}

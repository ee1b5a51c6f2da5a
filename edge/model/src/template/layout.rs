//! Jinja2's filters that lay texts out.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::arguments::arguments;
use super::python;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("center", center);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", word_count);
}

/// `value|center(width=80)`
fn center(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [width] = arguments(["width"], &placed, &named)?;
    python::call_text_method(&python::to_str(value)?, "center", &[width.unwrap_or_else(|| Value::from(80))])
}

/// `value|trim(chars=none)`, of which a text that is marked as safe stays safe
fn trim(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [chars] = arguments(["chars"], &placed, &named)?;
    let chars: Vec<Value> = chars.into_iter().collect();
    let trimmed = python::call_text_method(&python::to_str(value)?, "strip", &chars)?;
    Ok(if value.is_safe() { Value::from_safe_string(python::to_str(&trimmed)?) } else { trimmed })
}

/// `text|truncate(length=255, killwords=false, end="...", leeway=5)`: whole words, unless they may be cut
fn truncate(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let [length, kill_words, end, leeway] = arguments(["length", "killwords", "end", "leeway"], &placed, &named)?;
    let number = |value: Option<Value>, otherwise| value.map_or(Ok(otherwise), usize::try_from);
    let (length, leeway) = (number(length, 255)?, number(leeway.filter(|leeway| !leeway.is_none()), 5)?);
    let end = end.map_or_else(|| Ok("...".to_owned()), |end| python::to_str(&end))?;
    let text = python::to_str(value)?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let Some(room) = length.checked_sub(end.chars().count()) else {
        return Err(Error::new(ErrorKind::InvalidOperation, "a text cannot be truncated to less than its end"));
    };
    let cut = text.char_indices().nth(room).map_or(text.as_str(), |(at, _)| &text[..at]);
    let kept = match cut.rfind(' ') {
        Some(space) if !kill_words.is_some_and(|kill| kill.is_true()) => &cut[..space],
        _ => cut,
    };
    Ok(format!("{kept}{end}"))
}

/// `text|wordcount`
fn word_count(value: &Value) -> Result<usize, Error> {
    let text = python::to_str(value)?;
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    Ok(words.filter(|word| !word.is_empty()).count())
}

//! Jinja2's filters where the engine's differ.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::python::{self, Dump, Separators};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", string);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);
    environment.add_filter("format", format);
    for name in ["e", "escape", "forceescape"] {
        environment.add_filter(name, escape);
    }
    environment.add_function("dict", dict);
}

/// `value|tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`
fn to_json(value: &Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        let value = positional.get(index).map_or_else(|| kwargs.get(name), |value| Ok(Some(value.clone())))?;
        Ok(value.filter(|value: &Value| !value.is_none()))
    };
    let ensure_ascii = argument(0, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = argument(1, "indent")?.map(indentation);
    let separators = argument(2, "separators")?;
    let sort_keys = argument(3, "sort_keys")?.is_some_and(|value| value.is_true());
    kwargs.assert_all_used()?;
    let separators = match separators {
        Some(pair) => separator_pair(&pair)?,
        None => Separators { item: if indent.is_some() { "," } else { ", " }.to_owned(), key: ": ".to_owned() },
    };
    Dump { ensure_ascii, indent, separators, sort_keys }.write(value)
}

/// One level of indentation: a text, or a number of spaces.
fn indentation(value: Value) -> String {
    let spaces = |count: i64| " ".repeat(usize::try_from(count.clamp(0, 64)).unwrap_or(0));
    value.as_str().map_or_else(|| spaces(value.as_i64().unwrap_or(0)), str::to_owned)
}

fn separator_pair(pair: &Value) -> Result<Separators, Error> {
    let items: Vec<Value> = pair.try_iter()?.take(3).collect();
    match items.as_slice() {
        [item, key] => Ok(Separators { item: python::to_str(item)?, key: python::to_str(key)? }),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "separators must be a pair of strings")),
    }
}

/// `value|string`: `str(value)`, which leaves a text marked as safe what it is.
fn string(value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() { Ok(value.clone()) } else { python::to_str(value).map(Value::from) }
}

/// `value|int(default=0)`: what is no number is the default; a text may also be a float.
fn int(value: &Value, default: Option<Value>) -> Value {
    let parsed = match value.as_str().map(str::trim) {
        Some(text) => text.parse::<i128>().ok().map(Value::from).or_else(|| truncated(text.parse().ok()?)),
        None => {
            i128::try_from(value.clone()).ok().map(Value::from).or_else(|| truncated(value.clone().try_into().ok()?))
        }
    };
    parsed.or(default).unwrap_or_else(|| Value::from(0))
}

fn truncated(float: f64) -> Option<Value> {
    // Beyond this a float is not exact, and no template counts that far.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the exact range, and truncation is what int() does")]
    (float.abs() <= EXACT).then(|| Value::from(float as i64))
}

/// `value|float(default=0.0)`
fn float(value: &Value, default: Option<Value>) -> Value {
    let parsed = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => value.clone().try_into().ok(),
    };
    parsed.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0))
}

/// `value|indent(width=4, first=false, blank=false)`, where the width may be a text
fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = width.or(kwargs.get("width")?).map_or_else(|| " ".repeat(4), indentation);
    let first = first.or(kwargs.get("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get("blank")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let lines = text.split('\n').count();
    python::check_length(text.len().saturating_add(lines.saturating_mul(width.len())))?;
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let indented = if index == 0 { first } else { blank || !line.is_empty() };
        if indented {
            out.push_str(&width);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `text|format(*values)`
fn format(state: &mut State<'_, '_>, text: &Value, values: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let names = text.as_str().unwrap_or_default().split("%(").skip(1);
    python::check_names(names.map(|name| name.split(')').next().unwrap_or(name)))?;
    minijinja::filters::format(state, text, values)
}

/// `value|escape`, with the entities that Python's `markupsafe` chooses
pub(super) fn escape(value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = python::to_str(value)?;
    python::check_length(text.len().saturating_mul(5))?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

/// `dict(mapping or pairs, **more)`
fn dict(start: Option<Value>, more: Kwargs) -> Result<Value, Error> {
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    match start.as_ref().and_then(Value::as_object).map(|object| (object, object.try_iter_pairs())) {
        Some((object, Some(entries))) if object.repr() == minijinja::value::ObjectRepr::Map => pairs.extend(entries),
        _ => {
            for pair in start.iter().map(Value::try_iter).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
                match pair.try_iter()?.take(3).collect::<Vec<_>>().as_slice() {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    _ => return Err(Error::new(ErrorKind::InvalidOperation, "dict takes a mapping or pairs")),
                }
            }
        }
    }
    for name in more.args() {
        pairs.push((name.into(), more.get(name)?));
    }
    Ok(Value::from_pairs(pairs))
}

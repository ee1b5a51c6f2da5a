//! Jinja2's filters where the engine's differ.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::arguments::arguments;
use super::python::{self, Dump, Separators};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", string);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("unique", unique);
    environment.add_filter("batch", batch);
    environment.add_filter("slice", slice);
    environment.add_filter("indent", indent);
    environment.add_filter("format", python::format_filter);
    for name in ["e", "escape", "forceescape"] {
        environment.add_filter(name, escape);
    }
    environment.add_function("dict", dict);
}

/// `value|tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`
fn to_json(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let given = arguments(["ensure_ascii", "indent", "separators", "sort_keys"], &placed, &named)?;
    let [ensure_ascii, indent, separators, sort_keys] = given.map(|value| value.filter(|value| !value.is_none()));
    let ensure_ascii = ensure_ascii.is_some_and(|value| value.is_true());
    let indent = indent.map(indentation);
    let sort_keys = sort_keys.is_some_and(|value| value.is_true());
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

/// `value|default(default_value="", boolean=false)`
fn default(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, boolean] = arguments(["default_value", "boolean"], &placed, &named)?;
    let missing = value.is_undefined() || (boolean.is_some_and(|boolean| boolean.is_true()) && !value.is_true());
    Ok(if missing { default.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

/// `mapping|dictsort(case_sensitive=false, by="key", reverse=false)`
fn dictsort(value: &Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    const NAMES: [&str; 3] = ["case_sensitive", "by", "reverse"];
    minijinja::filters::dictsort(value, only_named(NAMES, arguments(NAMES, &placed, &named)?))
}

/// `values|unique(case_sensitive=false, attribute=none)`
fn unique(state: &State<'_, '_>, values: Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    const NAMES: [&str; 2] = ["case_sensitive", "attribute"];
    minijinja::filters::unique(state, values, only_named(NAMES, arguments(NAMES, &placed, &named)?))
}

fn only_named<const N: usize>(names: [&str; N], given: [Option<Value>; N]) -> Kwargs {
    names.into_iter().zip(given).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `values|batch(linecount, fill_with=none)`
fn batch(state: &State<'_, '_>, values: Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [count, fill_with] = arguments(["linecount", "fill_with"], &placed, &named)?;
    let count = usize::try_from(count.unwrap_or_default())?;
    minijinja::filters::batch(state, values, count, fill_with)
}

/// `values|slice(slices, fill_with=none)`
fn slice(state: &State<'_, '_>, values: Value, placed: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [count, fill_with] = arguments(["slices", "fill_with"], &placed, &named)?;
    let count = usize::try_from(count.unwrap_or_default())?;
    minijinja::filters::slice(state, values, count, fill_with)
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

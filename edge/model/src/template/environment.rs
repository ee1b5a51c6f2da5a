//! The template engine, set up to behave as Jinja2 does where chat templates are rendered.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};

use super::limits;
use super::python::{self, Dump, Separators};

/// The marker, in an engine's error, of a text that the template raised itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub String);

/// White space as the reference treats it.
pub(super) fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

/// An engine that can reach nothing but what it is given, within the limits.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits::FUEL));
    environment.set_recursion_limit(limits::RECURSION);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(python::call_method);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise_exception);
    Ok(environment)
}

fn print(out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None => out.write_str(&python::to_str(value)?)?,
    }
    Ok(())
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let text = python::to_str(message)?;
    Err(Error::new(ErrorKind::InvalidOperation, text.clone()).with_source(Raised(text)))
}

/// `value|tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`
fn to_json(value: &Value, args: Rest<Value>) -> Result<String, Error> {
    let (positional, kwargs): (Rest<Value>, Kwargs) = from_args(&args)?;
    let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        let value = positional.get(index).map_or_else(|| kwargs.get(name), |value| Ok(Some(value.clone())))?;
        Ok(value.filter(|value: &Value| !value.is_none()))
    };
    let ensure_ascii = argument(0, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = argument(1, "indent")?.map(indent);
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
fn indent(value: Value) -> String {
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

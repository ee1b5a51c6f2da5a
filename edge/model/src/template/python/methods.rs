//! Methods of Python's built-in types: `message.get("name")`, `text.strip()`.
//!
//! The reference runs templates in an immutable sandbox, so whatever changes a value is missing here.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::strings;

/// Calls `value.name(args)` where the template engine knows no such method.
pub(in super::super) fn call_method(
    _state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => strings::call_method(value.as_str().unwrap_or_default(), name, args),
        ValueKind::Map => dict_method(value, name, args),
        ValueKind::Seq | ValueKind::Iterable => list_method(value, name, args),
        ValueKind::Number => number_method(value, name, args),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn dict_method(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(object) = value.as_object() else { return Err(ErrorKind::UnknownMethod.into()) };
    let pairs = || object.try_iter_pairs().into_iter().flatten();
    match name {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            Ok(object.get_value(key).or(default).unwrap_or_else(|| Value::from(())))
        }
        "items" => {
            let () = from_args(args)?;
            Ok(pairs().map(|(key, value)| Value::from(Tuple::from([key, value]))).collect::<Vec<_>>().into())
        }
        "keys" => {
            let () = from_args(args)?;
            Ok(pairs().map(|(key, _)| key).collect::<Vec<_>>().into())
        }
        "values" => {
            let () = from_args(args)?;
            Ok(pairs().map(|(_, value)| value).collect::<Vec<_>>().into())
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(value.clone())
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn list_method(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match name {
        "count" => {
            let (wanted,): (&Value,) = from_args(args)?;
            Ok(value.try_iter()?.filter(|item| item == wanted).count().into())
        }
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let position = value.try_iter()?.position(|item| item == *wanted);
            position
                .map(Value::from)
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("{wanted:?} is not in list")))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(value.clone())
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn number_method(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match name {
        "is_integer" => {
            let () = from_args(args)?;
            Ok(Value::from(f64::try_from(value.clone()).is_ok_and(|float| float.fract() == 0.0)))
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

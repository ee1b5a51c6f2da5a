//! Jinja2's `is` tests where the engine answers otherwise.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

use super::value::is_exponent_float;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_test("number", is_number);
    environment.add_test("float", is_float);
    environment.add_test("callable", is_callable);
}

/// What Python can loop over; none is not, though a loop here would let it pass.
fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// What has a length and items, be it text.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
        || (value.kind() == ValueKind::Iterable && value.len().is_some())
}

fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool) || is_exponent_float(value)
}

fn is_float(value: &Value) -> bool {
    (value.is_number() && !value.is_integer()) || is_exponent_float(value)
}

/// Functions and macros, which is all that has no data.
fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain && !is_exponent_float(value)
}

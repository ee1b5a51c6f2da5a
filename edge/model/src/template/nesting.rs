//! Keeps templates from building values so deep that walking or dropping them would end the process.
//!
//! Values only grow over time where they are assigned, so each `{% set %}` passes its value through a
//! filter here (see [`super::dialect`]). What is deeper than any request or honest template makes it, or
//! holds what could come to hold itself, is refused there.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::value::is_exponent_float;

/// The filter that a variable's new value passes.
pub(super) const VARIABLE: &str = "_bounded_variable";

/// The filter that the new value of a namespace's member passes.
pub(super) const MEMBER: &str = "_bounded_member";

/// JSON ends at 128, and no template adds more than a few levels.
const MAX_DEPTH: usize = 200;

/// How many values are looked at for one unit of fuel.
const VALUES_PER_FUEL: usize = 4;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter(VARIABLE, variable);
    environment.add_filter(MEMBER, member);
}

/// A variable may hold a namespace or a macro itself.
fn variable(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    match kind(&value) {
        Kind::Namespace => {
            check_items(state, &value, Holder::Variable, 0)?;
            Ok(value)
        }
        Kind::Callable => Ok(value),
        Kind::Data => {
            let value = evaluated(state, value)?;
            check(state, &value, Holder::Variable, 0)?;
            Ok(value)
        }
    }
}

fn member(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    let value = evaluated(state, value)?;
    check(state, &value, Holder::Member, 0)?;
    Ok(value)
}

/// What the engine computes item by item when asked, as a list: sums of sums would be walked again and
/// again.
fn evaluated(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    let lazy = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
        && !value.is_tuple()
        && value.downcast_object_ref::<Vec<Value>>().is_none();
    if !lazy {
        return Ok(value);
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        state.consume_fuel(1)?;
        items.push(item);
    }
    Ok(items.into())
}

fn check(state: &State<'_, '_>, value: &Value, holder: Holder, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(refuse("the template nests values too deeply"));
    }
    match (kind(value), holder) {
        (Kind::Namespace, _) => Err(refuse("the template stores a namespace inside of another value")),
        (Kind::Callable, Holder::Member) => Err(refuse("the template stores a macro in a namespace")),
        (Kind::Data, _) if matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) => {
            check_items(state, value, holder, depth)
        }
        (Kind::Callable | Kind::Data, _) => Ok(()),
    }
}

fn check_items(state: &State<'_, '_>, value: &Value, holder: Holder, depth: usize) -> Result<(), Error> {
    let Some(object) = value.as_object() else { return Ok(()) };
    state.consume_fuel(1)?;
    for (index, (key, item)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
        if index % VALUES_PER_FUEL == 0 {
            state.consume_fuel(1)?;
        }
        check(state, &key, holder, depth + 1)?;
        check(state, &item, holder, depth + 1)?;
    }
    Ok(())
}

/// What a value is assigned to. A namespace outlives the turn of a loop, and a macro holds what it sees:
/// only both together grow.
#[derive(Clone, Copy)]
enum Holder {
    Variable,
    Member,
}

enum Kind {
    Data,
    Namespace,
    Callable,
}

/// The engine's own objects are known by their type's name only.
fn kind(value: &Value) -> Kind {
    match value.as_object().map(|object| object.type_name()) {
        Some(name) if name.ends_with("::Namespace") => Kind::Namespace,
        Some(name) if name.ends_with("::Macro") => Kind::Callable,
        _ if value.kind() == ValueKind::Plain && !is_exponent_float(value) => Kind::Callable,
        _ => Kind::Data,
    }
}

fn refuse(problem: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

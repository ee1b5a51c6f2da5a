//! Arguments of filters as Python takes them: by place or by name.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};

/// What was given for each of the names.
pub(super) fn arguments<const N: usize>(
    names: [&str; N],
    placed: &[Value],
    named: &Kwargs,
) -> Result<[Option<Value>; N], Error> {
    if placed.len() > N {
        return Err(ErrorKind::TooManyArguments.into());
    }
    let mut given = [const { None }; N];
    for (place, name) in names.into_iter().enumerate() {
        given[place] = placed.get(place).cloned().map_or_else(|| named.get(name), |value| Ok(Some(value)))?;
    }
    named.assert_all_used()?;
    Ok(given)
}

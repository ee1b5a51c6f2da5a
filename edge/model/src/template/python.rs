//! The parts of Python that templates lean on and the template engine does not have.
//!
//! Templates were written against Jinja2, where every value is a Python object: its methods, its way
//! to print a number or a list, its `json.dumps`.

mod dump;
mod formats;
mod methods;
mod number;
mod print;
mod strings;

pub(super) use dump::{Dump, Separators};
pub(super) use formats::format_filter;
pub(super) use methods::call_method;
pub(super) use number::repr_float;
pub(super) use print::to_str;
pub(super) use strings::call_method as call_text_method;

use minijinja::{Error, ErrorKind};

use super::limits;

/// No value deeper than this is printed: Python stops at its recursion limit, we before our stack ends.
const MAX_DEPTH: usize = 128;

fn too_deep() -> Error {
    Error::new(ErrorKind::InvalidOperation, "maximum recursion depth exceeded")
}

/// Fails before a text is built that is longer than any prompt may be.
pub(super) fn check_length(bytes: usize) -> Result<(), Error> {
    if bytes > limits::OUTPUT_BYTES { Err(limits::too_long()) } else { Ok(()) }
}

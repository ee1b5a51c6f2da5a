//! JSON written straight into a buffer: answers build no trees.

use serde::Serialize;

/// Appends one value. Only for values that always have a JSON form: text, numbers and
/// structures of them.
pub(crate) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text and numbers always have a JSON form, and memory takes all of it");
}

//! JSON written straight into a buffer, because a value tree per token is what a load test would measure then.

use serde_json::Value;

pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is always JSON, and a buffer takes everything");
}

pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(crate) fn push_float(out: &mut Vec<u8>, number: f64) {
    serde_json::to_writer(out, &number).expect("a number is always JSON, and a buffer takes everything");
}

/// `[1,2,3]`.
pub(crate) fn push_ids(out: &mut Vec<u8>, ids: &[u32]) {
    push_list(out, ids, |out, &id| push_number(out, u64::from(id)));
}

/// `[a,b,c]` with every item written by `push`.
pub(crate) fn push_list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

pub(crate) fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

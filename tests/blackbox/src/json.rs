//! JSON that is made from other JSON.

use serde_json::Value;

/// `base` with the fields of `changes`: objects are merged, everything else is replaced, `null` included.
pub fn with(mut base: Value, changes: Value) -> Value {
    merge(&mut base, changes);
    base
}

fn merge(base: &mut Value, changes: Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(base.entry(name).or_insert(Value::Null), change);
            }
        }
        (base, change) => *base = change,
    }
}

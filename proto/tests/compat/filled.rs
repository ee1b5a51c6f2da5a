//! Messages with something in every field.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value, prost::bytes::Bytes};

/// Messages in messages, at most. Further in there is nothing.
const DEPTH: u32 = 4;

/// A message; another one for each seed. Of what excludes one another, each comes in turn.
pub fn message(of: &MessageDescriptor, seed: u64) -> DynamicMessage {
    fill(of, seed, DEPTH)
}

fn fill(of: &MessageDescriptor, seed: u64, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if let Some(oneof) = field.containing_oneof()
            && let turn = seed % oneof.fields().len() as u64
            && oneof.fields().zip(0..).any(|(case, number)| case == field && number != turn)
        {
            continue;
        }
        let seed = seed.wrapping_mul(31).wrapping_add(u64::from(field.number()));
        if depth == 0 && matches!(field.kind(), Kind::Message(_)) {
            continue;
        }
        let value = if field.is_map() {
            Value::Map(HashMap::from([pair(&field, seed, depth), pair(&field, seed + 1, depth)]))
        } else if field.is_list() {
            Value::List(vec![value(&field.kind(), seed, depth), value(&field.kind(), seed + 1, depth)])
        } else {
            value(&field.kind(), seed, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn pair(field: &FieldDescriptor, seed: u64, depth: u32) -> (MapKey, Value) {
    let Kind::Message(entry) = field.kind() else { unreachable!("a map's field is of its entries") };
    let key = value(&entry.map_entry_key_field().kind(), seed, depth).into_map_key().unwrap();
    (key, value(&entry.map_entry_value_field().kind(), seed, depth))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any number does")]
fn value(kind: &Kind, seed: u64, depth: u32) -> Value {
    let number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    match kind {
        Kind::Double => Value::F64(number as f64 / 3.0),
        Kind::Float => Value::F32(number as f32 / 3.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String(format!("text {number:x}")),
        Kind::Bytes => Value::Bytes(Bytes::from(number.to_be_bytes().to_vec())),
        Kind::Enum(values) => {
            let numbers: Vec<_> = values.values().map(|value| value.number()).collect();
            Value::EnumNumber(numbers[number as usize % numbers.len()])
        }
        Kind::Message(of) => Value::Message(fill(of, seed, depth.saturating_sub(1))),
    }
}

//! The arguments that all endpoints have.

use serde_json::{Map, Value};

use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, short_string, string};

/// Characters of `user`.
const MOST_USER_LENGTH: usize = 512;
/// Pairs of metadata, and characters of a key and of a value, as at OpenAI.
const MOST_METADATA: usize = 16;
const MOST_METADATA_KEY_LENGTH: usize = 64;
const MOST_METADATA_VALUE_LENGTH: usize = 512;

/// The model's name: absent, `null` and empty are the same mistake.
pub(crate) fn model(fields: &mut Fields<'_>) -> Result<String, Invalid> {
    fields
        .read("model", string)?
        .filter(|model| !model.is_empty())
        .ok_or_else(|| Invalid::new("you must provide a model parameter"))
}

pub(crate) fn user(fields: &mut Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.read("user", short_string(MOST_USER_LENGTH))
}

/// Only checked: nothing is stored under it.
pub(crate) fn metadata(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    fields.read("metadata", metadata_pairs)?;
    Ok(())
}

/// The pairs, whose values are texts.
pub(crate) fn metadata_pairs(path: &Path<'_>, value: Value) -> Result<Map<String, Value>, Invalid> {
    let pairs = match value {
        Value::Object(pairs) => pairs,
        other => return Err(Invalid::wrong_type(path, "a metadata object", reader::kind(&other))),
    };
    if pairs.len() > MOST_METADATA {
        return Err(Invalid::too_many_properties(path, MOST_METADATA, pairs.len()));
    }
    for (key, value) in &pairs {
        let length = key.chars().count();
        if length > MOST_METADATA_KEY_LENGTH {
            return Err(Invalid::property_name_too_long(path, key, MOST_METADATA_KEY_LENGTH, length));
        }
        short_string(MOST_METADATA_VALUE_LENGTH)(&path.field(key), value.clone())?;
    }
    Ok(pairs)
}

//! The bounds of what may be said of keys and tenants: a store is no place for anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::limits::Limits;

/// Of a name or another label, in characters.
const MOST_LABEL: usize = 256;

const MOST_MODELS: usize = 500;

const MOST_METADATA: usize = 16;
const MOST_METADATA_NAME: usize = 64;
const MOST_METADATA_VALUE: usize = 512;

/// Of a tenant's id, in bytes.
const MOST_ID: usize = 64;

/// A field has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct Wrong {
    pub field: &'static str,
    problem: String,
}

impl Wrong {
    /// `field` is wrong in that it `problem`.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// A name that people read.
///
/// # Errors
/// It is empty, too long, or holds what nobody can read.
pub fn check_label(field: &'static str, label: &str) -> Result<(), Wrong> {
    let is_short = (1..=MOST_LABEL).contains(&label.chars().count());
    if is_short && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Wrong::new(field, format!("must have 1 to {MOST_LABEL} characters and no control characters")))
}

/// An id that people choose.
///
/// # Errors
/// It holds anything but letters, digits, dots, dashes and underscores, or does not begin with a letter or a digit.
pub fn check_id(field: &'static str, id: &str) -> Result<(), Wrong> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && id.len() <= MOST_ID && id.bytes().all(fits) {
        return Ok(());
    }
    let problem =
        format!("must be up to {MOST_ID} letters, digits, `.`, `_` and `-`, beginning with a letter or a digit");
    Err(Wrong::new(field, problem))
}

/// The models that may be asked for.
///
/// # Errors
/// There are too many, or one has no name.
pub fn check_models(models: Option<&BTreeSet<String>>) -> Result<(), Wrong> {
    let Some(models) = models else { return Ok(()) };
    check_names("models", models.iter(), models.len())
}

/// Limits with one model each.
///
/// # Errors
/// There are too many, or one has no name.
pub fn check_model_limits(limits: &BTreeMap<String, Limits>) -> Result<(), Wrong> {
    check_names("model_rate_limits", limits.keys(), limits.len())
}

/// The caller's notes.
///
/// # Errors
/// There are too many, or one is too long.
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Wrong> {
    let fits = |(name, value): (&String, &String)| {
        (1..=MOST_METADATA_NAME).contains(&name.chars().count()) && value.chars().count() <= MOST_METADATA_VALUE
    };
    if metadata.len() <= MOST_METADATA && metadata.iter().all(fits) {
        return Ok(());
    }
    let problem = format!(
        "must be up to {MOST_METADATA} pairs, of up to {MOST_METADATA_NAME} and {MOST_METADATA_VALUE} characters"
    );
    Err(Wrong::new("metadata", problem))
}

fn check_names<'a>(field: &'static str, names: impl Iterator<Item = &'a String>, count: usize) -> Result<(), Wrong> {
    if count > MOST_MODELS {
        return Err(Wrong::new(field, format!("must name at most {MOST_MODELS} models")));
    }
    for name in names {
        check_label(field, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_everywhere() {
        for id in ["acme", "A.b_c-1", &"x".repeat(64)] {
            assert!(check_id("id", id).is_ok(), "{id}");
        }
        for id in ["", "-a", ".", "a b", "a/b", "a{b}", "ü", &"x".repeat(65)] {
            assert!(check_id("id", id).is_err(), "{id}");
        }
    }

    #[test]
    fn names_are_for_people() {
        assert!(check_label("name", "Über uns").is_ok());
        for name in ["", "a\nb", "a\u{0}", &"x".repeat(257)] {
            assert!(check_label("name", name).is_err(), "{name}");
        }
    }
}

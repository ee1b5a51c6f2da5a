//! Lists come in pages.

use serde::Deserialize;

use super::fields::Wrong;

/// Entries of a page, unless it is said how many.
const USUAL_PAGE: usize = 20;

/// The most entries of a page.
pub const MOST_PAGE: usize = 100;

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    after: Option<String>,
    limit: Option<usize>,
    /// Only for keys.
    pub tenant: Option<String>,
}

impl Page {
    /// The id that the page begins behind.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// How many entries are wanted.
    ///
    /// # Errors
    /// None, or too many.
    pub fn limit(&self) -> Result<usize, Wrong> {
        match self.limit.unwrap_or(USUAL_PAGE) {
            limit @ 1..=MOST_PAGE => Ok(limit),
            _ => Err(Wrong::new("limit", format!("must be from 1 to {MOST_PAGE}"))),
        }
    }
}

//! Lists that are read page by page, and the parameters for it.

use cloudach_openai::{Invalid, responses::Page};
use serde::Deserialize;

use crate::error::ApiError;

/// Items of a page, as at OpenAI.
const USUAL: usize = 20;
const MOST: usize = 100;

/// What may be asked for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<String>,
    #[serde(default)]
    order: Option<String>,
}

impl Asked {
    /// The page, the newest first where nothing is said.
    ///
    /// # Errors
    /// Something is none of what may be asked for.
    pub fn page(&self) -> Result<Page<'_>, ApiError> {
        let limit = limit(self.limit.as_deref(), USUAL, MOST)?;
        let newest_first = newest_first(self.order.as_deref())?;
        Ok(Page { after: self.after.as_deref(), limit, newest_first })
    }
}

/// How many, from 1 to `most`.
///
/// # Errors
/// It is no such number.
pub fn limit(text: Option<&str>, usual: usize, most: usize) -> Result<usize, ApiError> {
    let Some(text) = text else { return Ok(usual) };
    let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Invalid::query("limit", &format!("an integer from 1 to {most}")).into())
}

/// Whether the newest come first, as they do where nothing is said.
///
/// # Errors
/// It is no order.
pub fn newest_first(text: Option<&str>) -> Result<bool, ApiError> {
    match text {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(_) => Err(Invalid::query("order", "'asc' or 'desc'").into()),
    }
}

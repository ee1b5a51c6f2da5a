//! The parameters by which lists are read page by page.

use cloudach_openai::Invalid;

use crate::error::ApiError;

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

//! Pages of items, as clients ask for them.

use cloudach_openai::{Invalid, responses::Page};
use serde::Deserialize;

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
    pub fn page(&self) -> Result<Page<'_>, Invalid> {
        let limit = match &self.limit {
            None => USUAL,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                limit.ok_or_else(|| Invalid::query("limit", "an integer from 1 to 100"))?
            }
        };
        let newest_first = match self.order.as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(Invalid::query("order", "'asc' or 'desc'")),
        };
        Ok(Page { after: self.after.as_deref(), limit, newest_first })
    }
}

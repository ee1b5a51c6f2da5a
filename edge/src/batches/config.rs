//! How batches are run.

use std::time::Duration;

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchesConfig {
    /// Lines of batches that are asked at once by this edge. 0: it runs none, and leaves them to other edges.
    pub concurrency: usize,
    /// Of them, those of one tenant.
    pub tenant_concurrency: usize,
    /// Requests of a batch at most, as at OpenAI.
    pub lines: u32,
    /// The longest line of a batch's input, and the largest answer to one, in bytes.
    pub line_bytes: usize,
    /// Batches of a tenant that are not over, at most. Beyond it none is made.
    pub open: usize,
    /// Batches of a tenant that are known at most. Of those that are over the oldest go first.
    pub batches: usize,
    /// How long a batch is known after it is over.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// How long a batch may take. Clients say `24h`, which is all that they can say at OpenAI; what is not done by then expires.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// A batch whose edge has died is gone on with by another after so long.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

/// The longest that a batch may take, and be known afterwards.
const MOST_WINDOW: Duration = Duration::from_secs(7 * 86_400);
const MOST_KEEP: Duration = Duration::from_secs(90 * 86_400);

/// The largest line: it crosses the one connection to the store in one piece.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The most batches of a tenant that may be open: all edges look through those of all tenants.
const MOST_OPEN: usize = 1000;

impl BatchesConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.tenant_concurrency == 0 {
            return Err("`batches.tenant_concurrency` must not be 0: `concurrency: 0` runs none");
        }
        if self.lines == 0 || self.line_bytes == 0 || self.line_bytes > MOST_BYTES {
            return Err("`batches.lines` must not be 0, nor `batches.line_bytes`, which may be 16 MiB at most");
        }
        if self.open == 0 || self.open > MOST_OPEN || self.batches < self.open {
            return Err("`batches.open` must be 1 at least, 1000 at most, and no more than `batches.batches`");
        }
        if self.window < Duration::from_secs(1) || self.window > MOST_WINDOW || self.keep > MOST_KEEP {
            return Err(
                "`batches.window` must be a second at least and 7 days at most, `batches.keep` 90 days at most",
            );
        }
        if self.lease < Duration::from_secs(1) || self.lease > Duration::from_secs(600) {
            return Err("`batches.lease` must be a second at least and 10 minutes at most");
        }
        Ok(())
    }
}

impl Default for BatchesConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            tenant_concurrency: 16,
            lines: 50_000,
            line_bytes: 1024 * 1024,
            open: 50,
            batches: 1000,
            keep: Duration::from_secs(30 * 86_400),
            window: Duration::from_secs(86_400),
            lease: Duration::from_secs(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |json| serde_json::from_str::<BatchesConfig>(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        assert_eq!(check(r#"{"concurrency":0}"#), Ok(()));
        for wrong in [
            r#"{"tenant_concurrency":0}"#,
            r#"{"lines":0}"#,
            r#"{"line_bytes":0}"#,
            r#"{"line_bytes":16777217}"#,
            r#"{"open":0}"#,
            r#"{"open":1001,"batches":2000}"#,
            r#"{"open":20,"batches":19}"#,
            r#"{"window":"0s"}"#,
            r#"{"window":"8days"}"#,
            r#"{"keep":"91days"}"#,
            r#"{"lease":"0s"}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

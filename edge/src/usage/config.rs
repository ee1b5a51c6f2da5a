//! What is kept of usage, and where it waits while the store is away.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageConfig {
    /// A folder of this edge alone, where records wait until the store has them. Absent: `usage` in the store's folder; with
    /// Redis, memory, and what waits is lost when the process is killed.
    pub spool: Option<PathBuf>,
    /// What may wait there, in bytes: about 500 for each request.
    pub spool_bytes: u64,
    /// Records that the store keeps at most, about 500 bytes each; the oldest go first. Sums of hours and days are kept apart from them.
    pub records: u64,
    /// How long the store keeps a record.
    #[serde(with = "humantime_serde")]
    pub record_age: Duration,
    /// How long the sums of hours are kept.
    #[serde(with = "humantime_serde")]
    pub hours: Duration,
    /// How long the sums of days are kept.
    #[serde(with = "humantime_serde")]
    pub days: Duration,
}

impl UsageConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.spool_bytes == 0 {
            return Err("`usage.spool_bytes` must not be 0");
        }
        if self.records == 0 || self.record_age.is_zero() {
            return Err("`usage.records` and `usage.record_age` must not be 0");
        }
        if self.hours < HOUR || self.days < DAY {
            return Err("`usage.hours` must be an hour at least, and `usage.days` a day");
        }
        Ok(())
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            spool: None,
            spool_bytes: 256 * 1024 * 1024,
            records: 200_000,
            record_age: 30 * DAY,
            hours: 14 * DAY,
            days: 400 * DAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |text: &str| serde_json::from_str::<UsageConfig>(text).unwrap().check();
        assert!(check("{}").is_ok());
        for wrong in [r#"{"spool_bytes":0}"#, r#"{"records":0}"#, r#"{"record_age":"0s"}"#, r#"{"hours":"59m"}"#] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

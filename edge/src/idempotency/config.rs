//! What is kept so that a request that is sent again is not run again.

use std::time::Duration;

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyConfig {
    /// Whether `Idempotency-Key` is honoured. False: it is ignored, and no answer is kept.
    pub enabled: bool,
    /// How long an answer is kept. Retries of programs come within minutes.
    #[serde(with = "humantime_serde")]
    pub age: Duration,
    /// The largest answer that is kept, in bytes: about 1500 tokens where it is streamed, far more where it is whole. After a
    /// larger one, the request runs again.
    pub answer_bytes: usize,
    /// Answers that are kept for a tenant at most; the oldest go first.
    pub answers: usize,
}

/// The longest that an answer may be kept: it is a client's data.
const MOST_AGE: Duration = Duration::from_secs(7 * 86_400);

/// The largest answer that may be kept: it crosses the one connection to the store in one piece.
const MOST_BYTES: usize = 16 * 1024 * 1024;

impl IdempotencyConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.age < Duration::from_secs(1) || self.age > MOST_AGE {
            return Err("`idempotency.age` must be a second at least and seven days at most");
        }
        if self.answer_bytes == 0 || self.answer_bytes > MOST_BYTES {
            return Err("`idempotency.answer_bytes` must be more than 0 and no more than 16 MiB");
        }
        if self.answers == 0 {
            return Err("`idempotency.answers` must not be 0: `enabled: false` keeps none");
        }
        Ok(())
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { enabled: true, age: Duration::from_secs(3600), answer_bytes: 512 * 1024, answers: 1000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |json| serde_json::from_str::<IdempotencyConfig>(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        for wrong in [
            r#"{"age":"0s"}"#,
            r#"{"age":"8days"}"#,
            r#"{"answer_bytes":0}"#,
            r#"{"answer_bytes":16777217}"#,
            r#"{"answers":0}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

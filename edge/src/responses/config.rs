//! What is kept of responses.

use std::time::Duration;

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponsesConfig {
    /// Whether responses are kept. False: each is answered as if the client had said `store: false`, and none can be gone on
    /// from, come back to or made in the background.
    pub enabled: bool,
    /// How long a response is kept, from its end or from when it was last gone on from. It is a client's data: OpenAI keeps
    /// it for 30 days.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// Responses that are kept for a tenant at most; the oldest go first.
    pub responses: usize,
    /// The largest response that is kept, in bytes: what was put in by its request, and what the model put out, each. About
    /// 100000 tokens. A larger one is answered and not kept.
    pub response_bytes: usize,
    /// How long a stream that is kept goes on after its client has left, so that who comes back finds it grown. What is made
    /// in the background goes on in any case. In any case `limits.request_time` holds. 0: it ends at once.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
}

/// The longest that a response may be kept.
const MOST_AGE: Duration = Duration::from_secs(90 * 86_400);

/// The largest that may be kept: it crosses the one connection to the store in one piece.
const MOST_BYTES: usize = 16 * 1024 * 1024;

impl ResponsesConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.keep < Duration::from_secs(1) || self.keep > MOST_AGE {
            return Err("`responses.keep` must be a second at least and 90 days at most");
        }
        if self.response_bytes == 0 || self.response_bytes > MOST_BYTES {
            return Err("`responses.response_bytes` must be more than 0 and no more than 16 MiB");
        }
        if self.responses == 0 {
            return Err("`responses.responses` must not be 0: `enabled: false` keeps none");
        }
        Ok(())
    }
}

impl Default for ResponsesConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            keep: Duration::from_secs(86_400),
            responses: 10_000,
            response_bytes: 1024 * 1024,
            linger: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |json| serde_json::from_str::<ResponsesConfig>(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        for wrong in [
            r#"{"keep":"0s"}"#,
            r#"{"keep":"91days"}"#,
            r#"{"response_bytes":0}"#,
            r#"{"response_bytes":16777217}"#,
            r#"{"responses":0}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

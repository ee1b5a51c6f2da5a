//! What is kept of conversations.

use std::time::Duration;

use serde::Deserialize;

/// See the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConversationsConfig {
    /// Whether conversations are kept. False: none can be made.
    pub enabled: bool,
    /// How long a conversation is kept, from when it was last added to or changed. It is a client's data: OpenAI keeps it until
    /// it is deleted.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// Conversations that are kept for a tenant at most; the oldest go first.
    pub conversations: usize,
    /// Items of a conversation. All of them are read for each response, and are its prompt.
    pub items: usize,
    /// Bytes of a conversation's items: about 250000 tokens. A response that begins within both bounds may take its conversation
    /// to twice as much; one that would begin beyond them is refused.
    pub conversation_bytes: usize,
}

/// The longest that a conversation may be kept.
const MOST_AGE: Duration = Duration::from_secs(400 * 86_400);

/// The largest that may be kept: it crosses the one connection to the store in one piece, twice as large at most.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Each crosses it as a piece of its own.
const MOST_ITEMS: usize = 100_000;

impl ConversationsConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.keep < Duration::from_secs(1) || self.keep > MOST_AGE {
            return Err("`conversations.keep` must be a second at least and 400 days at most");
        }
        if self.conversation_bytes == 0 || self.conversation_bytes > MOST_BYTES {
            return Err("`conversations.conversation_bytes` must be more than 0 and no more than 8 MiB");
        }
        if self.items == 0 || self.items > MOST_ITEMS {
            return Err("`conversations.items` must be from 1 to 100000");
        }
        if self.conversations == 0 {
            return Err("`conversations.conversations` must not be 0: `enabled: false` keeps none");
        }
        Ok(())
    }
}

impl Default for ConversationsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            keep: Duration::from_secs(30 * 86_400),
            conversations: 10_000,
            items: 2000,
            conversation_bytes: 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |json| serde_json::from_str::<ConversationsConfig>(json).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        for wrong in [
            r#"{"keep":"0s"}"#,
            r#"{"keep":"401days"}"#,
            r#"{"conversation_bytes":0}"#,
            r#"{"conversation_bytes":8388609}"#,
            r#"{"items":0}"#,
            r#"{"items":100001}"#,
            r#"{"conversations":0}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}

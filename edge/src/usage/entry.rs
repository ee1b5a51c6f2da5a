//! A usage record as it is kept: one line of JSON.

use serde::{Deserialize, Serialize};

use crate::metrics::{Endpoint, Outcome};

/// What one request has used. Old ones are read by newer versions: a field that is added has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unique.
    pub request_id: String,
    /// Milliseconds since 1970, by the edge's clock.
    pub ended: u64,
    pub endpoint: Endpoint,
    /// Empty: none.
    pub tenant: String,
    pub key_id: String,
    /// The key's name.
    pub key: String,
    pub model: String,
    /// Empty: none has run it.
    pub replica: String,
    pub outcome: Outcome,
    /// As the client was told, or would have been.
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    /// Part of the completion.
    pub reasoning_tokens: u64,
    pub engine_prompt_tokens: u64,
    pub engine_cached_tokens: u64,
    pub engine_completion_tokens: u64,
    /// In billionths of a dollar.
    pub cost: u64,
    /// From the request's arrival until a replica ran it. Absent: none did, or it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// From the request's arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    pub duration_ms: u64,
}

impl Entry {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("names and numbers are JSON");
        line.push('\n');
        line
    }

    /// Reads a line. None: it is none.
    pub fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

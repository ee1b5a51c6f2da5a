//! A usage record as it is kept: one line of JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::metrics::{Endpoint, Outcome};

/// What one request has used; its names are lent by who writes it, and by the line that it is read from. Old ones are read by
/// newer versions: a field that is added has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// Unique.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// Milliseconds since 1970, by the edge's clock.
    pub ended: u64,
    pub endpoint: Endpoint,
    /// Empty: none.
    #[serde(borrow)]
    pub tenant: Cow<'a, str>,
    #[serde(borrow)]
    pub key_id: Cow<'a, str>,
    /// The key's name.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// Empty: none has run it.
    #[serde(borrow)]
    pub replica: Cow<'a, str>,
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

impl<'a> Entry<'a> {
    /// Appends the line, with its end.
    pub fn append_to(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, self).expect("names and numbers are JSON");
        lines.push(b'\n');
    }

    /// Reads a line. None: it is none.
    pub fn of_line(line: &'a str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

//! What goes wrong, and for which requests.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One way in which an engine fails a request. Counts are tokens of the answer, counted from its very beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this HTTP status and the engine's own kind of body.
    Status(u16),
    /// Answers as an engine in this trouble does.
    Says(Trouble),
    /// Resets the connection without a byte of an answer.
    Die,
    /// After so many tokens, something breaks.
    After(u32, Break),
}

/// What breaks in the middle of a generation. Where a response is not streamed, each shows in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection is reset.
    Reset,
    /// The whole engine dies: its listener and all its connections.
    Kill,
    /// The same, with last words on stderr about the GPU's memory.
    OutOfMemoryKill,
    /// An error event, or an error answer, in the engine's words.
    Says(Trouble),
    /// An error event and `[DONE]`, or HTTP 500: how vLLM's Python front end reports a dead engine core.
    Error,
    /// The stream ends as if complete, but without a finish reason and without `[DONE]`.
    End,
    /// The answer finishes with reason `abort`.
    Abort,
    /// Nothing comes any more, and the connection stays open.
    Stall,
    /// One event that is no JSON; the stream goes on after it.
    Malformed,
    /// One event with this many bytes of padding in a field nobody knows.
    Huge(usize),
}

/// What an engine complains of, with the status and in the words of its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The prompt is longer than the context.
    Context,
    /// The request's schema cannot be followed.
    Schema,
    Overloaded,
    OutOfMemory,
    /// The request failed, the engine lives.
    Internal,
    /// vLLM's engine core has died: `Break::Error` in a stream, status 500 before.
    EngineDead,
}

/// A fault and the requests that it hits.
#[derive(Debug, Clone)]
pub struct FaultRule {
    pub fault: Fault,
    /// Only prompts that contain this text.
    matching: Option<String>,
    /// How often the rule still applies. Clones share it, so that a fleet of engines fails so often in all.
    left: Option<Arc<AtomicU32>>,
}

/// A fault that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown fault `{0}`, use status=503, context, schema, overloaded, oom, internal, dead, each of these six with \
     _after=3, or die, die_after=3, kill_after=3, oom_kill_after=3, error_after=3, end_after=3, abort_after=3, \
     stall_after=3, malformed_after=3, huge_after=3 or huge_after=3:BYTES"
)]
pub struct UnknownFault(String);

impl FaultRule {
    /// Hits only prompts that contain this text.
    pub fn matching(mut self, text: &str) -> Self {
        self.matching = Some(text.to_owned());
        self
    }

    /// Hits so many requests and no more, counted over all clones of this rule.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(Arc::new(AtomicU32::new(times)));
        self
    }

    /// The fault, when it hits a request with this prompt.
    pub(crate) fn strike(&self, prompt: &str) -> Option<Fault> {
        if self.matching.as_ref().is_some_and(|text| !prompt.contains(text.as_str())) {
            return None;
        }
        let spend = |left: u32| left.checked_sub(1);
        match &self.left {
            Some(left) => left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).ok().map(|_| self.fault),
            None => Some(self.fault),
        }
    }
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self { fault, matching: None, left: None }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (name, value) = text.split_once('=').unwrap_or((text, "0"));
        if text == "die" {
            return Ok(Self::Die);
        }
        if let Some(trouble) = Trouble::named(text) {
            return Ok(Self::Says(trouble));
        }
        let (value, bytes) = value.split_once(':').unwrap_or((value, "1048576"));
        let number: u32 = value.parse().map_err(|_| unknown())?;
        let what = match name {
            "status" => {
                let status = u16::try_from(number).ok().filter(|status| (400..600).contains(status));
                return status.map(Self::Status).ok_or_else(unknown);
            }
            "die_after" => Break::Reset,
            "kill_after" => Break::Kill,
            "oom_kill_after" => Break::OutOfMemoryKill,
            "error_after" => Break::Error,
            "end_after" => Break::End,
            "abort_after" => Break::Abort,
            "stall_after" => Break::Stall,
            "malformed_after" => Break::Malformed,
            "huge_after" => Break::Huge(bytes.parse().ok().filter(|&b| b <= MAX_HUGE).ok_or_else(unknown)?),
            _ => {
                let trouble = name.strip_suffix("_after").and_then(Trouble::named);
                Break::Says(trouble.ok_or_else(unknown)?)
            }
        };
        Ok(Self::After(number, what))
    }
}

impl Trouble {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "context" => Self::Context,
            "schema" => Self::Schema,
            "overloaded" => Self::Overloaded,
            "oom" => Self::OutOfMemory,
            "internal" => Self::Internal,
            "dead" => Self::EngineDead,
            _ => return None,
        })
    }
}

/// Keeps a directive in a prompt from making the fake itself run out of memory.
const MAX_HUGE: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_text() {
        assert_eq!("die".parse(), Ok(Fault::Die));
        assert_eq!("status=503".parse(), Ok(Fault::Status(503)));
        assert_eq!("die_after=3".parse(), Ok(Fault::After(3, Break::Reset)));
        assert_eq!("huge_after=1:99".parse(), Ok(Fault::After(1, Break::Huge(99))));
        assert_eq!("oom".parse(), Ok(Fault::Says(Trouble::OutOfMemory)));
        assert_eq!("context_after=2".parse(), Ok(Fault::After(2, Break::Says(Trouble::Context))));
        assert_eq!("oom_kill_after=2".parse(), Ok(Fault::After(2, Break::OutOfMemoryKill)));
        for wrong in ["", "dye", "_after=1", "oom=1", "status=9", "die_after=x", "huge_after=1:99999999999"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_spent_by_all_its_clones_together() {
        let rule = FaultRule::from(Fault::Die).matching("bad").times(1);
        let clone = rule.clone();
        assert_eq!(rule.strike("good"), None);
        assert_eq!(clone.strike("a bad one"), Some(Fault::Die));
        assert_eq!(rule.strike("a bad one"), None);
    }
}

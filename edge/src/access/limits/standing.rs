//! How limits stand, as clients are told: in the headers of every answer, and in the refusal when one is reached.

use std::time::Duration;

use super::bucket::{Level, Refused};

/// How the tightest limits of a minute stand. None: there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Level>,
    pub tokens: Option<Level>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
    Concurrent,
    Budget,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub measure: Measure,
    pub limit: u64,
    pub requested: u64,
    pub refused: Refused,
}

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub standing: Standing,
    pub exceeded: Option<Exceeded>,
}

impl Standing {
    /// For each measure, the one of which less is left.
    pub fn tightest(self, other: Self) -> Self {
        let tighter = |one: Option<Level>, other: Option<Level>| match (one, other) {
            (Some(one), Some(other)) => Some(if other.remaining < one.remaining { other } else { one }),
            (one, other) => one.or(other),
        };
        Self { requests: tighter(self.requests, other.requests), tokens: tighter(self.tokens, other.tokens) }
    }
}

impl Exceeded {
    /// When the same will be let through, in whole milliseconds, rounded up; none: never.
    pub fn wait(&self) -> Option<Duration> {
        match self.refused {
            Refused::TooLarge => None,
            Refused::NotYet { wait, .. } => {
                let milliseconds = wait.as_nanos().div_ceil(1_000_000);
                Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
            }
        }
    }
}

//! What happens while a response comes into being, one step after the other. All else follows from the steps: the
//! events of a stream, for whoever reads it from wherever, and the whole response.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::json;

/// One of them. As text it is a line of JSON with short names, of which a response has about one for each token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<'a> {
    /// The engine has begun, where that was told apart from the response's beginning.
    #[serde(rename = "b")]
    Begun,
    /// The model says this. With its log-probabilities, as the entries of a JSON array.
    #[serde(rename = "t")]
    Text(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>),
    /// The model thinks this.
    #[serde(rename = "r")]
    Reasoning(#[serde(borrow)] Cow<'a, str>),
    /// It begins the call of this id of this function.
    #[serde(rename = "c")]
    Call(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>),
    /// More of the arguments of the last call.
    #[serde(rename = "a")]
    Arguments(#[serde(borrow)] Cow<'a, str>),
    /// It is over. True: there was no room for more.
    #[serde(rename = "e")]
    End { cut: bool },
    /// What was used, and when the response was complete.
    #[serde(rename = "u")]
    Close { input: u64, cached: u64, output: u64, reasoning: u64, at: u64 },
    /// It has failed.
    #[serde(rename = "f")]
    Fail {
        #[serde(borrow)]
        message: Cow<'a, str>,
        #[serde(borrow)]
        kind: Cow<'a, str>,
        param: Option<Cow<'a, str>>,
        code: Option<Cow<'a, str>>,
    },
    /// Somebody has ended it.
    #[serde(rename = "x")]
    Cancel,
}

impl Step<'_> {
    /// Appends it as a line.
    pub fn write(&self, out: &mut Vec<u8>) {
        json::write(out, self);
        out.push(b'\n');
    }

    /// Reads the whole lines of a text, and how many bytes they take. What a newer version wrote otherwise is passed
    /// over.
    pub fn read(log: &[u8]) -> (Vec<Step<'_>>, usize) {
        let end = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines = log[..end].split(|byte| *byte == b'\n');
        (lines.filter_map(|line| serde_json::from_slice(line).ok()).collect(), end)
    }

    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Close { .. } | Self::Fail { .. } | Self::Cancel)
    }
}

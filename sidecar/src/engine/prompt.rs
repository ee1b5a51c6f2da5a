//! The prompt of a request, read alike for every dialect.

use cloudach_proto::v1::{Failed, Prompt, prompt};
use serde::{Serialize, Serializer};

use super::failure::invalid;

/// A prompt that is not empty. In JSON it is a string or a list of ids.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    Text { text: &'a str, add_special_tokens: bool },
    Ids(&'a [u32]),
}

impl<'a> Input<'a> {
    pub(super) fn of(prompt: Option<&'a Prompt>) -> Result<Self, Failed> {
        let input = match prompt.and_then(|prompt| prompt.prompt.as_ref()) {
            Some(prompt::Prompt::Text(text)) => {
                Self::Text { text: &text.text, add_special_tokens: text.add_special_tokens }
            }
            Some(prompt::Prompt::TokenIds(tokens)) => Self::Ids(&tokens.ids),
            None => return Err(invalid("prompt", "the request has no prompt")),
        };
        match input {
            Self::Text { text: "", .. } | Self::Ids([]) => Err(invalid("prompt", "the prompt is empty")),
            input => Ok(input),
        }
    }

    /// How many tokens it has. 0: only the engine can tell.
    pub(super) fn known_tokens(self) -> u32 {
        match self {
            Self::Text { .. } => 0,
            Self::Ids(ids) => u32::try_from(ids.len()).unwrap_or(u32::MAX),
        }
    }

    /// For the engine's tokenizer; with ids there is nothing to add to.
    pub(super) fn add_special_tokens(self) -> bool {
        matches!(self, Self::Text { add_special_tokens: true, .. })
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text { text, .. } => to.serialize_str(text),
            Self::Ids(ids) => to.collect_seq(*ids),
        }
    }
}

//! The formats by their names, which are those of vLLM's options `--tool-call-parser` and `--reasoning-parser`.

use std::fmt;
use std::str::FromStr;

use super::reasoning_formats;
use super::tool_formats;

/// How a model writes calls.
#[derive(Clone, Copy)]
pub struct ToolFormat(pub(super) &'static tool_formats::Row);

/// How a model marks reasoning.
#[derive(Clone, Copy)]
pub struct ReasoningFormat(pub(super) &'static reasoning_formats::Row);

/// There is no such format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} format `{name}`, use one of {known}")]
pub struct UnknownFormat {
    what: &'static str,
    name: String,
    known: String,
}

/// The tokens that are special in the vocabulary of a model that writes in these formats, or may be: a tokenizer shows them
/// only when it is told to.
pub fn marks(tools: Option<ToolFormat>, reasoning: Option<ReasoningFormat>) -> Vec<&'static str> {
    let tools = tools.map_or_else(Vec::new, |format| format.0.markers());
    let reasoning = reasoning.map_or_else(Vec::new, |format| format.0.markers());
    let mut tokens: Vec<&str> = tools.into_iter().chain(reasoning).flat_map(tokens).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// A marker may be tokens side by side, with words between them, or have a line's end.
fn tokens(marker: &'static str) -> impl Iterator<Item = &'static str> {
    let ends = marker.trim().split_inclusive('>');
    ends.flat_map(|piece| {
        let (word, token) = piece.split_at(piece.find('<').unwrap_or(0));
        [word.trim(), token.trim()]
    })
    .filter(|token| !token.is_empty())
}

impl ToolFormat {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        self.0.names[0]
    }

    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        tool_formats::ROWS.iter().map(Self)
    }
}

impl ReasoningFormat {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        self.0.names[0]
    }

    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        reasoning_formats::ROWS.iter().map(Self)
    }
}

impl FromStr for ToolFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let row = tool_formats::ROWS.iter().find(|row| row.names.contains(&name));
        row.map(Self).ok_or_else(|| unknown("tool", name, tool_formats::ROWS.iter().map(|row| row.names)))
    }
}

impl FromStr for ReasoningFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let row = reasoning_formats::ROWS.iter().find(|row| row.names.contains(&name));
        row.map(Self).ok_or_else(|| unknown("reasoning", name, reasoning_formats::ROWS.iter().map(|row| row.names)))
    }
}

impl PartialEq for ToolFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ToolFormat {}

impl PartialEq for ReasoningFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ReasoningFormat {}

impl fmt::Debug for ToolFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ToolFormat").field(&self.name()).finish()
    }
}

impl fmt::Debug for ReasoningFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ReasoningFormat").field(&self.name()).finish()
    }
}

fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = &'static [&'static str]>) -> UnknownFormat {
    let known = known.flatten().copied().collect::<Vec<_>>().join(", ");
    UnknownFormat { what, name: name.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_tokens_and_what_stands_between_them() {
        let marks = marks(None, "kimi_k3".parse().ok());
        assert_eq!(marks, ["<|close|>", "<|open|>", "<|sep|>", "message", "response", "think"]);
        assert_eq!(tokens("function call<|role_sep|>").collect::<Vec<_>>(), ["function call", "<|role_sep|>"]);
        assert_eq!(tokens("\n</think>\n<answer>\n").collect::<Vec<_>>(), ["</think>", "<answer>"]);
        assert_eq!(tokens("<invoke name=").collect::<Vec<_>>(), ["<invoke name="]);
    }
}

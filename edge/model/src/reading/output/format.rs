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

/// A marker may be two tokens side by side, or have a line's end.
fn tokens(marker: &'static str) -> impl Iterator<Item = &'static str> {
    marker.trim().split_inclusive('>').map(str::trim).filter(|token| !token.is_empty())
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

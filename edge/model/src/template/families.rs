//! The chat templates of model families, for models that ship none.
//!
//! A family is recognised by what the model's configuration says: the marks in its vocabulary first, because fine-tunes
//! change how a model is spoken to and keep what it is built as; then its architecture. Its name is never looked at:
//! anybody may call a model anything. What is not in the table has no family, and no template is made up for it.

use std::fmt;
use std::str::FromStr;

use super::Source;
use crate::reading::{ReasoningFormat, ToolFormat};
use table::{FAMILIES, SIGNS};

mod table;

/// How the models of one family, in one of its versions, are spoken to.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    template: &'static str,
    /// For models that do not say themselves.
    bos_token: Option<&'static str>,
    eos_token: &'static str,
    tool_format: Option<&'static str>,
    reasoning_format: Option<&'static str>,
}

/// What is known of a model beside its template.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits<'a> {
    /// As its configuration names it: a class such as `LlamaForCausalLM`, or what a GGUF has, such as `llama`.
    pub architecture: Option<&'a str>,
    /// The special and added tokens of its vocabulary. Of those that differ only in a number, one, with `#` for it.
    pub tokens: &'a [&'a str],
}

/// A family, and by what it was recognised.
#[derive(Debug, Clone, Copy)]
pub struct Recognised<'a> {
    pub family: &'static Family,
    architecture: Option<&'a str>,
    tokens: &'static [&'static str],
}

/// There is no family of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no template family `{0}`; there are {known}", known = names())]
pub struct UnknownFamily(pub String);

/// What tells a family. The first that is met decides.
struct Sign {
    family: &'static str,
    /// It is built as one of these, whose names are whole; empty: as anything.
    architectures: &'static [&'static str],
    /// All of these are in its vocabulary.
    tokens: &'static [&'static str],
    /// None of these is.
    without: &'static [&'static str],
    /// And nothing else is, beside padding and the unknown token.
    nothing_else: bool,
}

/// The family of a model with these traits.
pub fn recognise<'a>(traits: &Traits<'a>) -> Option<Recognised<'a>> {
    let sign = SIGNS.iter().find(|sign| sign.is_met(traits))?;
    // The table names families that there are, which a test holds it to.
    let family = sign.family.parse().ok()?;
    let architecture = traits.architecture.filter(|_| !sign.architectures.is_empty());
    Some(Recognised { family, architecture, tokens: sign.tokens })
}

/// The tokens by which families are told.
pub fn marks() -> impl Iterator<Item = &'static str> {
    SIGNS.iter().flat_map(|sign| sign.tokens.iter().chain(sign.without)).copied()
}

impl Family {
    /// Its template. What the model itself says of its first and last token goes before.
    pub fn source<'a>(&self, bos_token: Option<&'a str>, eos_token: Option<&'a str>) -> Source<'a> {
        Source {
            template: self.template,
            bos_token: bos_token.or(self.bos_token),
            eos_token: eos_token.or(Some(self.eos_token)),
        }
    }

    /// How its calls and its reasoning are read.
    pub fn formats(&self) -> (Option<ToolFormat>, Option<ReasoningFormat>) {
        // The table names formats that there are, which a test holds it to.
        (self.tool_format.and_then(|name| name.parse().ok()), self.reasoning_format.and_then(|name| name.parse().ok()))
    }

    /// All families.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FAMILIES.iter()
    }
}

impl FromStr for &'static Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Family::all().find(|family| family.name == name).ok_or_else(|| UnknownFamily(name.to_owned()))
    }
}

impl Sign {
    fn is_met(&self, traits: &Traits<'_>) -> bool {
        let has = |token: &&str| traits.tokens.contains(token);
        let is_usual = |token: &&str| self.tokens.contains(token) || ["<unk>", "<pad>", "[PAD]"].contains(token);
        (self.architectures.is_empty() || traits.architecture.is_some_and(|name| self.architectures.contains(&name)))
            && self.tokens.iter().all(has)
            && !self.without.iter().any(has)
            && (!self.nothing_else || traits.tokens.iter().all(is_usual))
    }
}

impl fmt::Display for Recognised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (architecture, tokens) = (self.architecture.unwrap_or_default(), self.tokens.join(" "));
        let and = if architecture.is_empty() || tokens.is_empty() { "" } else { " with " };
        write!(f, "{architecture}{and}{tokens}")
    }
}

fn names() -> String {
    Family::all().map(|family| family.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_name_what_there_is() {
        for sign in SIGNS {
            assert!(sign.family.parse::<&Family>().is_ok(), "{}", sign.family);
            assert!(!sign.tokens.is_empty() || !sign.architectures.is_empty(), "{} is told by nothing", sign.family);
        }
        for family in Family::all() {
            let (tools, reasoning) = family.formats();
            assert_eq!(tools.is_some(), family.tool_format.is_some(), "{}", family.name);
            assert_eq!(reasoning.is_some(), family.reasoning_format.is_some(), "{}", family.name);
            assert_eq!(Family::all().filter(|other| other.name == family.name).count(), 1, "{}", family.name);
        }
    }
}

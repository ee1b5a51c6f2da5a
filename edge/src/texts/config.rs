//! The section `trace_texts` of the edge's configuration.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::redaction::{Redaction, Rule};

/// The most rules. Each looks through every text.
const MOST_RULES: usize = 64;

/// The longest pattern and replacement, in bytes.
const MOST_PATTERN: usize = 1000;
const MOST_REPLACEMENT: usize = 64;

/// The most that a compiled pattern may take, in bytes.
const MOST_COMPILED: usize = 1024 * 1024;

/// The most that may be looked through for one attribute, whatever is configured, in bytes.
const MOST_LONGEST: usize = 1024 * 1024;

/// What conversations say, in spans: of no tenant, unless named here or by the admin API (`trace_texts` of a tenant).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceTexts {
    /// Tenants whose texts are put into their spans, beside those of which the store says so.
    pub tenants: BTreeSet<String>,
    /// What is replaced before, in this order: at most 64 rules.
    pub redact: Vec<RedactRule>,
    /// The most text of one span that is told of what was asked, and as much of what was answered, in bytes, before JSON's
    /// escapes. Collectors refuse spans that are too large. Of conversations the last messages go before.
    pub bytes: usize,
    /// The most text that is looked through for one of these, in bytes. What is longer is cut first.
    pub longest: usize,
    /// What the rules find is no longer than this, in bytes: so much is left off the end of a text that was cut there, by
    /// `longest`, by `max_tokens` or because the stream broke, for nobody knows what a rule would have found.
    pub margin: usize,
}

/// What is replaced by what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// A regular expression in the syntax of Rust's `regex`, which takes time in proportion to the text whatever it is: up to
    /// 1000 bytes. It must not match an empty text.
    pub pattern: String,
    /// What stands in the place of what it finds, as it is: up to 64 bytes.
    #[serde(default = "redacted")]
    pub with: String,
}

fn redacted() -> String {
    "[redacted]".to_owned()
}

impl Default for TraceTexts {
    fn default() -> Self {
        Self { tenants: BTreeSet::new(), redact: Vec::new(), bytes: 16 * 1024, longest: 256 * 1024, margin: 1024 }
    }
}

/// A setting makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTexts {
    #[error("`trace_texts.{0}")]
    Setting(&'static str),
    #[error("`trace_texts.redact` has in its place {0} a `pattern` that {1}")]
    Pattern(usize, String),
}

impl TraceTexts {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), InvalidTexts> {
        self.redaction().map(drop)
    }

    pub(super) fn redaction(&self) -> Result<Redaction, InvalidTexts> {
        let problems = [
            ("redact` has more than 64 rules", self.redact.len() > MOST_RULES),
            ("bytes` must not be 0", self.bytes == 0),
            ("bytes` is more than `trace_texts.longest`", self.bytes > self.longest),
            ("longest` is more than a MiB", self.longest > MOST_LONGEST),
            ("margin` is not less than `trace_texts.longest`", self.margin >= self.longest),
        ];
        if let Some((problem, _)) = problems.iter().find(|(_, is_wrong)| *is_wrong) {
            return Err(InvalidTexts::Setting(problem));
        }
        let rules = self.redact.iter().enumerate();
        let rules = rules.map(|(number, rule)| rule.compile().map_err(|why| InvalidTexts::Pattern(number + 1, why)));
        Ok(Redaction { rules: rules.collect::<Result<_, _>>()?, longest: self.longest, margin: self.margin })
    }
}

impl RedactRule {
    fn compile(&self) -> Result<Rule, String> {
        if self.pattern.len() > MOST_PATTERN {
            return Err(format!("is longer than {MOST_PATTERN} bytes"));
        }
        if self.with.len() > MOST_REPLACEMENT {
            return Err(format!("is replaced by more than {MOST_REPLACEMENT} bytes"));
        }
        let pattern = RegexBuilder::new(&self.pattern).size_limit(MOST_COMPILED).dfa_size_limit(MOST_COMPILED).build();
        let pattern: Regex = pattern.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large when compiled".to_owned(),
            error => format!("is no regular expression: {error}"),
        })?;
        if pattern.is_match("") {
            return Err("matches an empty text".to_owned());
        }
        Ok(Rule { pattern, with: self.with.clone() })
    }
}

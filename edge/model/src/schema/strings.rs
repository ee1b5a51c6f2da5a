//! Sets of strings.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::error::SchemaError;
use super::regex::{self, Regex};

/// Names in one set.
pub(super) type Names = Rc<BTreeSet<Rc<str>>>;

/// Strings of some length that match all patterns.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Strings {
    /// Characters at least and at most.
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) patterns: BTreeSet<Regex>,
    /// Only these: nothing else is said then.
    pub(super) one_of: Option<Names>,
    pub(super) none_of: Names,
}

impl Strings {
    pub(super) fn only(text: &str) -> Self {
        Self::among(BTreeSet::from([text.into()]))
    }

    pub(super) fn among(texts: BTreeSet<Rc<str>>) -> Self {
        Self { one_of: Some(texts.into()), ..Self::default() }
    }

    /// What is in both, if that is anything.
    pub(super) fn intersect(&self, other: &Self, budget: &mut Budget, path: &str) -> Result<Option<Self>, SchemaError> {
        match (&self.one_of, &other.one_of) {
            (Some(texts), _) => other.filter(texts, budget, path),
            (None, Some(texts)) => self.filter(texts, budget, path),
            (None, None) => {
                let most = match (self.most, other.most) {
                    (Some(one), Some(two)) => Some(one.min(two)),
                    (most, None) | (None, most) => most,
                };
                let least = self.least.max(other.least);
                if most.is_some_and(|most| most < least) {
                    return Ok(None);
                }
                budget.spend(self.none_of.len() + other.none_of.len(), path)?;
                let both = Self {
                    least,
                    most,
                    patterns: self.patterns.union(&other.patterns).cloned().collect(),
                    one_of: None,
                    none_of: Rc::new(self.none_of.union(&other.none_of).cloned().collect()),
                };
                Ok((!both.is_clearly_empty(budget, path)).then_some(both))
            }
        }
    }

    /// Whether no string matches all patterns within the lengths. What is hard to see counts as not empty.
    pub(super) fn is_clearly_empty(&self, budget: &mut Budget, path: &str) -> bool {
        if self.most.is_some_and(|most| most < self.least) {
            return true;
        }
        if self.patterns.is_empty() && (self.none_of.is_empty() || self.most.is_none()) {
            return false;
        }
        let lengths = Self { least: self.least, most: self.most, ..Self::default() };
        let others = Self { none_of: Rc::clone(&self.none_of), ..Self::default() };
        let mut all: Vec<Regex> = self.patterns.iter().cloned().collect();
        all.extend([lengths, others].iter().filter_map(Self::regex).filter(|regex| *regex != Regex::all()));
        let mut part = budget.part();
        let found = regex::are_apart(all, &mut part, path);
        budget.take(part);
        found.unwrap_or(false)
    }

    /// Everything else, as alternatives.
    pub(super) fn complement(&self, path: &str) -> Result<Vec<Self>, SchemaError> {
        if let Some(texts) = &self.one_of {
            return Ok(vec![Self { none_of: Rc::clone(texts), ..Self::default() }]);
        }
        if !self.patterns.is_empty() {
            return Err(SchemaError::Unsupported {
                path: path.to_owned(),
                reason: "strings that do not match a pattern cannot be told from others",
            });
        }
        let mut rest = Vec::new();
        if let Some(most) = self.least.checked_sub(1) {
            rest.push(Self { most: Some(most), ..Self::default() });
        }
        if let Some(most) = self.most {
            rest.push(Self { least: most.saturating_add(1), ..Self::default() });
        }
        if !self.none_of.is_empty() {
            rest.push(Self { one_of: Some(Rc::clone(&self.none_of)), ..Self::default() });
        }
        Ok(rest)
    }

    /// As one expression, where one says it all.
    pub(super) fn regex(&self) -> Option<Regex> {
        if let Some(texts) = &self.one_of {
            return Some(Regex::either(texts.iter().map(|text| Regex::literal(text)).collect()));
        }
        let lengths = self.least > 0 || self.most.is_some();
        match (self.patterns.len(), lengths, self.none_of.is_empty()) {
            (0, _, true) => {
                let most = self.most.map(u32::try_from).transpose().ok()?;
                Some(Regex::repeat(Regex::class(&[], true), u32::try_from(self.least).ok()?, most))
            }
            (1, false, true) => self.patterns.first().cloned(),
            (0, false, false) => Regex::none_of(&self.none_of),
            _ => None,
        }
    }

    /// As a schema with one type.
    pub(super) fn write(&self, path: &str) -> Result<Value, SchemaError> {
        if let Some(texts) = &self.one_of {
            let texts: Vec<Value> = texts.iter().map(|text| Value::from(&**text)).collect();
            return Ok(Map::from_iter([("enum".to_owned(), texts.into())]).into());
        }
        let mut patterns: Vec<String> = self.patterns.iter().map(Regex::pattern).collect();
        if !self.none_of.is_empty() {
            let others = Regex::none_of(&self.none_of);
            let others = others.ok_or_else(|| SchemaError::TooLarge {
                path: path.to_owned(),
                reason: "it leaves out too many strings, or too long ones",
            })?;
            patterns.push(others.pattern());
        }
        let mut schema = Map::from_iter([("type".to_owned(), "string".into())]);
        if self.least > 0 {
            schema.insert("minLength".to_owned(), self.least.into());
        }
        if let Some(most) = self.most {
            schema.insert("maxLength".to_owned(), most.into());
        }
        if patterns.len() <= 1 {
            schema.extend(patterns.pop().map(|pattern| ("pattern".to_owned(), pattern.into())));
            return Ok(schema.into());
        }
        let mut parts = vec![Value::Object(schema)];
        for pattern in patterns {
            parts.push(serde_json::json!({"type": "string", "pattern": pattern}));
        }
        Ok(Map::from_iter([("allOf".to_owned(), parts.into())]).into())
    }

    /// Those of some strings that are in this set, which lists none or others.
    fn filter(&self, texts: &Names, budget: &mut Budget, path: &str) -> Result<Option<Self>, SchemaError> {
        budget.spend(texts.len(), path)?;
        let mut kept = BTreeSet::new();
        for text in texts.iter() {
            if self.takes(text, budget, path)? {
                kept.insert(Rc::clone(text));
            }
        }
        Ok((!kept.is_empty()).then(|| Self::among(kept)))
    }

    fn takes(&self, text: &str, budget: &mut Budget, path: &str) -> Result<bool, SchemaError> {
        if let Some(texts) = &self.one_of {
            return Ok(texts.contains(text));
        }
        let length = text.chars().count() as u64;
        if length < self.least || self.most.is_some_and(|most| length > most) || self.none_of.contains(text) {
            return Ok(false);
        }
        for pattern in &self.patterns {
            if !pattern.matches(text, budget, path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

//! Sets of objects.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::algebra::Algebra;
use super::error::SchemaError;
use super::expression::{ANY, Expr, NOTHING};
use super::names::{Patterns, PropertyMap};
use super::regex::Regex;

/// The most properties whose presence is told one by one.
const MAX_TOLD: usize = 10;

/// Objects whose members have schemas by their names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// In the order in which an engine writes them. They already hold what `patterns` say of their names.
    pub(super) properties: PropertyMap,
    pub(super) required: BTreeSet<Rc<str>>,
    /// Apart from each other.
    pub(super) patterns: Patterns,
    /// The schema of all other members.
    pub(super) rest: Expr,
    /// Members at least and at most.
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    /// What counts as evaluated for `unevaluatedProperties`.
    pub(super) evaluated: EvaluatedNames,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct EvaluatedNames {
    pub(super) all: bool,
    pub(super) names: BTreeSet<Rc<str>>,
    pub(super) patterns: BTreeSet<Regex>,
}

impl Object {
    pub(super) fn any() -> Self {
        Self {
            properties: PropertyMap::default(),
            required: BTreeSet::new(),
            patterns: Patterns::new(),
            rest: ANY,
            least: 0,
            most: None,
            evaluated: EvaluatedNames::default(),
        }
    }

    /// Objects with a member of this name.
    pub(super) fn with(name: &Rc<str>, schema: Expr) -> Self {
        let mut object = Self::any();
        object.properties.insert(Rc::clone(name), schema);
        object.required.insert(Rc::clone(name));
        object
    }

    /// Objects without a member of this name.
    pub(super) fn without(name: &Rc<str>) -> Self {
        let mut object = Self::any();
        object.properties.insert(Rc::clone(name), NOTHING);
        object
    }

    /// The schema of a member with this name.
    pub(super) fn member(&self, name: &str, algebra: &mut Algebra<'_>, path: &str) -> Result<Expr, SchemaError> {
        if let Some(schema) = self.properties.get(name) {
            return Ok(schema);
        }
        for (pattern, schema) in &self.patterns {
            if pattern.matches(name, &mut algebra.budget, path)? {
                return Ok(*schema);
            }
        }
        Ok(self.rest)
    }

    /// Demands members. Those that no property names come in this order, behind the properties.
    pub(super) fn require(
        &mut self,
        names: Vec<Rc<str>>,
        algebra: &mut Algebra<'_>,
        path: &str,
    ) -> Result<(), SchemaError> {
        algebra.budget.spend(names.len(), path)?;
        for name in names {
            let schema = self.member(&name, algebra, path)?;
            self.properties.insert(Rc::clone(&name), schema);
            self.required.insert(name);
        }
        Ok(())
    }

    /// What is in both, if that can be anything.
    pub(super) fn intersect(
        &self,
        other: &Self,
        algebra: &mut Algebra<'_>,
        path: &str,
    ) -> Result<Option<Self>, SchemaError> {
        algebra.budget.spend(self.properties.len() + other.properties.len() + 1, path)?;
        let mut properties = PropertyMap::default();
        let names = self.properties.names().chain(other.properties.names());
        for name in names {
            if properties.get(name).is_none() {
                let (one, two) = (self.member(name, algebra, path)?, other.member(name, algebra, path)?);
                properties.insert(Rc::clone(name), algebra.expressions.both(one, two));
            }
        }
        let mut patterns = Patterns::new();
        for (pattern, schema) in &self.patterns {
            let counterpart = other.patterns.get(pattern).copied();
            let both = algebra.expressions.both(*schema, counterpart.unwrap_or(other.rest));
            patterns.insert(pattern.clone(), both);
        }
        for (pattern, schema) in &other.patterns {
            if !self.patterns.contains_key(pattern) {
                patterns.insert(pattern.clone(), algebra.expressions.both(*schema, self.rest));
                for known in self.patterns.keys() {
                    if !other.patterns.contains_key(known)
                        && !known.is_apart_from(pattern, &mut algebra.budget, path)?
                    {
                        return Err(overlap(path));
                    }
                }
            }
        }
        let most = match (self.most, other.most) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (most, None) | (None, most) => most,
        };
        let both = Self {
            properties,
            required: self.required.union(&other.required).cloned().collect(),
            patterns,
            rest: algebra.expressions.both(self.rest, other.rest),
            least: self.least.max(other.least),
            most,
            evaluated: EvaluatedNames {
                all: self.evaluated.all || other.evaluated.all,
                names: self.evaluated.names.union(&other.evaluated.names).cloned().collect(),
                patterns: self.evaluated.patterns.union(&other.evaluated.patterns).cloned().collect(),
            },
        };
        both.settled(algebra, path)
    }

    /// Everything else, as alternatives.
    pub(super) fn complement(&self, algebra: &mut Algebra<'_>, path: &str) -> Result<Vec<Self>, SchemaError> {
        let unsupported = |reason| Err(SchemaError::Unsupported { path: path.to_owned(), reason });
        algebra.budget.spend(self.properties.len() + self.required.len(), path)?;
        let mut rest: Vec<Self> = self.required.iter().map(Self::without).collect();
        for (name, schema) in self.properties.iter().filter(|(_, schema)| *schema != ANY) {
            rest.push(Self::with(name, algebra.expressions.not(schema)));
        }
        if self.patterns.values().any(|schema| *schema != self.rest) || !matches!(self.rest, ANY | NOTHING) {
            return unsupported("objects with one wrong member somewhere cannot be told from others");
        }
        if self.rest == NOTHING {
            rest.extend(self.with_another_name(path)?);
        }
        if let Some(most) = self.least.checked_sub(1) {
            rest.push(Self { most: Some(most), ..Self::any() });
        }
        if let Some(most) = self.most {
            rest.push(Self { least: most.saturating_add(1), ..Self::any() });
        }
        Ok(rest)
    }

    /// Without what changes nothing, unless it is clearly empty.
    pub(super) fn settled(mut self, algebra: &mut Algebra<'_>, path: &str) -> Result<Option<Self>, SchemaError> {
        let rest = self.rest;
        self.patterns.retain(|_, schema| *schema != rest);
        let names: Vec<Rc<str>> = self.required.iter().cloned().collect();
        for name in &names {
            if self.member(name, algebra, path)? == NOTHING {
                return Ok(None);
            }
        }
        let required = self.required.len() as u64;
        self.least = self.least.max(required);
        let possible = self.properties.iter().filter(|(_, schema)| *schema != NOTHING).count() as u64;
        if self.patterns.is_empty() && self.rest == NOTHING {
            if self.most.is_none_or(|most| most >= possible) {
                self.most = None;
            }
            if self.least > possible {
                return Ok(None);
            }
        }
        Ok(self.most.is_none_or(|most| most >= self.least).then_some(self))
    }

    /// Objects with a member beyond the properties: those with more members than there are properties present.
    fn with_another_name(&self, path: &str) -> Result<Vec<Self>, SchemaError> {
        let names: Vec<&Rc<str>> = self.properties.names().collect();
        if names.len() > MAX_TOLD {
            return Err(SchemaError::TooLarge { path: path.to_owned(), reason: "too many properties to tell apart" });
        }
        let mut found = Vec::new();
        for present in 0..1u32 << names.len() {
            let mut object = Self::any();
            for (position, name) in names.iter().enumerate() {
                let here = present >> position & 1 == 1;
                object.properties.insert(Rc::clone(name), if here { ANY } else { NOTHING });
                if here {
                    object.required.insert(Rc::clone(name));
                }
            }
            object.least = u64::from(present.count_ones()) + 1;
            found.push(object);
        }
        Ok(found)
    }
}

pub(super) fn overlap(path: &str) -> SchemaError {
    SchemaError::Unsupported {
        path: path.to_owned(),
        reason: "patterns of names that overlap, with different schemas, cannot be told apart",
    }
}

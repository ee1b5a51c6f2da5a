//! Sets of arrays.

use std::rc::Rc;

use super::algebra::Algebra;
use super::error::SchemaError;
use super::expression::{ANY, Expr, NOTHING};

/// Arrays whose first items have schemas of their own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) prefix: Vec<Expr>,
    /// The schema of all items behind these.
    pub(super) rest: Expr,
    /// Items at least and at most.
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) contains: Vec<Contains>,
    /// No item twice; where that is said.
    pub(super) unique: Option<Rc<str>>,
    /// What counts as evaluated for `unevaluatedItems`.
    pub(super) evaluated: EvaluatedItems,
}

/// How many items are in some set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contains {
    pub(super) what: Expr,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) path: Rc<str>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EvaluatedItems {
    First(usize),
    All,
    /// `contains` evaluates items wherever they are.
    Scattered,
}

impl Array {
    pub(super) fn any() -> Self {
        Self {
            prefix: Vec::new(),
            rest: ANY,
            least: 0,
            most: None,
            contains: Vec::new(),
            unique: None,
            evaluated: EvaluatedItems::First(0),
        }
    }

    pub(super) fn item(&self, position: usize) -> Expr {
        self.prefix.get(position).copied().unwrap_or(self.rest)
    }

    /// What is in both, if that can be anything.
    pub(super) fn intersect(
        &self,
        other: &Self,
        algebra: &mut Algebra<'_>,
        path: &str,
    ) -> Result<Option<Self>, SchemaError> {
        let length = self.prefix.len().max(other.prefix.len());
        algebra.budget.spend(length + self.contains.len() + other.contains.len(), path)?;
        let prefix = (0..length).map(|at| algebra.expressions.both(self.item(at), other.item(at))).collect();
        let mut contains = self.contains.clone();
        contains.extend(other.contains.iter().filter(|new| !self.contains.contains(new)).cloned());
        let most = match (self.most, other.most) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (most, None) | (None, most) => most,
        };
        let both = Self {
            prefix,
            rest: algebra.expressions.both(self.rest, other.rest),
            least: self.least.max(other.least),
            most,
            contains,
            unique: self.unique.clone().or_else(|| other.unique.clone()),
            evaluated: match (&self.evaluated, &other.evaluated) {
                (EvaluatedItems::All, _) | (_, EvaluatedItems::All) => EvaluatedItems::All,
                (EvaluatedItems::First(one), EvaluatedItems::First(two)) => EvaluatedItems::First(*one.max(two)),
                _ => EvaluatedItems::Scattered,
            },
        };
        Ok(both.settled())
    }

    /// Everything else, as alternatives.
    pub(super) fn complement(&self, algebra: &mut Algebra<'_>, path: &str) -> Result<Vec<Self>, SchemaError> {
        let unsupported = |reason| Err(SchemaError::Unsupported { path: path.to_owned(), reason });
        if self.unique.is_some() {
            return unsupported("arrays that hold an item twice cannot be told from others");
        }
        let mut rest = Vec::new();
        algebra.budget.spend(self.prefix.len() * self.prefix.len(), path)?;
        for (position, item) in self.prefix.iter().enumerate().filter(|(_, item)| **item != ANY) {
            let mut prefix = vec![ANY; position];
            prefix.push(algebra.expressions.not(*item));
            rest.push(Self { prefix, least: position as u64 + 1, ..Self::any() });
        }
        match self.rest {
            ANY => {}
            NOTHING => rest.push(Self { least: self.prefix.len() as u64 + 1, ..Self::any() }),
            item if self.prefix.is_empty() => {
                let what = algebra.expressions.not(item);
                let contains = vec![Contains { what, least: 1, most: None, path: path.into() }];
                rest.push(Self { contains, ..Self::any() });
            }
            _ => return unsupported("arrays with one wrong item somewhere cannot be told from others"),
        }
        if let Some(most) = self.least.checked_sub(1) {
            rest.push(Self { most: Some(most), ..Self::any() });
        }
        if let Some(most) = self.most {
            rest.push(Self { least: most.saturating_add(1), ..Self::any() });
        }
        for wanted in &self.contains {
            let but = |least, most| Self { contains: vec![Contains { least, most, ..wanted.clone() }], ..Self::any() };
            match wanted.least {
                0 => {}
                1 => rest.push(Self { rest: algebra.expressions.not(wanted.what), ..Self::any() }),
                least => rest.push(but(0, Some(least - 1))),
            }
            if let Some(most) = wanted.most {
                rest.push(but(most.saturating_add(1), None));
            }
        }
        Ok(rest.into_iter().filter_map(Self::settled).collect())
    }

    /// In one way of writing, unless it is clearly empty.
    pub(super) fn settled(mut self) -> Option<Self> {
        let mut contains = Vec::new();
        for wanted in std::mem::take(&mut self.contains) {
            match (wanted.what, wanted.least, wanted.most) {
                (_, least, Some(most)) if most < least => return None,
                (_, 0, None) => {}
                (NOTHING, 0, _) => {}
                (NOTHING, ..) => return None,
                (ANY, least, most) => {
                    self.least = self.least.max(least);
                    self.most = match (self.most, most) {
                        (Some(one), Some(two)) => Some(one.min(two)),
                        (most, None) | (None, most) => most,
                    };
                }
                _ => contains.push(wanted),
            }
        }
        self.contains = contains;
        if let Some(end) = self.prefix.iter().position(|item| *item == NOTHING) {
            self.most = Some(self.most.map_or(end as u64, |most| most.min(end as u64)));
        } else if self.rest == NOTHING {
            let end = self.prefix.len() as u64;
            self.most = Some(self.most.map_or(end, |most| most.min(end)));
        }
        if let Some(most) = self.most {
            if most < self.least {
                return None;
            }
            self.prefix.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            if self.prefix.len() as u64 == most {
                self.rest = NOTHING;
            }
            if most <= 1 {
                self.unique = None;
            }
        }
        while self.rest != NOTHING && self.prefix.last() == Some(&self.rest) {
            self.prefix.pop();
        }
        Some(self)
    }
}

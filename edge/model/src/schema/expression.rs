//! Schemas still to be looked at: names for parts of the client's schema and what is made of them.
//!
//! Equal expressions have equal numbers, so a recursive schema has finitely many.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// The number of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Expr(u32);

/// The schema `true`.
pub(super) const ANY: Expr = Expr(0);
/// The schema `false`.
pub(super) const NOTHING: Expr = Expr(1);

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    Any,
    Nothing,
    /// A schema of the document, by its number there.
    Schema(usize),
    /// The one value with this number.
    Constant(usize),
    All(BTreeSet<Expr>),
    Not(Expr),
}

/// All expressions of one translation.
#[derive(Debug)]
pub(super) struct Expressions<'s> {
    meanings: Vec<Meaning>,
    numbers: HashMap<Meaning, Expr>,
    constants: Vec<&'s Value>,
    constant_numbers: HashMap<usize, usize>,
}

impl<'s> Expressions<'s> {
    pub(super) fn new() -> Self {
        Self {
            meanings: vec![Meaning::Any, Meaning::Nothing],
            numbers: HashMap::from([(Meaning::Any, ANY), (Meaning::Nothing, NOTHING)]),
            constants: Vec::new(),
            constant_numbers: HashMap::new(),
        }
    }

    pub(super) fn meaning(&self, expr: Expr) -> &Meaning {
        &self.meanings[expr.0 as usize]
    }

    pub(super) fn constant(&self, number: usize) -> &'s Value {
        self.constants[number]
    }

    pub(super) fn schema(&mut self, number: usize) -> Expr {
        self.number(Meaning::Schema(number))
    }

    pub(super) fn only(&mut self, value: &'s Value) -> Expr {
        let address = std::ptr::from_ref(value).addr();
        let number = *self.constant_numbers.entry(address).or_insert_with(|| {
            self.constants.push(value);
            self.constants.len() - 1
        });
        self.number(Meaning::Constant(number))
    }

    pub(super) fn not(&mut self, expr: Expr) -> Expr {
        match *self.meaning(expr) {
            Meaning::Any => NOTHING,
            Meaning::Nothing => ANY,
            Meaning::Not(inner) => inner,
            _ => self.number(Meaning::Not(expr)),
        }
    }

    pub(super) fn both(&mut self, one: Expr, other: Expr) -> Expr {
        let mut parts = BTreeSet::new();
        for expr in [one, other] {
            match self.meaning(expr) {
                Meaning::Any => {}
                Meaning::Nothing => return NOTHING,
                Meaning::All(inner) => parts.extend(inner.iter().copied()),
                _ => {
                    parts.insert(expr);
                }
            }
        }
        if parts.iter().any(|part| matches!(self.meaning(*part), Meaning::Not(inner) if parts.contains(inner))) {
            return NOTHING;
        }
        match (parts.len(), parts.first()) {
            (0, _) => ANY,
            (1, Some(part)) => *part,
            _ => self.number(Meaning::All(parts)),
        }
    }

    fn number(&mut self, meaning: Meaning) -> Expr {
        if let Some(expr) = self.numbers.get(&meaning) {
            return *expr;
        }
        // The budget runs out long before the numbers do.
        let expr = Expr(u32::try_from(self.meanings.len()).unwrap_or(u32::MAX));
        self.meanings.push(meaning.clone());
        self.numbers.insert(meaning, expr);
        expr
    }
}

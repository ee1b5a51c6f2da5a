//! Looks schemas up: from expressions to sets, each once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::arrays::Array;
use super::budget::{Budget, MAX_NESTED};
use super::document::Document;
use super::error::SchemaError;
use super::expression::{Expr, Expressions, Meaning, NOTHING};
use super::keywords;
use super::names::PropertyMap;
use super::numbers::{self, Numbers};
use super::objects::Object;
use super::set::Set;
use super::strings::Strings;

/// Whether a set has to say what its members were evaluated by (for `unevaluatedProperties` and `unevaluatedItems`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Notes {
    Kept,
    Dropped,
}

/// The state of one translation.
#[derive(Debug)]
pub(super) struct Algebra<'s> {
    pub(super) document: Document<'s>,
    pub(super) expressions: Expressions<'s>,
    pub(super) budget: Budget,
    known: HashMap<(Expr, Notes), Rc<Set>>,
    /// What is being looked up, outermost first.
    open: Vec<(Expr, Notes)>,
    /// Expressions that were found to be empty, or not.
    emptiness: HashMap<Expr, bool>,
}

impl<'s> Algebra<'s> {
    pub(super) fn new(document: Document<'s>) -> Self {
        Self {
            document,
            expressions: Expressions::new(),
            budget: Budget::new(),
            known: HashMap::new(),
            open: Vec::new(),
            emptiness: HashMap::new(),
        }
    }

    /// The values that an expression stands for.
    pub(super) fn look_up(&mut self, expr: Expr, notes: Notes) -> Result<Rc<Set>, SchemaError> {
        if let Some(set) = self.known.get(&(expr, notes)) {
            return Ok(Rc::clone(set));
        }
        if self.open.contains(&(expr, notes)) {
            return Err(SchemaError::EndlessRef { path: self.path(expr) });
        }
        if self.open.len() >= MAX_NESTED {
            let reason = "too many schemas apply to one value";
            return Err(SchemaError::TooLarge { path: self.path(expr), reason });
        }
        self.open.push((expr, notes));
        let set = self.find(expr, notes);
        self.open.pop();
        let set = Rc::new(set?);
        self.known.insert((expr, notes), Rc::clone(&set));
        Ok(set)
    }

    /// The schema of an expression in the client's words, for errors.
    pub(super) fn path(&self, expr: Expr) -> String {
        match self.expressions.meaning(expr) {
            Meaning::Schema(number) => self.document.path(*number),
            Meaning::Not(inner) => self.path(*inner),
            Meaning::All(parts) => parts.first().map(|part| self.path(*part)).unwrap_or_default(),
            Meaning::Any | Meaning::Nothing | Meaning::Constant(_) => String::new(),
        }
    }

    /// Whether no value satisfies an expression. What is too deep to see counts as not empty.
    pub(super) fn is_empty(&mut self, expr: Expr) -> Result<bool, SchemaError> {
        let mut way = HashSet::new();
        Ok(self.emptiness(expr, &mut way)? == Emptiness::Empty)
    }

    /// Whether no value is in a set.
    pub(super) fn is_empty_set(&mut self, set: &Set) -> Result<bool, SchemaError> {
        let mut way = HashSet::new();
        Ok(self.emptiness_of_set(set, &mut way)? == Emptiness::Empty)
    }

    fn find(&mut self, expr: Expr, notes: Notes) -> Result<Set, SchemaError> {
        match self.expressions.meaning(expr).clone() {
            Meaning::Any => Ok(Set::any()),
            Meaning::Nothing => Ok(Set::default()),
            Meaning::Schema(number) => keywords::set(self, number, notes),
            Meaning::Constant(number) => self.constant(self.expressions.constant(number), ""),
            Meaning::All(parts) => {
                let path = self.path(expr);
                let mut all = Set::any();
                for part in parts {
                    let set = self.look_up(part, notes)?;
                    all = all.intersect(&set, self, &path)?;
                }
                Ok(all)
            }
            Meaning::Not(inner) => {
                let path = self.path(inner);
                let set = self.look_up(inner, Notes::Dropped)?;
                set.complement(self, &path)
            }
        }
    }

    /// The set of one value.
    pub(super) fn constant(&mut self, value: &'s Value, path: &str) -> Result<Set, SchemaError> {
        let mut set = Set::default();
        match value {
            Value::Null => set.null = true,
            Value::Bool(false) => set.no = true,
            Value::Bool(true) => set.yes = true,
            Value::Number(number) => set.numbers.push(Numbers::only(numbers::exact(number, path)?)),
            Value::String(text) => set.strings.push(Strings::only(text)),
            Value::Array(items) => {
                self.budget.spend(items.len(), path)?;
                let prefix: Vec<Expr> = items.iter().map(|item| self.expressions.only(item)).collect();
                let least = prefix.len() as u64;
                set.arrays.extend(Array { prefix, rest: NOTHING, least, ..Array::any() }.settled());
            }
            Value::Object(members) => {
                self.budget.spend(members.len(), path)?;
                let mut properties = PropertyMap::default();
                let mut required = BTreeSet::new();
                for (name, member) in members {
                    let name: Rc<str> = name.as_str().into();
                    properties.insert(Rc::clone(&name), self.expressions.only(member));
                    required.insert(name);
                }
                let object = Object { properties, required, rest: NOTHING, ..Object::any() };
                set.objects.extend(object.settled(self, path)?);
            }
        }
        Ok(set)
    }

    fn emptiness(&mut self, expr: Expr, way: &mut HashSet<Expr>) -> Result<Emptiness, SchemaError> {
        if let Some(known) = self.emptiness.get(&expr) {
            return Ok(if *known { Emptiness::Empty } else { Emptiness::Inhabited });
        }
        if way.contains(&expr) {
            // A finite value cannot go on for ever.
            return Ok(Emptiness::EmptyIf);
        }
        if way.len() >= MAX_NESTED {
            return Ok(Emptiness::Inhabited);
        }
        let set = self.look_up(expr, Notes::Dropped)?;
        way.insert(expr);
        let found = self.emptiness_of_set(&set, way);
        way.remove(&expr);
        let mut found = found?;
        if found == Emptiness::EmptyIf && way.is_empty() {
            found = Emptiness::Empty;
        }
        match found {
            Emptiness::Empty => self.emptiness.insert(expr, true),
            Emptiness::Inhabited => self.emptiness.insert(expr, false),
            Emptiness::EmptyIf => None,
        };
        Ok(found)
    }

    fn emptiness_of_set(&mut self, set: &Set, way: &mut HashSet<Expr>) -> Result<Emptiness, SchemaError> {
        if set.null || set.no || set.yes || !set.numbers.is_empty() || !set.strings.is_empty() {
            return Ok(Emptiness::Inhabited);
        }
        let mut all = Emptiness::Empty;
        for array in &set.arrays {
            let mut members = Vec::new();
            for position in 0..array.least.min(array.prefix.len() as u64 + 1) {
                members.push(array.item(usize::try_from(position).unwrap_or(usize::MAX)));
            }
            match self.emptiness_of_members(members, way)? {
                Emptiness::Inhabited => return Ok(Emptiness::Inhabited),
                Emptiness::EmptyIf => all = Emptiness::EmptyIf,
                Emptiness::Empty => {}
            }
        }
        for object in &set.objects {
            let mut members = Vec::new();
            for name in &object.required {
                members.push(object.member(name, self, "")?);
            }
            match self.emptiness_of_members(members, way)? {
                Emptiness::Inhabited => return Ok(Emptiness::Inhabited),
                Emptiness::EmptyIf => all = Emptiness::EmptyIf,
                Emptiness::Empty => {}
            }
        }
        Ok(if way.is_empty() && all == Emptiness::EmptyIf { Emptiness::Empty } else { all })
    }

    /// Whether an array or object that needs all of these can exist.
    fn emptiness_of_members(&mut self, members: Vec<Expr>, way: &mut HashSet<Expr>) -> Result<Emptiness, SchemaError> {
        let mut any = Emptiness::Inhabited;
        self.budget.spend(members.len() + 1, "")?;
        for member in members {
            match self.emptiness(member, way)? {
                Emptiness::Empty => return Ok(Emptiness::Empty),
                Emptiness::EmptyIf => any = Emptiness::EmptyIf,
                Emptiness::Inhabited => {}
            }
        }
        Ok(any)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emptiness {
    Empty,
    /// Empty if what it is part of is.
    EmptyIf,
    Inhabited,
}

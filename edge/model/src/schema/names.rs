//! What an object says about members by their names.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::expression::Expr;
use super::regex::Regex;

/// Schemas by the patterns of names.
pub(super) type Patterns = BTreeMap<Regex, Expr>;

/// Schemas by name, in the order of their coming.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PropertyMap {
    order: Vec<Rc<str>>,
    schemas: HashMap<Rc<str>, Expr>,
}

impl PropertyMap {
    pub(super) fn insert(&mut self, name: Rc<str>, schema: Expr) {
        if self.schemas.insert(Rc::clone(&name), schema).is_none() {
            self.order.push(name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Expr> {
        self.schemas.get(name).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        self.order.iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, Expr)> {
        self.order.iter().map(|name| (name, self.schemas[name]))
    }
}

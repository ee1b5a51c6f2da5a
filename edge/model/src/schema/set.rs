//! A set of JSON values: what a schema stands for, as alternatives by type.

use super::algebra::Algebra;
use super::arrays::Array;
use super::budget::{MAX_ALTERNATIVES, MAX_BRANCHES};
use super::error::SchemaError;
use super::numbers::Numbers;
use super::objects::Object;
use super::strings::Strings;

/// The values that are in any of the alternatives.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Set {
    pub(super) null: bool,
    pub(super) no: bool,
    pub(super) yes: bool,
    pub(super) numbers: Vec<Numbers>,
    pub(super) strings: Vec<Strings>,
    pub(super) arrays: Vec<Array>,
    pub(super) objects: Vec<Object>,
}

impl Set {
    pub(super) fn any() -> Self {
        Self {
            null: true,
            no: true,
            yes: true,
            numbers: vec![Numbers::ANY],
            strings: vec![Strings::default()],
            arrays: vec![Array::any()],
            objects: vec![Object::any()],
        }
    }

    pub(super) fn intersect(&self, other: &Self, algebra: &mut Algebra<'_>, path: &str) -> Result<Self, SchemaError> {
        let pairs = self.numbers.len() * other.numbers.len()
            + self.strings.len() * other.strings.len()
            + self.arrays.len() * other.arrays.len()
            + self.objects.len() * other.objects.len();
        algebra.budget.spend(pairs + 1, path)?;
        let mut both = Self {
            null: self.null && other.null,
            no: self.no && other.no,
            yes: self.yes && other.yes,
            ..Self::default()
        };
        for one in &self.numbers {
            for two in &other.numbers {
                both.numbers.extend(one.intersect(two, path)?);
            }
        }
        for one in &self.strings {
            for two in &other.strings {
                let found = one.intersect(two, &mut algebra.budget, path)?;
                both.strings.extend(found);
            }
        }
        for one in &self.arrays {
            for two in &other.arrays {
                both.arrays.extend(one.intersect(two, algebra, path)?);
            }
        }
        for one in &self.objects {
            for two in &other.objects {
                both.objects.extend(one.intersect(two, algebra, path)?);
            }
        }
        both.check_size(path)?;
        Ok(both)
    }

    pub(super) fn unite(&mut self, other: &Self, algebra: &mut Algebra<'_>, path: &str) -> Result<(), SchemaError> {
        let new = other.numbers.len() + other.strings.len() + other.arrays.len() + other.objects.len();
        algebra.budget.spend(new + 1, path)?;
        self.null |= other.null;
        self.no |= other.no;
        self.yes |= other.yes;
        add(&mut self.numbers, &other.numbers, &Numbers::ANY);
        add(&mut self.strings, &other.strings, &Strings::default());
        add(&mut self.arrays, &other.arrays, &Array::any());
        add(&mut self.objects, &other.objects, &Object::any());
        self.check_size(path)
    }

    pub(super) fn complement(&self, algebra: &mut Algebra<'_>, path: &str) -> Result<Self, SchemaError> {
        let mut rest = Self::any();
        (rest.null, rest.no, rest.yes) = (!self.null, !self.no, !self.yes);
        for numbers in &self.numbers {
            let outside = Self { numbers: numbers.complement(path)?, ..Self::default() };
            let inside = Self { numbers: std::mem::take(&mut rest.numbers), ..Self::default() };
            rest.numbers = inside.intersect(&outside, algebra, path)?.numbers;
        }
        for strings in &self.strings {
            let outside = Self { strings: strings.complement(path)?, ..Self::default() };
            let inside = Self { strings: std::mem::take(&mut rest.strings), ..Self::default() };
            rest.strings = inside.intersect(&outside, algebra, path)?.strings;
        }
        for array in &self.arrays {
            let outside = Self { arrays: array.complement(algebra, path)?, ..Self::default() };
            let inside = Self { arrays: std::mem::take(&mut rest.arrays), ..Self::default() };
            rest.arrays = inside.intersect(&outside, algebra, path)?.arrays;
        }
        for object in &self.objects {
            let outside = Self { objects: object.complement(algebra, path)?, ..Self::default() };
            let inside = Self { objects: std::mem::take(&mut rest.objects), ..Self::default() };
            rest.objects = inside.intersect(&outside, algebra, path)?.objects;
        }
        Ok(rest)
    }

    fn check_size(&self, path: &str) -> Result<(), SchemaError> {
        let plain = self.numbers.len().max(self.strings.len());
        if plain <= MAX_ALTERNATIVES && self.arrays.len().max(self.objects.len()) <= MAX_BRANCHES {
            return Ok(());
        }
        Err(SchemaError::TooLarge { path: path.to_owned(), reason: "too many alternatives" })
    }
}

/// How far back a repetition is looked for: all of it would be quadratic.
const LOOK_BACK: usize = 32;

/// Adds alternatives, unless they are there or one of them takes everything.
fn add<T: PartialEq + Clone>(all: &mut Vec<T>, new: &[T], any: &T) {
    if all.first() == Some(any) {
        return;
    }
    for alternative in new {
        if alternative == any {
            *all = vec![any.clone()];
            return;
        }
        if !all.iter().rev().take(LOOK_BACK).any(|known| known == alternative) {
            all.push(alternative.clone());
        }
    }
}

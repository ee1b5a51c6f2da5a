//! Arrays and objects in the forms that engines have words for.
//!
//! What counts members or items is told by listing cases, as far as there are few.

use std::rc::Rc;

use super::algebra::{Algebra, Notes};
use super::arrays::{Array, Contains};
use super::error::SchemaError;
use super::expression::{ANY, Expr, NOTHING};
use super::objects::Object;
use super::set::Set;

/// The longest array whose places are looked at one by one.
const MAX_PLACES: u64 = 32;

/// The same where each place either counts or does not.
const MAX_COUNTED: u64 = 6;

/// Cases that one array or object may come apart into.
const MAX_CASES: usize = 1_000;

/// An array as alternatives without `contains` and without `uniqueItems`.
pub(super) fn arrays(array: Array, algebra: &mut Algebra<'_>, path: &str) -> Result<Vec<Array>, SchemaError> {
    let mut open = vec![prune_array(array, algebra)?];
    let mut done = Vec::new();
    while let Some(array) = open.pop() {
        let Some(mut array) = array else { continue };
        algebra.budget.spend(1, path)?;
        if open.len() + done.len() > MAX_CASES {
            return Err(SchemaError::TooLarge { path: path.to_owned(), reason: "too many cases" });
        }
        if let Some(wanted) = array.contains.pop() {
            for case in containing(array, &wanted, algebra)? {
                open.push(prune_array(case, algebra)?);
            }
        } else {
            if let Some(said) = array.unique.take()
                && !items_differ(&array, algebra)?
            {
                return Err(SchemaError::Unsupported { path: said.to_string(), reason: "items cannot be compared" });
            }
            done.push(array);
        }
    }
    Ok(done)
}

/// An object as alternatives in which counts of members need not tell optional ones apart.
pub(super) fn objects(object: Object, algebra: &mut Algebra<'_>, path: &str) -> Result<Vec<Object>, SchemaError> {
    let mut open = vec![prune_object(object, algebra, path)?];
    let mut done = Vec::new();
    while let Some(object) = open.pop() {
        let Some(mut object) = object else { continue };
        algebra.budget.spend(object.properties.len() + 1, path)?;
        if open.len() + done.len() > MAX_CASES {
            return Err(SchemaError::TooLarge { path: path.to_owned(), reason: "too many cases of members to count" });
        }
        let required = object.required.len() as u64;
        let closed = object.rest == NOTHING && object.patterns.is_empty();
        let possible = object.properties.iter().filter(|(_, schema)| *schema != NOTHING).count() as u64;
        if object.least <= required {
            object.least = 0;
        }
        if closed && object.most.is_some_and(|most| most >= possible) {
            object.most = None;
        }
        let counted = object.least > 0 || object.most.is_some();
        let told = object
            .properties
            .iter()
            .find(|(name, schema)| counted && *schema != NOTHING && !object.required.contains(*name))
            .map(|(name, _)| Rc::clone(name));
        match told {
            None => done.push(object),
            Some(name) => {
                let mut without = object.clone();
                without.properties.insert(Rc::clone(&name), NOTHING);
                open.push(without.settled(algebra, path)?);
                object.required.insert(name);
                open.push(object.settled(algebra, path)?);
            }
        }
    }
    Ok(done)
}

/// The cases in which an array holds enough of what is wanted, and not too much.
fn containing(array: Array, wanted: &Contains, algebra: &mut Algebra<'_>) -> Result<Vec<Array>, SchemaError> {
    let not = algebra.expressions.not(wanted.what);
    let places = array.prefix.len();
    let (mut all, mut none) = (true, true);
    for at in 0..=places {
        let item = array.item(at);
        let inside = algebra.expressions.both(item, wanted.what);
        none &= algebra.is_empty(inside)?;
        // What cannot be told from others is not known to be inside.
        let outside = algebra.expressions.both(item, not);
        all &= algebra.is_empty(outside).unwrap_or(false);
    }
    if all {
        let most = match (array.most, wanted.most) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (most, None) | (None, most) => most,
        };
        return Ok(Array { least: array.least.max(wanted.least), most, ..array }.settled().into_iter().collect());
    }
    if none {
        return Ok(if wanted.least == 0 { vec![array] } else { Vec::new() });
    }
    if wanted.most == Some(0) {
        let none = Array { rest: not, ..Array::any() };
        return Ok(array.intersect(&none, algebra, &wanted.path)?.into_iter().collect());
    }
    let unsupported = || SchemaError::Unsupported {
        path: wanted.path.to_string(),
        reason: "items cannot be counted in arrays without a small `maxItems`",
    };
    let longest = array.most.filter(|most| *most <= MAX_PLACES).ok_or_else(unsupported)?;
    let longest = usize::try_from(longest).map_err(|_| unsupported())?;
    let mut cases = Vec::new();
    if wanted.least == 1 && wanted.most.is_none() {
        for at in 0..longest {
            let mut prefix = vec![ANY; at];
            prefix.push(wanted.what);
            let case = Array { prefix, least: at as u64 + 1, ..Array::any() };
            cases.extend(array.intersect(&case, algebra, &wanted.path)?);
        }
        return Ok(cases);
    }
    if longest as u64 > MAX_COUNTED {
        return Err(unsupported());
    }
    for length in 0..=longest {
        for chosen in 0..1u32 << length {
            let count = u64::from(chosen.count_ones());
            if count < wanted.least || wanted.most.is_some_and(|most| count > most) {
                continue;
            }
            let prefix: Vec<Expr> =
                (0..length).map(|at| if chosen >> at & 1 == 1 { wanted.what } else { not }).collect();
            let length = length as u64;
            let case = Array { prefix, rest: NOTHING, least: length, most: Some(length), ..Array::any() };
            cases.extend(array.intersect(&case, algebra, &wanted.path)?);
        }
    }
    Ok(cases)
}

/// Whether no two items can be the same anyway.
fn items_differ(array: &Array, algebra: &mut Algebra<'_>) -> Result<bool, SchemaError> {
    let Some(longest) = array.most.filter(|most| *most <= MAX_PLACES) else { return Ok(false) };
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    for one in 0..longest {
        for two in one + 1..longest {
            let both = algebra.expressions.both(array.item(one), array.item(two));
            if !algebra.is_empty(both)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Items that nothing satisfies are told as such.
fn prune_array(mut array: Array, algebra: &mut Algebra<'_>) -> Result<Option<Array>, SchemaError> {
    for item in &mut array.prefix {
        if algebra.is_empty(*item)? {
            *item = NOTHING;
        }
    }
    if algebra.is_empty(array.rest)? {
        array.rest = NOTHING;
    }
    Ok(array.settled())
}

/// Members that nothing satisfies are told as such.
fn prune_object(mut object: Object, algebra: &mut Algebra<'_>, path: &str) -> Result<Option<Object>, SchemaError> {
    let members: Vec<(Rc<str>, Expr)> = object.properties.iter().map(|(name, schema)| (name.clone(), schema)).collect();
    for (name, schema) in members {
        if algebra.is_empty(schema)? {
            object.properties.insert(name, NOTHING);
        }
    }
    for schema in object.patterns.values_mut() {
        if algebra.is_empty(*schema)? {
            *schema = NOTHING;
        }
    }
    if algebra.is_empty(object.rest)? {
        object.rest = NOTHING;
    }
    object.settled(algebra, path)
}

/// The alternatives of a set, in forms that engines have words for.
pub(super) fn arranged(expr: Expr, algebra: &mut Algebra<'_>) -> Result<Set, SchemaError> {
    let path = algebra.path(expr);
    let mut set = (*algebra.look_up(expr, Notes::Dropped)?).clone();
    for array in std::mem::take(&mut set.arrays) {
        set.arrays.extend(arrays(array, algebra, &path)?);
    }
    for object in std::mem::take(&mut set.objects) {
        set.objects.extend(objects(object, algebra, &path)?);
    }
    Ok(set)
}

//! Keywords that apply other schemas to the same value.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::algebra::{Algebra, Notes};
use super::arrays::{Array, EvaluatedItems};
use super::document::Draft;
use super::error::SchemaError;
use super::expression::{ANY, Expr};
use super::keywords::Schema;
use super::objects::{EvaluatedNames, Object, overlap};
use super::regex::Regex;
use super::set::Set;
use super::strings::Strings;

/// The most branches whose common members are told apart, for `unevaluatedProperties`.
const MAX_JOINED: usize = 6;

/// What is left of a set once all these keywords had their say.
pub(super) fn apply<'s>(
    schema: &Schema<'s>,
    mut set: Set,
    algebra: &mut Algebra<'s>,
    notes: Notes,
    inner: Notes,
) -> Result<Set, SchemaError> {
    let path = &schema.path;
    refuse_unknown(schema)?;
    for keyword in ["$ref", "$dynamicRef"] {
        if schema.get(keyword).is_some() && !(keyword == "$dynamicRef" && schema.draft != Draft::Twenty) {
            let target = reference(schema, keyword, algebra, inner)?;
            set = set.intersect(&target, algebra, path)?;
        }
    }
    if let Some(value) = schema.get("const") {
        let only = algebra.constant(value, &schema.at("const"))?;
        set = set.intersect(&only, algebra, path)?;
    }
    if let Some(values) = schema.get("enum") {
        let Value::Array(values) = values else { return Err(schema.invalid("enum", "it must be a list")) };
        let listed = listed(values, algebra, &schema.at("enum"))?;
        set = set.intersect(&listed, algebra, path)?;
    }
    for part in schema.list("allOf", algebra)?.unwrap_or_default() {
        let part = algebra.look_up(part, inner)?;
        set = set.intersect(&part, algebra, path)?;
    }
    if let Some(options) = schema.list("anyOf", algebra)? {
        let any = any_of(options, algebra, inner, &schema.at("anyOf"))?;
        set = set.intersect(&any, algebra, path)?;
    }
    if let Some(options) = schema.list("oneOf", algebra)? {
        let one = one_of(options, algebra, inner, &schema.at("oneOf"))?;
        set = set.intersect(&one, algebra, path)?;
    }
    if let Some(inner) = schema.child("not", algebra)? {
        let not = algebra.look_up(inner, Notes::Dropped)?.complement(algebra, &schema.at("not"))?;
        set = set.intersect(&not, algebra, path)?;
    }
    set = conditional(schema, set, algebra, inner)?;
    set = dependencies(schema, set, algebra, inner)?;
    set = unevaluated(schema, set, algebra)?;
    if notes == Notes::Dropped && inner == Notes::Kept {
        forget(&mut set);
    }
    Ok(set)
}

/// What a reference leads to.
pub(super) fn reference<'s>(
    schema: &Schema<'s>,
    keyword: &str,
    algebra: &mut Algebra<'s>,
    notes: Notes,
) -> Result<Rc<Set>, SchemaError> {
    let Some(Value::String(reference)) = schema.get(keyword) else {
        return Err(schema.invalid(keyword, "it must be a string"));
    };
    if keyword == "$dynamicRef"
        && let Some((_, anchor)) = reference.split_once('#')
        && !algebra.document.is_static(anchor)
    {
        return Err(schema.unsupported(keyword, "it has more than one target"));
    }
    let target = algebra.document.target(schema.number, reference, &schema.at(keyword))?;
    let target = algebra.expressions.schema(target);
    match algebra.look_up(target, notes) {
        // The reference says more than what it leads back to.
        Err(SchemaError::EndlessRef { path }) if path == algebra.path(target) => {
            Err(SchemaError::EndlessRef { path: schema.at(keyword) })
        }
        found => found,
    }
}

fn refuse_unknown(schema: &Schema<'_>) -> Result<(), SchemaError> {
    if schema.draft != Draft::Seven && schema.get("dependencies").is_some() {
        return Err(schema.unsupported(
            "dependencies",
            "it is a keyword of draft 7; name that in `$schema`, or use `dependentRequired` or `dependentSchemas`",
        ));
    }
    if schema.draft == Draft::Nineteen && schema.get("$recursiveRef").is_some() {
        return Err(schema.unsupported("$recursiveRef", "use `$ref`"));
    }
    Ok(())
}

fn listed<'s>(values: &'s [Value], algebra: &mut Algebra<'s>, path: &str) -> Result<Set, SchemaError> {
    let mut set = Set::default();
    let mut texts = BTreeSet::new();
    for value in values {
        if let Value::String(text) = value {
            texts.insert(Rc::from(text.as_str()));
            continue;
        }
        let only = algebra.constant(value, path)?;
        set.unite(&only, algebra, path)?;
    }
    algebra.budget.spend(texts.len(), path)?;
    if !texts.is_empty() {
        set.strings.push(Strings::among(texts));
    }
    Ok(set)
}

fn any_of(options: Vec<Expr>, algebra: &mut Algebra<'_>, notes: Notes, path: &str) -> Result<Set, SchemaError> {
    let mut any = Set::default();
    if notes == Notes::Dropped {
        for option in options {
            let option = algebra.look_up(option, notes)?;
            any.unite(&option, algebra, path)?;
        }
        return Ok(any);
    }
    // A value of several branches has what each of them evaluated.
    if options.len() > MAX_JOINED {
        return Err(SchemaError::TooLarge {
            path: path.to_owned(),
            reason: "too many branches to tell what is left unevaluated",
        });
    }
    for chosen in 1..1u32 << options.len() {
        let mut all = Set::any();
        for (position, option) in options.iter().enumerate() {
            if chosen >> position & 1 == 1 {
                let option = algebra.look_up(*option, notes)?;
                all = all.intersect(&option, algebra, path)?;
            }
        }
        join(&mut any, all, algebra, path)?;
    }
    Ok(any)
}

fn one_of(options: Vec<Expr>, algebra: &mut Algebra<'_>, notes: Notes, path: &str) -> Result<Set, SchemaError> {
    let mut sets = Vec::new();
    for option in options {
        sets.push(algebra.look_up(option, notes)?);
    }
    let mut one = Set::default();
    for (position, set) in sets.iter().enumerate() {
        let mut only = (**set).clone();
        for (other_position, other) in sets.iter().enumerate() {
            if position == other_position || is_apart(&only, other, algebra, path)? {
                continue;
            }
            let not = other.complement(algebra, path)?;
            only = only.intersect(&not, algebra, path)?;
        }
        match notes {
            Notes::Dropped => one.unite(&only, algebra, path)?,
            Notes::Kept => join(&mut one, only, algebra, path)?,
        }
    }
    Ok(one)
}

fn is_apart(one: &Set, other: &Set, algebra: &mut Algebra<'_>, path: &str) -> Result<bool, SchemaError> {
    let both = one.intersect(other, algebra, path)?;
    algebra.is_empty_set(&both)
}

fn conditional<'s>(schema: &Schema<'s>, set: Set, algebra: &mut Algebra<'s>, notes: Notes) -> Result<Set, SchemaError> {
    let Some(condition) = schema.child("if", algebra)? else { return Ok(set) };
    let then = schema.child("then", algebra)?.unwrap_or(ANY);
    let otherwise = schema.child("else", algebra)?.unwrap_or(ANY);
    if then == ANY && otherwise == ANY && notes == Notes::Dropped {
        return Ok(set);
    }
    let path = schema.at("if");
    let holds = algebra.look_up(condition, notes)?;
    let then = algebra.look_up(then, notes)?;
    let mut found = set.intersect(&holds, algebra, &path)?.intersect(&then, algebra, &path)?;
    let not = algebra.look_up(condition, Notes::Dropped)?.complement(algebra, &path)?;
    let otherwise = algebra.look_up(otherwise, notes)?;
    let other = set.intersect(&not, algebra, &path)?.intersect(&otherwise, algebra, &path)?;
    join(&mut found, other, algebra, &path)?;
    Ok(found)
}

/// What members demand of the object that has them.
fn dependencies<'s>(
    schema: &Schema<'s>,
    mut set: Set,
    algebra: &mut Algebra<'s>,
    notes: Notes,
) -> Result<Set, SchemaError> {
    let mut demands: Vec<(Rc<str>, Rc<Set>, &str)> = Vec::new();
    let (names, schemas): (&[&str], &[&str]) = match schema.draft {
        Draft::Seven => (&["dependencies"], &["dependencies"]),
        _ => (&["dependentRequired"], &["dependentSchemas"]),
    };
    for keyword in names {
        let entries = match schema.get(keyword) {
            None => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => return Err(schema.invalid(keyword, "it must be an object")),
        };
        for (name, wanted) in entries {
            if schema.draft == Draft::Seven && !wanted.is_array() {
                continue;
            }
            let required = schema.names(wanted, keyword)?;
            let mut object = Object::any();
            object.require(required, algebra, &schema.path)?;
            let demand = Set { objects: vec![object], ..Set::any() };
            demands.push((name.as_str().into(), demand.into(), keyword));
        }
    }
    for keyword in schemas {
        let Some(Value::Object(entries)) = schema.get(keyword) else { continue };
        if entries.values().any(Value::is_array) && schema.draft == Draft::Seven {
            if entries.values().all(Value::is_array) {
                continue;
            }
            return Err(schema.unsupported(keyword, "lists and schemas are mixed"));
        }
        for (name, wanted) in schema.map(keyword, algebra)? {
            demands.push((name.as_str().into(), algebra.look_up(wanted, notes)?, keyword));
        }
    }
    for (name, demand, keyword) in demands {
        let path = schema.at(keyword);
        let present = Set { objects: vec![Object::with(&name, ANY)], ..Set::default() };
        let absent = Set { objects: vec![Object::without(&name)], ..Set::any() };
        let mut found = set.intersect(&absent, algebra, &path)?;
        let there = set.intersect(&demand, algebra, &path)?.intersect(&present, algebra, &path)?;
        join(&mut found, there, algebra, &path)?;
        set = found;
    }
    Ok(set)
}

fn unevaluated<'s>(schema: &Schema<'s>, mut set: Set, algebra: &mut Algebra<'s>) -> Result<Set, SchemaError> {
    if schema.draft == Draft::Seven {
        return Ok(set);
    }
    if let Some(rest) = schema.child("unevaluatedProperties", algebra)? {
        let path = schema.at("unevaluatedProperties");
        for object in std::mem::take(&mut set.objects) {
            set.objects.extend(evaluated_object(object, rest, algebra, &path)?);
        }
    }
    if let Some(rest) = schema.child("unevaluatedItems", algebra)? {
        let path = schema.at("unevaluatedItems");
        for array in std::mem::take(&mut set.arrays) {
            let first = match array.evaluated {
                EvaluatedItems::All => {
                    set.arrays.push(array);
                    continue;
                }
                EvaluatedItems::First(first) => first,
                EvaluatedItems::Scattered => {
                    return Err(schema.unsupported("unevaluatedItems", "next to `contains` it depends on each item"));
                }
            };
            let limit = Array { prefix: vec![ANY; first], rest, evaluated: EvaluatedItems::All, ..Array::any() };
            set.arrays.extend(array.intersect(&limit, algebra, &path)?);
        }
    }
    Ok(set)
}

fn evaluated_object(
    mut object: Object,
    rest: Expr,
    algebra: &mut Algebra<'_>,
    path: &str,
) -> Result<Option<Object>, SchemaError> {
    if std::mem::replace(&mut object.evaluated.all, true) {
        return Ok(Some(object));
    }
    let mut limit = Object { rest, ..Object::any() };
    for name in &object.evaluated.names {
        limit.properties.insert(Rc::clone(name), ANY);
    }
    let mut known: Vec<Regex> = Vec::new();
    for pattern in &object.evaluated.patterns {
        for other in &known {
            if !other.is_apart_from(pattern, &mut algebra.budget, path)? {
                return Err(overlap(path));
            }
        }
        known.push(pattern.clone());
    }
    limit.patterns = known.into_iter().map(|pattern| (pattern, ANY)).collect();
    object.intersect(&limit, algebra, path)
}

/// Adds alternatives without dropping any: each has evaluated something else.
fn join(all: &mut Set, new: Set, algebra: &mut Algebra<'_>, path: &str) -> Result<(), SchemaError> {
    let (arrays, objects) = (new.arrays.len(), new.objects.len());
    algebra.budget.spend(arrays + objects, path)?;
    let simple = Set { arrays: Vec::new(), objects: Vec::new(), ..new.clone() };
    all.unite(&simple, algebra, path)?;
    all.arrays.extend(new.arrays);
    all.objects.extend(new.objects);
    Ok(())
}

fn forget(set: &mut Set) {
    for object in &mut set.objects {
        object.evaluated = EvaluatedNames::default();
    }
    for array in &mut set.arrays {
        array.evaluated = EvaluatedItems::First(0);
    }
}

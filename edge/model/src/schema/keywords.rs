//! What the keywords of one schema say together.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::algebra::{Algebra, Notes};
use super::applicators;
use super::arrays::{Array, Contains, EvaluatedItems};
use super::budget::Budget;
use super::document::Draft;
use super::error::{SchemaError, below};
use super::expression::{ANY, Expr, NOTHING};
use super::names::{Patterns, PropertyMap};
use super::numbers::{self, Bound, Numbers, Step};
use super::objects::{EvaluatedNames, Object, overlap};
use super::pattern;
use super::regex::Regex;
use super::set::Set;
use super::strings::Strings;

/// The values that a schema of the document allows.
pub(super) fn set(algebra: &mut Algebra<'_>, number: usize, notes: Notes) -> Result<Set, SchemaError> {
    let part = algebra.document.part(number);
    let (value, draft) = (part.value, part.draft);
    let Value::Object(members) = value else {
        return Ok(if value == &Value::Bool(true) { Set::any() } else { Set::default() });
    };
    let path = algebra.document.path(number);
    algebra.budget.spend(members.len() + 1, &path)?;
    let schema = Schema { number, members, path, draft };
    if draft == Draft::Seven && members.contains_key("$ref") {
        return Ok((*applicators::reference(&schema, "$ref", algebra, notes)?).clone());
    }
    let wants_notes = members.contains_key("unevaluatedProperties") || members.contains_key("unevaluatedItems");
    let inner = if wants_notes && draft != Draft::Seven { Notes::Kept } else { notes };
    let own = schema.own(algebra, inner)?;
    applicators::apply(&schema, own, algebra, notes, inner)
}

/// One schema that is being read.
pub(super) struct Schema<'s> {
    pub(super) number: usize,
    pub(super) members: &'s Map<String, Value>,
    pub(super) path: String,
    pub(super) draft: Draft,
}

impl<'s> Schema<'s> {
    pub(super) fn get(&self, keyword: &str) -> Option<&'s Value> {
        self.members.get(keyword)
    }

    pub(super) fn at(&self, keyword: &str) -> String {
        below(&self.path, keyword)
    }

    pub(super) fn invalid(&self, keyword: &str, reason: &str) -> SchemaError {
        SchemaError::Invalid { path: self.at(keyword), reason: reason.to_owned() }
    }

    pub(super) fn unsupported(&self, keyword: &str, reason: &'static str) -> SchemaError {
        SchemaError::Unsupported { path: self.at(keyword), reason }
    }

    /// The schema that is a keyword's value.
    pub(super) fn child(&self, keyword: &str, algebra: &mut Algebra<'s>) -> Result<Option<Expr>, SchemaError> {
        let Some(value) = self.get(keyword) else { return Ok(None) };
        self.below(value, below("", keyword), algebra).map(Some)
    }

    /// The schemas that a keyword lists.
    pub(super) fn list(&self, keyword: &str, algebra: &mut Algebra<'s>) -> Result<Option<Vec<Expr>>, SchemaError> {
        let entries = match self.get(keyword) {
            None => return Ok(None),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(self.invalid(keyword, "it must be a list of schemas")),
        };
        algebra.budget.spend(entries.len(), &self.path)?;
        let way = below("", keyword);
        let found = entries.iter().enumerate();
        found
            .map(|(at, entry)| self.below(entry, below(&way, &at.to_string()), algebra))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The schemas that a keyword holds by name.
    pub(super) fn map(&self, keyword: &str, algebra: &mut Algebra<'s>) -> Result<Vec<(&'s String, Expr)>, SchemaError> {
        let entries = match self.get(keyword) {
            None => return Ok(Vec::new()),
            Some(Value::Object(entries)) => entries,
            Some(_) => return Err(self.invalid(keyword, "it must be an object of schemas")),
        };
        algebra.budget.spend(entries.len(), &self.path)?;
        let way = below("", keyword);
        entries.iter().map(|(name, entry)| Ok((name, self.below(entry, below(&way, name), algebra)?))).collect()
    }

    pub(super) fn names(&self, value: &Value, keyword: &str) -> Result<Vec<Rc<str>>, SchemaError> {
        let fault = || self.invalid(keyword, "it must be a list of names");
        let entries = value.as_array().ok_or_else(fault)?;
        entries.iter().map(|entry| entry.as_str().map(Rc::from).ok_or_else(fault)).collect()
    }

    fn below(&self, value: &'s Value, way: String, algebra: &mut Algebra<'s>) -> Result<Expr, SchemaError> {
        match value {
            Value::Bool(true) => Ok(ANY),
            Value::Bool(false) => Ok(NOTHING),
            Value::Object(members) if members.is_empty() => Ok(ANY),
            _ => {
                let number = algebra.document.child(self.number, value, way)?;
                Ok(algebra.expressions.schema(number))
            }
        }
    }

    /// What the keywords about types, numbers, strings, arrays and objects say.
    fn own(&self, algebra: &mut Algebra<'s>, notes: Notes) -> Result<Set, SchemaError> {
        let mut set = Set::default();
        let names: Vec<&str> = match self.get("type") {
            None => vec!["null", "boolean", "number", "string", "array", "object"],
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().ok_or_else(|| self.invalid("type", "types are told by name")))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(self.invalid("type", "types are told by name")),
        };
        // Read in any case: what is malformed is so for every type.
        let (numbers, strings) = (self.numbers()?, self.strings(&mut algebra.budget)?);
        let array = self.array(algebra)?;
        let object = self.object(algebra, notes)?;
        for name in &names {
            match *name {
                "null" => set.null = true,
                "boolean" => (set.no, set.yes) = (true, true),
                "number" => set.numbers = numbers.clone().settled(&self.path)?.into_iter().collect(),
                "integer" if names.contains(&"number") => {}
                "integer" => set.numbers = Numbers::INTEGERS.intersect(&numbers, &self.path)?.into_iter().collect(),
                "string" => set.strings = strings.clone().into_iter().collect(),
                "array" => set.arrays = array.clone().into_iter().collect(),
                "object" => set.objects = object.clone().into_iter().collect(),
                _ => return Err(self.invalid("type", "there is no such type")),
            }
        }
        Ok(set)
    }

    fn numbers(&self) -> Result<Numbers, SchemaError> {
        let bound = |keyword: &str, open| match self.get(keyword) {
            None => Ok(None),
            Some(Value::Number(value)) => Ok(Some(Bound { value: numbers::exact(value, &self.at(keyword))?, open })),
            Some(_) => Err(self.invalid(keyword, "it must be a number")),
        };
        let low = Numbers { low: bound("minimum", false)?, high: bound("maximum", false)?, ..Numbers::ANY };
        let open =
            Numbers { low: bound("exclusiveMinimum", true)?, high: bound("exclusiveMaximum", true)?, ..Numbers::ANY };
        let step = match self.get("multipleOf") {
            None => None,
            Some(Value::Number(value)) => Some(Step::read(value, &self.at("multipleOf"))?),
            Some(_) => return Err(self.invalid("multipleOf", "it must be a number")),
        };
        Ok(low.within(&open).with_step(step))
    }

    fn strings(&self, budget: &mut Budget) -> Result<Option<Strings>, SchemaError> {
        let mut strings = Strings {
            least: self.count("minLength")?.unwrap_or(0),
            most: self.count("maxLength")?,
            ..Strings::default()
        };
        match self.get("pattern") {
            None => {}
            Some(Value::String(text)) => strings.patterns.extend(pattern::read(text, budget, &self.at("pattern"))?),
            Some(_) => return Err(self.invalid("pattern", "it must be a string")),
        }
        Ok((!strings.is_clearly_empty(budget, &self.path)).then_some(strings))
    }

    fn array(&self, algebra: &mut Algebra<'s>) -> Result<Option<Array>, SchemaError> {
        let mut array =
            Array { least: self.count("minItems")?.unwrap_or(0), most: self.count("maxItems")?, ..Array::any() };
        let tuple = matches!(self.get("items"), Some(Value::Array(_)));
        if tuple {
            if self.draft == Draft::Twenty && self.members.contains_key("prefixItems") {
                return Err(self.invalid("items", "next to `prefixItems` it must be a schema"));
            }
            array.prefix = self.list("items", algebra)?.unwrap_or_default();
            array.rest = self.child("additionalItems", algebra)?.unwrap_or(ANY);
        } else {
            if self.draft == Draft::Twenty {
                array.prefix = self.list("prefixItems", algebra)?.unwrap_or_default();
            }
            array.rest = self.child("items", algebra)?.unwrap_or(ANY);
        }
        let rest = if tuple { "additionalItems" } else { "items" };
        array.evaluated = match self.members.contains_key(rest) {
            true => EvaluatedItems::All,
            false => EvaluatedItems::First(array.prefix.len()),
        };
        if let Some(what) = self.child("contains", algebra)? {
            let counts = self.draft != Draft::Seven;
            let least = if counts { self.count("minContains")?.unwrap_or(1) } else { 1 };
            let most = if counts { self.count("maxContains")? } else { None };
            array.contains.push(Contains { what, least, most, path: self.at("contains").into() });
            if self.draft == Draft::Twenty && array.evaluated != EvaluatedItems::All {
                array.evaluated = EvaluatedItems::Scattered;
            }
        }
        match self.get("uniqueItems") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => array.unique = Some(self.at("uniqueItems").into()),
            Some(_) => return Err(self.invalid("uniqueItems", "it must be a boolean")),
        }
        Ok(array.settled())
    }

    fn object(&self, algebra: &mut Algebra<'s>, notes: Notes) -> Result<Option<Object>, SchemaError> {
        let mut patterns: Vec<(Regex, Expr)> = Vec::new();
        for (text, schema) in self.map("patternProperties", algebra)? {
            let path = below(&self.at("patternProperties"), text);
            patterns.push((pattern::read_one(text, &mut algebra.budget, &path)?, schema));
        }
        let mut properties = PropertyMap::default();
        for (name, mut schema) in self.map("properties", algebra)? {
            for (pattern, also) in &patterns {
                if pattern.matches(name, &mut algebra.budget, &self.path)? {
                    schema = algebra.expressions.both(schema, *also);
                }
            }
            properties.insert(name.as_str().into(), schema);
        }
        let rest = self.child("additionalProperties", algebra)?;
        let mut evaluated = EvaluatedNames::default();
        if notes == Notes::Kept {
            evaluated.all = rest.is_some();
            evaluated.names = properties.names().cloned().collect();
            evaluated.patterns = patterns.iter().map(|(pattern, _)| pattern.clone()).collect();
        }
        let rest = rest.unwrap_or(ANY);
        let required = match self.get("required") {
            None => Vec::new(),
            Some(names) => self.names(names, "required")?,
        };
        let mut object = Object {
            properties,
            required: BTreeSet::new(),
            patterns: self.apart(patterns, rest, algebra)?,
            rest,
            least: self.count("minProperties")?.unwrap_or(0),
            most: self.count("maxProperties")?,
            evaluated,
        };
        object.require(required, algebra, &self.path)?;
        let Some(object) = object.settled(algebra, &self.path)? else { return Ok(None) };
        let Some(names) = self.child("propertyNames", algebra)? else { return Ok(Some(object)) };
        let path = self.at("propertyNames");
        let names = algebra.look_up(names, Notes::Dropped)?;
        let allowed = allowed_names(&names.strings, algebra, &path)?;
        object.intersect(&allowed, algebra, &path)
    }

    /// The patterns of names, none of which has a name in common with another one.
    fn apart(
        &self,
        patterns: Vec<(Regex, Expr)>,
        rest: Expr,
        algebra: &mut Algebra<'s>,
    ) -> Result<Patterns, SchemaError> {
        let mut apart: Vec<(Regex, Expr)> = Vec::new();
        for (pattern, schema) in patterns {
            if schema == ANY && rest == ANY {
                continue;
            }
            let mut pattern = pattern;
            let mut others = Vec::new();
            for (known, other) in apart {
                if known.is_apart_from(&pattern, &mut algebra.budget, &self.at("patternProperties"))? {
                    others.push((known, other));
                } else if other == schema {
                    pattern = Regex::either(vec![known, pattern]);
                } else {
                    return Err(overlap(&self.at("patternProperties")));
                }
            }
            others.push((pattern, schema));
            apart = others;
        }
        Ok(apart.into_iter().collect())
    }

    fn count(&self, keyword: &str) -> Result<Option<u64>, SchemaError> {
        let fault = || self.invalid(keyword, "it must be a whole number, at least 0");
        match self.get(keyword) {
            None => Ok(None),
            Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
                (Some(count), _) => Ok(Some(count)),
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, within 2^53")]
                (None, Some(count)) if count.fract() == 0.0 && (0.0..9e15).contains(&count) => Ok(Some(count as u64)),
                _ => Err(fault()),
            },
            Some(_) => Err(fault()),
        }
    }
}

/// Objects whose members all have names of these.
fn allowed_names(names: &[Strings], algebra: &mut Algebra<'_>, path: &str) -> Result<Object, SchemaError> {
    let mut allowed = Object::any();
    if names.iter().any(|names| *names == Strings::default()) {
        return Ok(allowed);
    }
    allowed.rest = NOTHING;
    let mut patterns = Vec::new();
    for names in names {
        match &names.one_of {
            Some(texts) => texts.iter().for_each(|name| allowed.properties.insert(Rc::clone(name), ANY)),
            None => patterns.push(names.regex().ok_or_else(|| SchemaError::Unsupported {
                path: path.to_owned(),
                reason: "names can be told by one pattern only",
            })?),
        }
    }
    algebra.budget.spend(names.len(), path)?;
    if !patterns.is_empty() {
        allowed.patterns.insert(Regex::either(patterns), ANY);
    }
    Ok(allowed)
}

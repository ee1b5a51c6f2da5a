//! Writes sets down as a JSON Schema that an engine reads as meant: few keywords, one type per schema, alternatives
//! by `anyOf`, and `$ref` only to `#/$defs/<number>`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::Dialect;
use super::algebra::{Algebra, Notes};
use super::arrangements::arranged;
use super::arrays::Array;
use super::error::{SchemaError, below};
use super::expression::{ANY, Expr, NOTHING};
use super::numbers::{Kind, Numbers};
use super::objects::Object;
use super::regex::Regex;
use super::set::Set;
use super::strings::Strings;

/// Schemas inside one another before the next one gets a place of its own: vLLM refuses more than 64 levels of JSON.
const MAX_INLINE: usize = 10;

/// The largest schema that is written, in steps of writing.
const MAX_WRITTEN: usize = 100_000;

/// Writes one expression and all that it needs.
pub(super) fn write(expr: Expr, dialect: Dialect, algebra: &mut Algebra<'_>) -> Result<Value, SchemaError> {
    // The first time shows what is needed in more than one place.
    let mut first = Writer::new(dialect, HashSet::new());
    first.whole(expr, algebra)?;
    Writer::new(dialect, first.shared).whole(expr, algebra)
}

struct Writer {
    dialect: Dialect,
    /// What has a place of its own.
    shared: HashSet<Expr>,
    numbers: HashMap<Expr, usize>,
    queue: Vec<Expr>,
    /// What was written in place, so far.
    inline: HashSet<Expr>,
    written: usize,
}

impl Writer {
    fn new(dialect: Dialect, shared: HashSet<Expr>) -> Self {
        Self { dialect, shared, numbers: HashMap::new(), queue: Vec::new(), inline: HashSet::new(), written: 0 }
    }

    fn whole(&mut self, expr: Expr, algebra: &mut Algebra<'_>) -> Result<Value, SchemaError> {
        let root = self.schema(expr, 0, algebra)?;
        let mut definitions = Map::new();
        let mut next = 0;
        while let Some(expr) = self.queue.get(next).copied() {
            let schema = self.body(expr, 1, algebra)?;
            definitions.insert(next.to_string(), schema);
            next += 1;
        }
        if definitions.is_empty() {
            return Ok(root);
        }
        let mut root = match root {
            Value::Object(members) => members,
            other => Map::from_iter([("anyOf".to_owned(), json!([other]))]),
        };
        root.insert("$defs".to_owned(), definitions.into());
        Ok(root.into())
    }

    /// A schema, or where it is.
    fn schema(&mut self, expr: Expr, depth: usize, algebra: &mut Algebra<'_>) -> Result<Value, SchemaError> {
        if expr == ANY {
            return Ok(self.any());
        }
        if self.shared.contains(&expr) || depth > MAX_INLINE {
            self.shared.insert(expr);
            return Ok(self.reference(expr));
        }
        let set = algebra.look_up(expr, Notes::Dropped)?;
        let has_members = !set.arrays.is_empty() || !set.objects.is_empty();
        if has_members && !self.inline.insert(expr) {
            self.shared.insert(expr);
            return Ok(self.reference(expr));
        }
        self.body(expr, depth, algebra)
    }

    fn reference(&mut self, expr: Expr) -> Value {
        let next = self.numbers.len();
        let number = *self.numbers.entry(expr).or_insert(next);
        if number == next {
            self.queue.push(expr);
        }
        json!({"$ref": format!("#/$defs/{number}")})
    }

    fn any(&self) -> Value {
        match self.dialect {
            Dialect::Vllm => Map::new().into(),
            // To llama.cpp's own converter an empty schema means an object.
            Dialect::LlamaCpp => json!({"type": ["null", "boolean", "number", "string", "array", "object"]}),
        }
    }

    fn body(&mut self, expr: Expr, depth: usize, algebra: &mut Algebra<'_>) -> Result<Value, SchemaError> {
        let path = algebra.path(expr);
        let set = arranged(expr, algebra)?;
        if set == Set::any() {
            return Ok(self.any());
        }
        let mut options = self.simple(&set, &path)?;
        for array in &set.arrays {
            options.push(self.array(array, depth + 1, &path, algebra)?);
        }
        for object in &set.objects {
            options.push(self.object(object, depth + 1, &path, algebra)?);
        }
        self.written += options.len();
        if self.written > MAX_WRITTEN {
            return Err(SchemaError::TooLarge { path, reason: "it comes apart into too many schemas" });
        }
        match options.len() {
            0 => Err(SchemaError::Unsatisfiable { path }),
            1 => Ok(options.remove(0)),
            _ => Ok(json!({"anyOf": options})),
        }
    }

    /// What has no members.
    fn simple(&self, set: &Set, path: &str) -> Result<Vec<Value>, SchemaError> {
        let mut options = Vec::new();
        let mut listed = Vec::new();
        match (set.no, set.yes) {
            (true, true) => options.push(json!({"type": "boolean"})),
            (true, false) => listed.push(Value::Bool(false)),
            (false, true) => listed.push(Value::Bool(true)),
            (false, false) => {}
        }
        for numbers in merged(&set.numbers) {
            let mut schema = numbers.write(path)?;
            match schema.get_mut("const").map(Value::take) {
                Some(only) => listed.push(only),
                None => options.push(self.checked_numbers(&numbers, schema, path)?),
            }
        }
        for strings in &set.strings {
            let mut schema = strings.write(path)?;
            match schema.get_mut("enum").map(Value::take) {
                Some(Value::Array(texts)) => listed.extend(texts),
                _ => options.push(self.checked_strings(strings, schema, path)?),
            }
        }
        if set.null {
            match listed.is_empty() {
                true => options.push(json!({"type": "null"})),
                false => listed.push(Value::Null),
            }
        }
        match listed.len() {
            0 => {}
            1 => options.insert(0, json!({"const": listed.remove(0)})),
            _ => options.insert(0, json!({"enum": listed})),
        }
        Ok(options)
    }

    /// llama.cpp's own converter knows bounds of integers only, and passes over the rest without a word.
    fn checked_numbers(&self, numbers: &Numbers, schema: Value, path: &str) -> Result<Value, SchemaError> {
        if self.dialect == Dialect::Vllm {
            return Ok(schema);
        }
        if numbers.step.is_some() {
            return Err(unknown_to_llama_cpp(path, "multipleOf"));
        }
        if numbers.kind != Kind::Integer
            && let Some(bound) = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
                .into_iter()
                .find(|keyword| schema.get(keyword).is_some())
        {
            return Err(unknown_to_llama_cpp(path, bound));
        }
        Ok(schema)
    }

    /// llama.cpp's own converter takes lengths or one pattern, and writes a pattern's characters without escapes.
    fn checked_strings(&self, strings: &Strings, schema: Value, path: &str) -> Result<Value, SchemaError> {
        if self.dialect == Dialect::Vllm || schema.get("pattern").is_none() && schema.get("allOf").is_none() {
            return Ok(schema);
        }
        match strings.regex() {
            Some(only) if only.is_plain() => Ok(schema),
            _ => Err(unknown_to_llama_cpp(path, "pattern")),
        }
    }

    fn array(
        &mut self,
        array: &Array,
        depth: usize,
        path: &str,
        algebra: &mut Algebra<'_>,
    ) -> Result<Value, SchemaError> {
        let mut schema = Map::from_iter([("type".to_owned(), "array".into())]);
        let prefix = array.prefix.len() as u64;
        let exact = prefix > 0 && array.least == prefix && array.most == Some(prefix);
        if self.dialect == Dialect::LlamaCpp && prefix > 0 && !exact {
            return Err(unknown_to_llama_cpp(path, "prefixItems"));
        }
        if prefix > 0 {
            let mut items = Vec::new();
            for item in &array.prefix {
                items.push(self.schema(*item, depth, algebra)?);
            }
            schema.insert("prefixItems".to_owned(), items.into());
        }
        if array.rest == NOTHING && prefix == 0 {
            // No items at all.
            schema.insert("items".to_owned(), self.any());
        } else if array.rest != NOTHING && (array.rest != ANY || array.least > 0 || array.most.is_some()) {
            let items = self.schema(array.rest, depth, algebra)?;
            schema.insert("items".to_owned(), items);
        }
        if array.least > 0 {
            schema.insert("minItems".to_owned(), array.least.into());
        }
        if let Some(most) = array.most {
            schema.insert("maxItems".to_owned(), most.into());
        }
        Ok(schema.into())
    }

    fn object(
        &mut self,
        object: &Object,
        depth: usize,
        path: &str,
        algebra: &mut Algebra<'_>,
    ) -> Result<Value, SchemaError> {
        let mut schema = Map::from_iter([("type".to_owned(), "object".into())]);
        let closed = object.rest == NOTHING;
        let mut properties = Map::new();
        for (name, member) in object.properties.iter() {
            if member != NOTHING {
                properties.insert(name.to_string(), self.schema(member, depth, algebra)?);
            } else if !closed || !object.patterns.is_empty() {
                properties.insert(name.to_string(), false.into());
            }
        }
        let forbids = properties.values().any(|member| member == &Value::Bool(false));
        if self.dialect == Dialect::LlamaCpp {
            let unknown = match (object.patterns.is_empty(), object.least > 0, object.most.is_some(), forbids) {
                (false, ..) => Some("patternProperties"),
                (_, true, ..) => Some("minProperties"),
                (_, _, true, _) => Some("maxProperties"),
                (.., true) => Some("properties"),
                _ => None,
            };
            if let Some(keyword) = unknown {
                return Err(unknown_to_llama_cpp(path, keyword));
            }
        }
        let rest = self.others(object, &properties, depth, path, algebra)?;
        if !properties.is_empty() || closed {
            schema.insert("properties".to_owned(), properties.into());
        }
        schema.extend(rest);
        if !object.required.is_empty() {
            let names: Vec<Value> = object
                .properties
                .names()
                .filter(|name| object.required.contains(*name))
                .map(|name| Value::from(&**name))
                .collect();
            schema.insert("required".to_owned(), names.into());
        }
        if object.least > 0 {
            schema.insert("minProperties".to_owned(), object.least.into());
        }
        if let Some(most) = object.most {
            schema.insert("maxProperties".to_owned(), most.into());
        }
        Ok(schema.into())
    }

    /// The keywords about members that no property names.
    ///
    /// llguidance's `additionalProperties` takes a property's name again when one of its characters is written as
    /// `\uXXXX`; its `patternProperties` do not. So what else may come is told by a pattern where that is short.
    fn others(
        &mut self,
        object: &Object,
        properties: &Map<String, Value>,
        depth: usize,
        path: &str,
        algebra: &mut Algebra<'_>,
    ) -> Result<Map<String, Value>, SchemaError> {
        let mut keywords = Map::new();
        let mut patterns = Map::new();
        for (pattern, also) in &object.patterns {
            let member = match *also {
                NOTHING => Value::Bool(false),
                ANY => Value::Bool(true),
                member => self.schema(member, depth, algebra)?,
            };
            for (name, property) in properties {
                if member == Value::Bool(true) || !pattern.matches(name, &mut algebra.budget, path)? {
                    continue;
                }
                // Readers let the pattern's schema hold for the property too: that must say nothing new of it.
                let unsupported =
                    |reason| Err(SchemaError::Unsupported { path: below(path, "patternProperties"), reason });
                let meant = object.properties.get(name).unwrap_or(NOTHING);
                if member != *property && algebra.expressions.both(meant, *also) != meant {
                    return unsupported("a pattern takes the name of a property that may be something else");
                }
                // llguidance joins the two, and fails where that leads back to itself.
                if refers(&member) || refers(property) {
                    return unsupported("a pattern takes the name of a property, and a `$ref` is among their schemas");
                }
            }
            patterns.insert(pattern.pattern(), member);
        }
        let mut rest = match object.rest {
            NOTHING => Value::Bool(false),
            ANY => Value::Bool(true),
            rest => self.schema(rest, depth, algebra)?,
        };
        if self.dialect == Dialect::Vllm && object.rest != NOTHING && patterns.is_empty() && !properties.is_empty() {
            let names = properties.keys().map(|name| name.as_str().into()).collect();
            let others = match object.rest {
                ANY => Some(String::new()),
                _ => Regex::none_of(&names).map(|names| names.pattern()),
            };
            if let Some(others) = others {
                patterns.insert(others, std::mem::replace(&mut rest, Value::Bool(false)));
            }
        }
        if !patterns.is_empty() {
            keywords.insert("patternProperties".to_owned(), patterns.into());
        }
        keywords.insert("additionalProperties".to_owned(), rest);
        Ok(keywords)
    }
}

/// All but integers, together with these integers, are numbers again.
fn merged(numbers: &[Numbers]) -> Vec<Numbers> {
    if numbers.iter().all(|one| one.kind != Kind::Fraction) {
        return numbers.to_vec();
    }
    let mut merged = Vec::new();
    for one in numbers {
        let filled = one.kind == Kind::Fraction
            && numbers.iter().any(|other| {
                let integers = Numbers { kind: Kind::Integer, ..one.clone() };
                other.kind == Kind::Integer
                    && other.step.is_none()
                    && integers.intersect(other, "").is_ok_and(|both| both == integers.settled("").ok().flatten())
            });
        let one = if filled { Numbers { kind: Kind::Any, ..one.clone() } } else { one.clone() };
        if !merged.contains(&one) {
            merged.push(one);
        }
    }
    merged
}

/// Whether a reference applies to the same value as this schema.
fn refers(schema: &Value) -> bool {
    let options = schema.get("anyOf").and_then(Value::as_array);
    schema.get("$ref").is_some() || options.is_some_and(|options| options.iter().any(refers))
}

fn unknown_to_llama_cpp(path: &str, keyword: &str) -> SchemaError {
    SchemaError::Unsupported { path: below(path, keyword), reason: "llama.cpp passes over it without a word" }
}

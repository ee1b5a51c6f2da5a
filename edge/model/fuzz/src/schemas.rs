//! Random JSON Schemas that are mostly sound, so that they get past the reading of keywords.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

const TYPES: &[&str] = &["null", "boolean", "integer", "number", "string", "array", "object"];
const NAMES: &[&str] = &["a", "b", "c", "ab", "$ref", ""];
const TEXTS: &[&str] = &["", "a", "b", "ab", "ba7", "é", "\n\""];
/// Patterns that every dialect of regular expressions reads alike.
const PATTERNS: &[&str] = &["^a", "b$", "^[ab]+$", "a|7", "^(?=.*b).{2}$", "^c", "^$", "[^a]{2,3}", "^(a|b)*c?$"];
const REFERENCES: &[&str] = &["#", "#/$defs/x", "#/$defs/y", "#/$defs/x/items", "#/properties/a", "#/$defs/none"];

/// How deep schemas stand in each other.
const MOST_DEPTH: usize = 5;

/// A schema with two definitions.
pub fn document(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut root = match schema(u, 0)? {
        Value::Object(members) => members,
        other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
    };
    root.insert("$defs".to_owned(), json!({"x": schema(u, 2)?, "y": schema(u, 2)?}));
    Ok(root.into())
}

/// A value with few names and few numbers, so that schemas tell them apart.
pub fn value(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let kinds = if depth < 3 { 7 } else { 5 };
    Ok(match u.int_in_range(0..=kinds - 1)? {
        0 => Value::Null,
        1 => u.arbitrary::<bool>()?.into(),
        2 => u.int_in_range(-3_i64..=4)?.into(),
        3 => (*u.choose(&[0.5, 1.0, 1.5, -2.25, 1e300])?).into(),
        4 => (*u.choose(TEXTS)?).into(),
        5 => several(u, |u| value(u, depth + 1))?.into(),
        _ => named(u, |u| value(u, depth + 1))?,
    })
}

fn schema(u: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    if u.ratio(1, 12)? {
        return Ok(u.arbitrary::<bool>()?.into());
    }
    let mut members = Map::new();
    for _ in 0..u.int_in_range(1..=3)? {
        keywords(u, depth, &mut members)?;
    }
    Ok(members.into())
}

/// Adds one keyword, or a few that belong together.
fn keywords(u: &mut Unstructured<'_>, depth: usize, members: &mut Map<String, Value>) -> Result<()> {
    let kinds = if depth < MOST_DEPTH { 30 } else { 12 };
    let (name, value) = match u.int_in_range(0..=kinds - 1)? {
        0 | 1 => ("type", (*u.choose(TYPES)?).into()),
        2 => ("type", several(u, |u| Ok((*u.choose(TYPES)?).into()))?.into()),
        3 => ("const", value(u, 0)?),
        4 => ("enum", several(u, |u| value(u, 0))?.into()),
        5 => (*u.choose(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])?, number(u)?),
        6 => ("multipleOf", (*u.choose(&[json!(1), json!(2), json!(3), json!(0.5), json!(0.01)])?).clone()),
        7 => (*u.choose(&["minLength", "maxLength", "minItems", "maxItems"])?, u.int_in_range(0..=4)?.into()),
        8 => ("pattern", (*u.choose(PATTERNS)?).into()),
        9 => ("$ref", (*u.choose(REFERENCES)?).into()),
        10 => ("required", several(u, |u| Ok((*u.choose(NAMES)?).into()))?.into()),
        11 => (
            *u.choose(&["minProperties", "maxProperties", "minContains", "maxContains"])?,
            u.int_in_range(0..=3)?.into(),
        ),
        12..=14 => ("properties", named(u, |u| schema(u, depth + 1))?),
        15 => ("patternProperties", json!({*u.choose(PATTERNS)?: schema(u, depth + 1)?})),
        16 => ("additionalProperties", schema(u, depth + 1)?),
        17 => ("unevaluatedProperties", schema(u, depth + 1)?),
        18 => ("propertyNames", schema(u, depth + 1)?),
        19 => ("items", schema(u, depth + 1)?),
        20 => ("prefixItems", several(u, |u| schema(u, depth + 1))?.into()),
        21 => ("contains", schema(u, depth + 1)?),
        22 => ("unevaluatedItems", schema(u, depth + 1)?),
        23 => ("anyOf", several(u, |u| schema(u, depth + 1))?.into()),
        24 => ("oneOf", several(u, |u| schema(u, depth + 1))?.into()),
        25 => ("allOf", several(u, |u| schema(u, depth + 1))?.into()),
        26 => ("not", schema(u, depth + 1)?),
        27 => (*u.choose(&["if", "then", "else"])?, schema(u, depth + 1)?),
        28 => ("dependentRequired", json!({*u.choose(NAMES)?: [*u.choose(NAMES)?]})),
        _ => ("dependentSchemas", json!({*u.choose(NAMES)?: schema(u, depth + 1)?})),
    };
    members.insert(name.to_owned(), value);
    Ok(())
}

fn number(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(if u.ratio(3, 4)? { u.int_in_range(-3_i64..=12)?.into() } else { (*u.choose(&[0.5, -1.5, 1e19])?).into() })
}

/// One to three.
fn several(
    u: &mut Unstructured<'_>,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<Value>,
) -> Result<Vec<Value>> {
    (0..u.int_in_range(1..=3)?).map(|_| one(u)).collect()
}

fn named(u: &mut Unstructured<'_>, mut one: impl FnMut(&mut Unstructured<'_>) -> Result<Value>) -> Result<Value> {
    let mut members = Map::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let name = (*u.choose(NAMES)?).to_owned();
        members.insert(name, one(u)?);
    }
    Ok(members.into())
}

//! Random schemas and values: the standard's validator must not tell a schema from its translation, and the decoder
//! must take nothing that the schema forbids.

mod schema_decoder;

use cloudach_model::schema::{Dialect, translate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use schema_decoder::Decoder;
use serde_json::{Map, Value, json};

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Values with few names and few numbers, so that schemas tell them apart.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        prop_oneof![Just(0.5), Just(1.5), Just(-2.25)].prop_map(Value::from),
        prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("ba7")].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("ab")].prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("^a"), Just("b$"), Just("^[ab]+$"), Just("a|7"), Just("^(?=.*b).{2}$"), Just("^c"), Just("^$")]
}

fn schema() -> impl Strategy<Value = Value> {
    let name_of_type = prop::sample::select(&TYPES[..]);
    let leaf = prop_oneof![
        2 => name_of_type.clone().prop_map(|name| json!({"type": name})),
        1 => prop::sample::subsequence(&TYPES[..], 1..4).prop_map(|names| json!({"type": names})),
        1 => any::<bool>().prop_map(Value::from),
        1 => value().prop_map(|only| json!({"const": only})),
        2 => prop::collection::vec(value(), 1..4).prop_map(|all| json!({"enum": all})),
        1 => (-2i64..2, 0i64..3).prop_map(|(low, high)| json!({"minimum": low, "exclusiveMaximum": high})),
        1 => (1i64..4).prop_map(|step| json!({"type": "integer", "multipleOf": step})),
        1 => (0u64..2, 1u64..3).prop_map(|(low, high)| json!({"minLength": low, "maxLength": high})),
        1 => pattern().prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
        2 => prop_oneof![Just("#/$defs/x"), Just("#/$defs/y"), Just("#")].prop_map(|to| json!({"$ref": to})),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        let members = prop::collection::btree_map(name(), inner.clone(), 0..3).boxed();
        let one = inner.clone();
        prop_oneof![
            3 => (members.clone(), prop::collection::btree_set(name(), 0..3), prop::option::of(inner.clone()), any::<bool>())
                .prop_map(|(members, required, rest, typed)| {
                    let mut schema = Map::new();
                    if typed { schema.insert("type".into(), "object".into()); }
                    schema.insert("properties".into(), Value::Object(members.into_iter().collect()));
                    schema.insert("required".into(), required.into_iter().collect());
                    schema.extend(rest.map(|rest| ("additionalProperties".to_owned(), rest)));
                    Value::Object(schema)
                }),
            1 => (members.clone(), 0u64..3, 1u64..4).prop_map(|(members, low, high)| {
                json!({"properties": members, "minProperties": low, "maxProperties": high})
            }),
            1 => (pattern(), one.clone()).prop_map(|(pattern, one)| json!({"patternProperties": {pattern: one}})),
            1 => one.clone().prop_map(|one| json!({"propertyNames": one})),
            2 => (some.clone(), prop::option::of(inner.clone()), 0u64..3).prop_map(|(some, rest, low)| {
                json!({"prefixItems": some, "items": rest.unwrap_or(true.into()), "minItems": low})
            }),
            1 => (one.clone(), 0u64..3).prop_map(|(one, high)| json!({"type": "array", "items": one, "maxItems": high})),
            1 => (one.clone(), 0u64..3, 0u64..3).prop_map(|(one, low, high)| {
                json!({"maxItems": 3, "contains": one, "minContains": low, "maxContains": high})
            }),
            2 => some.clone().prop_map(|some| json!({"anyOf": some})),
            2 => some.clone().prop_map(|some| json!({"oneOf": some})),
            2 => some.clone().prop_map(|some| json!({"allOf": some})),
            2 => (one.clone(), one.clone()).prop_map(|(one, two)| json!({"allOf": [one], "anyOf": [two, {"type": "null"}]})),
            1 => one.clone().prop_map(|one| json!({"not": one})),
            1 => (one.clone(), one.clone(), one.clone()).prop_map(|(condition, then, otherwise)| {
                json!({"if": condition, "then": then, "else": otherwise})
            }),
            1 => (name(), name()).prop_map(|(one, two)| json!({"dependentRequired": {one: [two]}})),
            1 => (name(), one.clone()).prop_map(|(name, one)| json!({"dependentSchemas": {name: one}})),
            1 => (members, some.clone(), one.clone()).prop_map(|(members, some, rest)| {
                json!({"properties": members, "anyOf": some, "unevaluatedProperties": rest})
            }),
            1 => (some, one).prop_map(|(some, rest)| {
                json!({"anyOf": [{"prefixItems": some}, {"type": "array", "maxItems": 1}], "unevaluatedItems": rest})
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    (schema(), schema(), schema()).prop_map(|(root, x, y)| {
        let mut members = match root {
            Value::Object(members) => members,
            other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
        };
        members.insert("$defs".into(), json!({"x": x, "y": y}));
        Value::Object(members)
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn translations_mean_the_same(schema in document(), values in prop::collection::vec(value(), 24)) {
        for dialect in [Dialect::Vllm, Dialect::LlamaCpp] {
            let Ok(translated) = translate(&schema, dialect) else { continue };
            let meant = jsonschema::draft202012::new(&schema).unwrap();
            let written = jsonschema::draft202012::new(&translated).unwrap();
            for value in &values {
                prop_assert_eq!(meant.is_valid(value), written.is_valid(value), "{} became {} for {}", schema, translated, value);
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decoders_take_nothing_else(schema in document(), values in prop::collection::vec(value(), 24)) {
        let Ok(translated) = translate(&schema, Dialect::Vllm) else { return Ok(()) };
        let mut follower = Decoder::new().follow(&translated).map_err(|error| TestCaseError::fail(format!("{translated}: {error}")))?;
        let meant = jsonschema::draft202012::new(&schema).unwrap();
        for value in &values {
            let (wide, compact) = follower.takes_value(value);
            prop_assert_eq!(wide, compact);
            // Members come in the schema's order, so an object with several may be taken in another one only.
            if !has_several_members(value) {
                prop_assert_eq!(compact, meant.is_valid(value), "{} became {} for {}", schema, translated, value);
            }
            prop_assert!(!compact || meant.is_valid(value), "{schema} became {translated}, which takes {value}");
        }
    }
}

/// More cases: `PROPTEST_CASES=20000`.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// The tests above pass over what is refused.
#[test]
fn most_random_schemas_are_translated() {
    let mut runner = TestRunner::deterministic();
    let mut taken = 0;
    for _ in 0..300 {
        let schema = document().new_tree(&mut runner).unwrap().current();
        taken += usize::from(translate(&schema, Dialect::Vllm).is_ok());
    }
    assert!(taken > 150, "{taken} of 300");
}

fn has_several_members(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_several_members),
        Value::Object(members) => members.len() > 1 || members.values().any(has_several_members),
        _ => false,
    }
}

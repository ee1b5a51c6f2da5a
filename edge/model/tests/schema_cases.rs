//! A case per kind of schema: what its translation takes, under the decoder and under the standard's validator, and
//! what is refused, with the place that is named.

mod schema_decoder;

use std::time::{Duration, Instant};

use cloudach_model::schema::{Dialect, SchemaError, translate};
use schema_decoder::Decoder;
use serde_json::{Value, json};

/// A schema, values that it allows, values that it forbids.
type Case = (Value, Vec<Value>, Vec<Value>);

fn cases() -> Vec<Case> {
    vec![
        // References.
        (
            json!({"$defs": {"a/b": {"type": "integer"}, "m~n": {"type": "null"}, "p%q": {"const": 1}},
            "properties": {"x": {"$ref": "#/$defs/a~1b"}, "y": {"$ref": "#/$defs/m~0n"}, "z": {"$ref": "#/$defs/p%25q"}}}),
            vec![json!({"x": 1, "y": null, "z": 1})],
            vec![json!({"x": "1"}), json!({"y": 1}), json!({"z": 2})],
        ),
        (
            json!({"$id": "https://example.com/root.json", "items": {"$ref": "item.json#n"},
            "$defs": {"i": {"$id": "item.json", "$defs": {"n": {"$anchor": "n", "type": "integer"}}}}}),
            vec![json!([1])],
            vec![json!(["1"])],
        ),
        (
            json!({"type": "object", "properties": {"n": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["n", "next"], "additionalProperties": false}),
            vec![json!({"n": 1, "next": {"n": 2, "next": null}})],
            vec![json!({"n": 1, "next": {}}), json!({"n": 1})],
        ),
        // What stands next to a reference counts, but in draft 7.
        (
            json!({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "maxLength": 2}),
            vec![json!("ab")],
            vec![json!("abc")],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"s": {"type": "string"}},
            "allOf": [{"$ref": "#/definitions/s", "maxLength": 2}]}),
            vec![json!("abc")],
            vec![json!(1)],
        ),
        // Both ends of a recursion, met.
        (
            json!({"$defs": {"l": {"type": "array", "items": {"$ref": "#/$defs/l"}}, "m": {"maxItems": 1, "items": {"$ref": "#/$defs/m"}}},
            "allOf": [{"$ref": "#/$defs/l"}, {"$ref": "#/$defs/m"}]}),
            vec![json!([]), json!([[[]]])],
            vec![json!([[], []]), json!([[[], []]]), json!([1])],
        ),
        // Tuples, old and new.
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "integer"}, {"type": "string"}], "additionalItems": false}),
            vec![json!([]), json!([1]), json!([1, "a"])],
            vec![json!(["a"]), json!([1, "a", 2])],
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}, "minItems": 2}),
            vec![json!([1, "a"]), json!([1, "a", "b"])],
            vec![json!([1]), json!([1, 2])],
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}, "contains": {"const": 3}, "maxItems": 3}),
            vec![json!([3]), json!([1, 3]), json!([1, 2, 3])],
            vec![json!([]), json!([1]), json!([3, 3, 3, 3])],
        ),
        (
            json!({"prefixItems": [{"const": 1}, {"const": 2}], "items": false, "uniqueItems": true}),
            vec![json!([1, 2]), json!("any")],
            vec![json!([2])],
        ),
        // Alternatives.
        (
            json!({"oneOf": [{"type": "integer"}, {"minimum": 2, "type": "integer"}]}),
            vec![json!(1)],
            vec![json!(2), json!("a")],
        ),
        (
            json!({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
            {"type": "object", "properties": {"kind": {"const": "b"}, "n": {"type": "integer"}}, "required": ["kind", "n"]}]}),
            vec![json!({"kind": "a"}), json!({"kind": "b", "n": 1})],
            vec![json!({"kind": "b"}), json!({"kind": "c"})],
        ),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            vec![json!({"a": 1}), json!({"b": 1})],
            vec![json!({}), json!({"a": 1, "b": 1})],
        ),
        (
            json!({"type": "string", "anyOf": [{"maxLength": 1}, {"minLength": 3}]}),
            vec![json!("a"), json!("abc")],
            vec![json!("ab"), json!(1)],
        ),
        (
            json!({"type": ["string", "null"], "maxLength": 1}),
            vec![json!(null), json!("a")],
            vec![json!("ab"), json!(1)],
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 3}], "type": "integer"}),
            vec![json!(1), json!(3)],
            vec![json!(0), json!(4)],
        ),
        // Conditions.
        (
            json!({"type": "object", "properties": {"kind": {"enum": ["card", "cash"]}, "number": {"type": "string"}}, "required": ["kind"],
            "if": {"properties": {"kind": {"const": "card"}}}, "then": {"required": ["number"]}}),
            vec![json!({"kind": "cash"}), json!({"kind": "card", "number": "1"})],
            vec![json!({"kind": "card"})],
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}, "additionalProperties": false}),
            vec![json!({}), json!({"b": 1}), json!({"a": 1, "b": 1})],
            vec![json!({"a": 1})],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema", "type": "object", "dependencies": {"a": {"maxProperties": 1}}}),
            vec![json!({"a": 1}), json!({"b": 1, "c": 1})],
            vec![json!({"a": 1, "b": 1})],
        ),
        (
            json!({"not": {"enum": ["a", "ab", 1, null]}}),
            vec![json!("b"), json!("abc"), json!(""), json!(2), json!([])],
            vec![json!("a"), json!("ab"), json!(1), json!(null)],
        ),
        (
            json!({"type": "object", "not": {"required": ["a"]}}),
            vec![json!({}), json!({"b": 1})],
            vec![json!({"a": 1})],
        ),
        // Members.
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}),
            vec![json!({"a": 1, "b": "x"})],
            vec![json!({"a": "x"}), json!({"b": 1})],
        ),
        (
            json!({"type": "object", "properties": {"x-a": {"maxLength": 2}}, "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": false}),
            vec![json!({"x-a": "ab", "x-b": "abc"})],
            vec![json!({"x-a": "abc"}), json!({"x-b": 1}), json!({"b": "c"})],
        ),
        (json!({"type": "object", "propertyNames": {"maxLength": 2}}), vec![json!({"ab": 1})], vec![json!({"abc": 1})]),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2, "maxProperties": 2, "additionalProperties": false}),
            vec![json!({"a": 1, "b": 1}), json!({"b": 1, "c": 1})],
            vec![json!({"a": 1}), json!({"a": 1, "b": 1, "c": 1})],
        ),
        (json!({"type": "object", "required": ["a"]}), vec![json!({"a": 1, "b": 2})], vec![json!({}), json!({"b": 1})]),
        (
            json!({"allOf": [{"properties": {"a": {"type": "integer"}}}], "properties": {"b": {}}, "unevaluatedProperties": false, "type": "object"}),
            vec![json!({"b": 1, "a": 1})],
            vec![json!({"c": 1}), json!({"a": "x"})],
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}],
            "unevaluatedProperties": false}),
            vec![json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})],
            vec![json!({"a": 2, "b": 1})],
        ),
        (
            json!({"prefixItems": [{"const": 1}], "anyOf": [{"prefixItems": [true, {"const": 2}]}], "unevaluatedItems": false}),
            vec![json!([1, 2])],
            vec![json!([1, 2, 3]), json!([1, 3])],
        ),
        // Text and numbers.
        (
            json!({"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z]).{2,4}$"}),
            vec![json!("a1"), json!("1bcd")],
            vec![json!("ab"), json!("a1bcd")],
        ),
        (
            json!({"type": "string", "pattern": r"^\d+(\.\d{1,2})?$", "maxLength": 4}),
            vec![json!("1.25")],
            vec![json!("12.25"), json!("٣")],
        ),
        (json!({"type": "string", "pattern": "b|^a$"}), vec![json!("xbx"), json!("a")], vec![json!("xa")]),
        (
            json!({"type": "string", "format": "date", "contentEncoding": "base64"}),
            vec![json!("no date")],
            vec![json!(1)],
        ),
        (
            json!({"type": "integer", "multipleOf": 1.5, "exclusiveMaximum": 9}),
            vec![json!(-3), json!(6)],
            vec![json!(4), json!(9)],
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
            vec![json!(0.5), json!(1)],
            vec![json!(0), json!(1.5)],
        ),
        (json!({"not": {"type": "number", "minimum": 5}}), vec![json!(4.5), json!("a")], vec![json!(5)]),
        // Values.
        (
            json!({"const": {"a": [1, {"b": null}]}}),
            vec![json!({"a": [1, {"b": null}]})],
            vec![json!({"a": [1]}), json!({})],
        ),
        (
            json!({"enum": ["a\u{0}b", "\u{2028}", [false], {"x": 0}], "type": ["string", "array"]}),
            vec![json!("a\u{0}b"), json!("\u{2028}"), json!([false])],
            vec![json!({"x": 0}), json!([0])],
        ),
        (json!({"const": 1, "nullable": true, "x-order": 3}), vec![json!(1)], vec![json!(null), json!(true)]),
        // Members that cannot be.
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/endless"}},
            "$defs": {"endless": {"type": "object", "properties": {"x": {"$ref": "#/$defs/endless"}}, "required": ["x"]}}}),
            vec![json!({}), json!({"b": 1})],
            vec![json!({"a": {}}), json!({"a": {"x": {}}})],
        ),
    ]
}

#[test]
fn translations_take_what_is_valid_and_nothing_else() {
    let decoder = Decoder::new();
    for (schema, valid, invalid) in cases() {
        let translated = translate(&schema, Dialect::Vllm).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let mut follower = decoder.follow(&translated).unwrap_or_else(|error| panic!("{translated}: {error}"));
        let meant = jsonschema::validator_for(&schema).unwrap();
        for (values, right) in [(&valid, true), (&invalid, false)] {
            for value in values {
                assert_eq!(meant.is_valid(value), right, "the case is wrong: {schema} {value}");
                assert_eq!(follower.takes_value(value), (right, right), "{schema}\n{translated}\n{value}");
            }
        }
    }
}

#[test]
fn names_written_with_escapes_are_the_same_names() {
    let decoder = Decoder::new();
    for rest in [json!(true), json!({"type": "string"})] {
        let schema =
            json!({"type": "object", "properties": {"foo": {"type": "integer"}}, "additionalProperties": rest});
        let mut follower = decoder.follow(&translate(&schema, Dialect::Vllm).unwrap()).unwrap();
        assert!(follower.takes(r#"{"foo":1,"bar":"x"}"#));
        assert!(!follower.takes(r#"{"foo":1,"\u0066oo":"x"}"#));
    }
}

#[test]
fn what_has_no_words_is_refused_with_its_place() {
    let in_member =
        |schema: Value| json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, schema]}}});
    let at = |keyword: &str| format!("/properties/a/anyOf/1/{keyword}");
    for (schema, keyword) in [
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"type": "array", "contains": {"const": 1}}), "contains"),
        (json!({"type": "string", "pattern": "^(?!a)"}), "pattern"),
        (json!({"type": "string", "pattern": r"\bword"}), "pattern"),
        (json!({"type": "string", "pattern": "("}), "pattern"),
        (json!({"not": {"pattern": "a"}}), "not"),
        (json!({"not": {"type": "integer"}}), "not"),
        (json!({"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}), "oneOf"),
        (json!({"multipleOf": 1_000_003}), "multipleOf"),
        (json!({"const": 9_007_199_254_740_993_u64}), "const"),
        (json!({"maximum": u64::MAX}), "maximum"),
        (json!({"patternProperties": {"a": {"type": "string"}, "b": {"type": "integer"}}}), "patternProperties"),
        (json!({"dependencies": {"a": ["b"]}}), "dependencies"),
        (json!({"$ref": "https://example.com/schema.json"}), "$ref"),
        (json!({"$ref": "other.json#/a"}), "$ref"),
        (json!({"$ref": "#/nowhere"}), "$ref"),
        (json!({"$ref": "#nowhere"}), "$ref"),
        (json!({"$ref": "#/properties/a"}), "$ref"),
        (json!({"$schema": "http://json-schema.org/draft-03/schema"}), "$schema"),
        (json!({"type": "strin"}), "type"),
        (json!({"type": {}}), "type"),
        (json!({"minLength": -1}), "minLength"),
        (json!({"enum": "a"}), "enum"),
        (json!({"required": "a"}), "required"),
        (json!({"anyOf": {}}), "anyOf"),
        (json!({"exclusiveMinimum": true}), "exclusiveMinimum"),
        (json!({"items": 1}), "items"),
    ] {
        let error = translate(&in_member(schema.clone()), Dialect::Vllm).unwrap_err();
        // A mistake is found in the schema that a keyword is about.
        let found = error.path() == at(keyword);
        assert!(found, "{schema}: {error}");
        if !keyword.starts_with('$') {
            assert_eq!(error.keyword(), Some(keyword));
        }
    }
    let nothing = translate(&json!({"allOf": [{"type": "string"}, {"type": "null"}]}), Dialect::Vllm);
    assert_eq!(nothing, Err(SchemaError::Unsatisfiable { path: String::new() }));
    let unused = json!({"$defs": {"bad": {"$ref": "#/$defs/missing"}}});
    assert_eq!(translate(&unused, Dialect::Vllm).unwrap_err().path(), "/$defs/bad/$ref");
}

/// `ab` is held to the pattern's schema, but not to what the first part says of names that it does not know.
#[test]
fn a_pattern_says_nothing_new_of_a_property() {
    let named = json!({"properties": {"ab": true}, "additionalProperties": {"type": "integer"}});
    let schema = json!({"allOf": [named, {"patternProperties": {"^a": {"maximum": 9}}}]});
    let error = translate(&schema, Dialect::Vllm).unwrap_err();
    assert_eq!(error.keyword(), Some("patternProperties"));
    assert!(error.to_string().contains("may be something else"), "{error}");
}

#[test]
fn what_llama_cpp_passes_over_is_refused() {
    for (schema, keyword) in [
        (json!({"type": "number", "minimum": 0.5}), Some("minimum")),
        (json!({"type": "integer", "multipleOf": 3}), Some("multipleOf")),
        (json!({"type": "string", "pattern": "^[^a]$"}), Some("pattern")),
        (json!({"type": "string", "pattern": "^a.$"}), Some("pattern")),
        (json!({"type": "string", "pattern": "^\"$"}), Some("pattern")),
        (json!({"type": "string", "pattern": r"^[/\\]$"}), Some("pattern")),
        (json!({"type": "string", "pattern": "^([a-z]*,?)*$"}), Some("pattern")),
        (json!({"type": "string", "pattern": "^a+$", "maxLength": 3}), Some("pattern")),
        (json!({"type": "array", "prefixItems": [{"type": "null"}]}), Some("prefixItems")),
        (json!({"type": "object", "minProperties": 1}), Some("minProperties")),
        (json!({"type": "object", "patternProperties": {"^a$": false}}), Some("patternProperties")),
        (json!({"type": "integer", "minimum": 0, "maximum": 9}), None),
        (json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}), None),
        (json!({"type": "array", "prefixItems": [{"type": "null"}], "items": false, "minItems": 1}), None),
        (json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}), None),
    ] {
        let found = translate(&schema, Dialect::LlamaCpp);
        assert_eq!(found.as_ref().err().and_then(SchemaError::keyword), keyword, "{schema}: {found:?}");
        assert!(translate(&schema, Dialect::Vllm).is_ok(), "{schema}");
    }
}

/// Hostile schemas, as text where they are hard to write otherwise.
fn hostile() -> Vec<(&'static str, Value)> {
    let chain = |body: fn(usize) -> Value, length: usize| {
        let mut parts: serde_json::Map<String, Value> =
            (0..length).map(|at| (format!("a{at}"), body(at + 1))).collect();
        parts.insert(format!("a{length}"), json!({"type": "string"}));
        json!({"$defs": parts, "$ref": "#/$defs/a0"})
    };
    let nested =
        |wrap: fn(Value) -> Value, depth: usize| (0..depth).fold(json!({"type": "string"}), |inner, _| wrap(inner));
    vec![
        ("a megabyte of enum", json!({"enum": (0..40_000).map(|at| format!("value-{at:020}")).collect::<Vec<_>>()})),
        ("enums that meet", json!({"allOf": vec![json!({"enum": (0..1_000).collect::<Vec<_>>()}); 50]})),
        ("many alternatives", json!({"anyOf": (0..5_000).map(|at| json!({"const": at})).collect::<Vec<_>>()})),
        ("many that exclude each other", json!({"oneOf": (0..500).map(|at| json!({"const": at})).collect::<Vec<_>>()})),
        (
            "doubled references",
            chain(|at| json!({"allOf": [{"$ref": format!("#/$defs/a{at}")}, {"$ref": format!("#/$defs/a{at}")}]}), 50),
        ),
        (
            "doubled members",
            chain(
                |at| json!({"properties": {"l": {"$ref": format!("#/$defs/a{at}")}, "r": {"$ref": format!("#/$defs/a{at}")}}}),
                60,
            ),
        ),
        ("a long chain of references", chain(|at| json!({"$ref": format!("#/$defs/a{at}")}), 3_000)),
        ("a long chain of members", chain(|at| json!({"items": {"$ref": format!("#/$defs/a{at}")}}), 1_000)),
        ("deep members", nested(|inner| json!({"type": "object", "properties": {"a": inner}}), 60)),
        ("deep negation", nested(|inner| json!({"not": inner}), 120)),
        ("too deep", nested(|inner| json!({"items": inner}), 500)),
        (
            "alternatives that multiply",
            json!({"allOf": (0..30).map(|at| json!({"anyOf": [{"required": [format!("p{at}")]}, {"required": [format!("q{at}")]}]})).collect::<Vec<_>>()}),
        ),
        (
            "members to count",
            json!({"properties": (0..40).map(|at| (format!("p{at}"), json!({}))).collect::<serde_json::Map<_, _>>(), "minProperties": 20, "maxProperties": 21}),
        ),
        (
            "a pattern that multiplies",
            json!({"pattern": "(a{1,1000}){1,1000}b".repeat(50), "enum": ["a".repeat(5_000)]}),
        ),
        ("a pattern that backtracks", json!({"pattern": "^(a|aa)*$", "enum": ["a".repeat(2_000) + "b"]})),
        ("a long pattern", json!({"type": "string", "pattern": format!("^{}$", "a".repeat(200_000))})),
        ("a long pattern in many ways", json!({"pattern": "(^|a)".repeat(8) + &"a".repeat(200_000)})),
        (
            "a pattern of parts that may be missing",
            json!({"type": "string", "pattern": format!("^{}$", "a?".repeat(9_990)), "enum": ["a"]}),
        ),
        (
            "a shorter one of them",
            json!({"type": "string", "pattern": format!("^{}$", "a?".repeat(1_300)), "enum": ["a"]}),
        ),
        (
            "parts that may be missing in parts that may be missing",
            json!({"pattern": format!("^({0}b|({0})?)*$", "(a?|b)".repeat(2_000)), "enum": ["a".repeat(5_000)]}),
        ),
        (
            "two patterns of parts that may be missing",
            json!({"type": "string", "allOf": [{"pattern": format!("^{}$", "a?".repeat(5_000))}, {"pattern": "^b?a*$"}]}),
        ),
        ("a pattern of parentheses", json!({"pattern": "(".repeat(5_000)})),
        (
            "many members",
            json!({"properties": (0..5_000).map(|at| (format!("p{at}"), json!({"type": "string"}))).collect::<serde_json::Map<_, _>>()}),
        ),
        (
            "a long name above many",
            json!({"properties": {"k".repeat(100_000): {"properties": (0..1_000).map(|at| (format!("p{at}"), json!({"type": "string"}))).collect::<serde_json::Map<_, _>>()}}}),
        ),
        ("itself", json!({"$ref": "#"})),
        ("each other", json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})),
        ("not itself", json!({"not": {"$ref": "#"}})),
        ("endless objects", json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})),
        ("counts without end", json!({"type": "array", "minItems": 1e15, "maxItems": 1e15})),
        (
            "many dependencies",
            json!({"dependentRequired": (0..30).map(|at| (format!("a{at}"), json!([format!("b{at}")]))).collect::<serde_json::Map<_, _>>()}),
        ),
    ]
}

#[test]
fn hostile_schemas_end_quickly() {
    for (what, schema) in hostile() {
        for dialect in [Dialect::Vllm, Dialect::LlamaCpp] {
            let start = Instant::now();
            let mut found = Ok(Value::Null);
            let memory = allocation_counter::measure(|| found = translate(&schema, dialect));
            assert!(memory.bytes_max < 256 << 20, "{what} took {} bytes", memory.bytes_max);
            // Without optimisation and next to other tests; a release build takes a twentieth.
            assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
            if let Ok(translated) = found {
                assert!(depth(&translated) <= 64, "{what} is too deep for vLLM");
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

//! The schemas that force calls, and what of a function's own schema changes on its way into them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_model::reading::{Forced, Function};
use serde_json::{Value, json};

#[test]
fn one_function_is_its_parameters() {
    let cases = [
        // As the client wrote it: order of keys, references to the root and all.
        (
            r##"{"type":"object","$schema":"s","properties":{"b":{"$ref":"#"},"a":{"$ref":"#/$defs/A"}},"$id":"i","$defs":{"A":{}}}"##,
            None,
        ),
        ("{}", Some(r#"{"type":"object","properties":{},"additionalProperties":false}"#)),
        (r#"{"type":"object"}"#, None),
    ];
    for (parameters, expected) in cases {
        let parsed: Value = serde_json::from_str(parameters).unwrap();
        let function = Function { name: "f", parameters: parsed.as_object() };
        assert_eq!(Forced::Named(function).constraint(), expected.unwrap_or(parameters));
    }
    let function = Function { name: "f", parameters: None };
    assert_eq!(
        Forced::Named(function).constraint(),
        r#"{"type":"object","properties":{},"additionalProperties":false}"#
    );
}

#[test]
fn any_function_is_a_list_of_calls() {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let functions = [
        Function { name: "get_weather", parameters: parameters.as_object() },
        Function { name: "get-weather", parameters: None },
    ];
    let expected = concat!(
        r#"{"type":"array","minItems":1,"maxItems":16,"items":{"anyOf":["#,
        r##"{"type":"object","properties":{"name":{"const":"get_weather"},"parameters":{"$ref":"#/$defs/0"}},"##,
        r#""required":["name","parameters"],"additionalProperties":false},"#,
        r##"{"type":"object","properties":{"name":{"const":"get-weather"},"parameters":{"$ref":"#/$defs/1"}},"##,
        r#""required":["name","parameters"],"additionalProperties":false}]},"#,
        r#""$defs":{"0":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},"#,
        r#""1":{"type":"object","properties":{},"additionalProperties":false}}}"#,
    );
    assert_eq!(Forced::Required { functions: &functions, parallel: true }.constraint(), expected);
    let single = Forced::Required { functions: &functions, parallel: false }.constraint();
    assert_eq!(single, expected.replace("\"maxItems\":16", "\"maxItems\":1"));
}

/// Each as it is and as it is at `#/$defs/0`.
#[test]
fn local_references_move_along() {
    let cases = [
        (json!({"$ref": "#"}), json!({"$ref": "#/$defs/0"})),
        (json!({"$ref": "#/"}), json!({"$ref": "#/$defs/0/"})),
        (
            json!({"$ref": "#/definitions/A", "definitions": {"A": {"$ref": "#/definitions/B"}, "B": {"type": "object"}}}),
            json!({"$ref": "#/$defs/0/definitions/A",
                "definitions": {"A": {"$ref": "#/$defs/0/definitions/B"}, "B": {"type": "object"}}}),
        ),
        // In every place where a schema may stand.
        (
            json!({"properties": {"a": {"$ref": "#/a"}}, "patternProperties": {"^x": {"$ref": "#/a"}},
                "dependentSchemas": {"a": {"$ref": "#/a"}}, "dependencies": {"a": {"$ref": "#/a"}, "b": ["#/a"]},
                "$defs": {"a": {"$ref": "#/a"}}, "definitions": {"a": {"$ref": "#/a"}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/0/a"}}, "patternProperties": {"^x": {"$ref": "#/$defs/0/a"}},
                "dependentSchemas": {"a": {"$ref": "#/$defs/0/a"}},
                "dependencies": {"a": {"$ref": "#/$defs/0/a"}, "b": ["#/a"]},
                "$defs": {"a": {"$ref": "#/$defs/0/a"}}, "definitions": {"a": {"$ref": "#/$defs/0/a"}}}),
        ),
        (
            json!({"anyOf": [{"$ref": "#/a"}], "allOf": [{"$ref": "#/a"}], "oneOf": [{"$ref": "#/a"}],
                "prefixItems": [{"$ref": "#/a"}], "not": {"$ref": "#/a"}, "if": {"$ref": "#/a"},
                "then": {"$ref": "#/a"}, "else": {"$ref": "#/a"}, "contains": {"$ref": "#/a"},
                "additionalProperties": {"$ref": "#/a"}, "additionalItems": {"$ref": "#/a"},
                "propertyNames": {"$ref": "#/a"}, "unevaluatedItems": {"$ref": "#/a"},
                "unevaluatedProperties": {"$ref": "#/a"}, "contentSchema": {"$ref": "#/a"}, "items": {"$ref": "#/a"}}),
            json!({"anyOf": [{"$ref": "#/$defs/0/a"}], "allOf": [{"$ref": "#/$defs/0/a"}],
                "oneOf": [{"$ref": "#/$defs/0/a"}], "prefixItems": [{"$ref": "#/$defs/0/a"}],
                "not": {"$ref": "#/$defs/0/a"}, "if": {"$ref": "#/$defs/0/a"}, "then": {"$ref": "#/$defs/0/a"},
                "else": {"$ref": "#/$defs/0/a"}, "contains": {"$ref": "#/$defs/0/a"},
                "additionalProperties": {"$ref": "#/$defs/0/a"}, "additionalItems": {"$ref": "#/$defs/0/a"},
                "propertyNames": {"$ref": "#/$defs/0/a"}, "unevaluatedItems": {"$ref": "#/$defs/0/a"},
                "unevaluatedProperties": {"$ref": "#/$defs/0/a"}, "contentSchema": {"$ref": "#/$defs/0/a"},
                "items": {"$ref": "#/$defs/0/a"}}),
        ),
        (json!({"items": [{"$ref": "#/a"}, true]}), json!({"items": [{"$ref": "#/$defs/0/a"}, true]})),
        // Properties with the names of keywords.
        (
            json!({"properties": {"$ref": {"$ref": "#"}, "enum": {"$ref": "#"}, "properties": {"$ref": "#"}}}),
            json!({"properties": {"$ref": {"$ref": "#/$defs/0"}, "enum": {"$ref": "#/$defs/0"},
                "properties": {"$ref": "#/$defs/0"}}}),
        ),
        // Reached through a reference only, also round and round.
        (
            json!({"$ref": "#/components/schemas/A~1B", "components": {"schemas": {
                "A/B": {"items": {"$ref": "#/components/schemas/C"}}, "C": {"items": {"$ref": "#/components/schemas/A~1B"}},
                "example": {"$ref": "#/components/schemas/C"}}}}),
            json!({"$ref": "#/$defs/0/components/schemas/A~1B", "components": {"schemas": {
                "A/B": {"items": {"$ref": "#/$defs/0/components/schemas/C"}},
                "C": {"items": {"$ref": "#/$defs/0/components/schemas/A~1B"}},
                "example": {"$ref": "#/components/schemas/C"}}}}),
        ),
        // A schema with an address is a document of its own, but at the root, where it is about to move.
        (
            json!({"$id": "https://example.com/f", "items": {"$ref": "#/a"},
                "not": {"$id": "https://example.com/g", "items": {"$ref": "#/a"}}, "if": {"$id": "#anchor", "$ref": "#/a"}}),
            json!({"items": {"$ref": "#/$defs/0/a"},
                "not": {"$id": "https://example.com/g", "items": {"$ref": "#/a"}},
                "if": {"$id": "#anchor", "$ref": "#/$defs/0/a"}}),
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(moved(&schema).to_string(), of_an_object(expected).to_string());
    }
}

/// Arguments are an object: it is said where the schema does not.
fn of_an_object(mut schema: Value) -> Value {
    let fields = schema.as_object_mut().unwrap();
    if !fields.contains_key("type") {
        fields.insert("type".to_owned(), "object".into());
    }
    schema
}

#[test]
fn all_else_stays() {
    let cases = [
        json!({"properties": {"$ref": {"type": "string"}}, "required": ["$ref"]}),
        json!({"enum": [{"$ref": "#/a"}, "#"], "const": {"$ref": "#"}, "default": {"$ref": "#/a"}}),
        json!({"examples": [{"$ref": "#/a"}], "description": "#/a", "x-note": {"$ref": "#/a"}}),
        json!({"items": {"$ref": "https://example.com/s#/a"}, "not": {"$ref": "#anchor"}, "if": {"$ref": "A"}}),
        json!({"items": {"$ref": 1}, "not": {"$ref": ["#/a"]}, "if": {"$ref": {"$ref": "#/a"}}, "then": {"$ref": ""}}),
        json!({"properties": {"properties": {"const": {"properties": {"a": {"$ref": "#"}}}}}}),
        json!({"properties": [{"$ref": "#/a"}], "$defs": 1, "items": null}),
    ];
    for schema in cases {
        assert_eq!(moved(&schema).to_string(), of_an_object(schema).to_string());
    }
}

/// As many references as fit into a request, to each other and through each other.
#[test]
fn many_references_take_linear_time() {
    let mut schemas = serde_json::Map::new();
    for number in 0..50_000 {
        schemas.insert(format!("s{number}"), json!({"items": {"$ref": format!("#/x/s{}", (number * 7) % 50_000)}}));
    }
    let schema = json!({"$ref": "#/x/s1", "x": schemas});
    let start = std::time::Instant::now();
    assert_eq!(moved(&schema)["$ref"], "#/$defs/0/x/s1");
    println!("{:?}", start.elapsed());
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

fn moved(schema: &Value) -> Value {
    let functions = [Function { name: "f", parameters: schema.as_object() }];
    let constraint = Forced::Required { functions: &functions, parallel: true }.constraint();
    serde_json::from_str::<Value>(&constraint).unwrap()["$defs"]["0"].take()
}

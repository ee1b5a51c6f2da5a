//! The schemas that force calls: the functions' own, in an engine's words, side by side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use cloudach_model::{
    reading::{Forced, Function, answer_or_calls},
    schema::Dialect,
};
use serde_json::{Value, json};

fn forced(forced: &Forced<'_>) -> String {
    forced.constraint(Dialect::Vllm).unwrap().to_string()
}

#[test]
fn one_function_is_its_parameters() {
    let nothing = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    let cases = [
        // In the client's order of keys.
        (
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"b":{"type":"string"},"a":{"enum":[1]}},"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"b":{"type":"string"},"a":{"const":1}},"additionalProperties":false}"#,
        ),
        ("{}", nothing),
        // Arguments are an object, also where the schema allows more.
        (r#"{"type":["object","null"],"additionalProperties":false}"#, nothing),
    ];
    for (parameters, expected) in cases {
        let parsed: Value = serde_json::from_str(parameters).unwrap();
        let function = Function { name: "f", parameters: parsed.as_object() };
        assert_eq!(forced(&Forced::Named(function)), expected, "{parameters}");
    }
    assert_eq!(forced(&Forced::Named(Function { name: "f", parameters: None })), nothing);
}

#[test]
fn any_function_is_a_list_of_calls() {
    let parameters = json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false,
    });
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
        r#""$defs":{"0":{"type":"object","properties":{"city":{"type":"string"}},"additionalProperties":false,"required":["city"]},"#,
        r#""1":{"type":"object","properties":{},"additionalProperties":false}}}"#,
    );
    assert_eq!(forced(&Forced::Required { functions: &functions, parallel: true }), expected);
    let single = forced(&Forced::Required { functions: &functions, parallel: false });
    assert_eq!(single, expected.replace("\"maxItems\":16", "\"maxItems\":1"));
}

/// Recursive parameters, with properties that are named like keywords.
#[test]
fn references_move_along() {
    let parameters = json!({
        "properties": {
            "$ref": {"$ref": "#/definitions/tree"}, "enum": {"const": "#/$defs/0"}, "rest": {"type": "array", "items": {"$ref": "#"}},
        },
        "additionalProperties": false,
        "definitions": {"tree": {"type": "array", "items": {"anyOf": [{"$ref": "#/definitions/tree"}, {"type": "null"}]}}},
    });
    let functions = [Function { name: "f", parameters: parameters.as_object() }];
    let schema = Forced::Required { functions: &functions, parallel: true }.constraint(Dialect::Vllm).unwrap();
    let moved = &schema["$defs"]["0"];
    let text = moved.to_string();
    for reference in text.split(r##""$ref":"##).skip(1).filter(|rest| rest.starts_with('"')) {
        let target = reference[1..].split('"').next().unwrap();
        assert!(target.starts_with("#/$defs/0/$defs/"), "{target} in {text}");
        assert!(schema.pointer(&target[1..]).is_some(), "{target} is nowhere in {schema}");
    }
    assert_eq!(moved["properties"]["enum"], json!({"const": "#/$defs/0"}), "a value that looks like a reference stays");
    assert!(moved["properties"]["$ref"].is_object());
}

#[test]
fn what_cannot_be_enforced_is_named() {
    let parameters = json!({"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": true}}});
    let functions =
        [Function { name: "fine", parameters: None }, Function { name: "tag", parameters: parameters.as_object() }];
    let calls = Forced::Required { functions: &functions, parallel: true };
    let error = calls.constraint(Dialect::Vllm).unwrap_err();
    assert_eq!((error.function.as_str(), error.error.path()), ("tag", "/properties/tags/uniqueItems"));
}

#[test]
fn an_answer_is_told_from_calls_by_its_first_sign() {
    let functions = [Function { name: "f", parameters: None }];
    let calls = Forced::Required { functions: &functions, parallel: true }.constraint(Dialect::Vllm).unwrap();
    let object =
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {"0": {"type": "null"}}});
    let both = answer_or_calls(&object, &calls).unwrap();
    assert_eq!(both["anyOf"], json!([{"$ref": "#/$defs/0"}, {"$ref": "#/$defs/1"}]));
    assert_eq!(both.pointer("/$defs/0/properties/a/$ref"), Some(&json!("#/$defs/0/$defs/0")));
    assert_eq!(both.pointer("/$defs/1/items/anyOf/0/properties/parameters/$ref"), Some(&json!("#/$defs/1/$defs/0")));
    for answer in [json!({"type": "array"}), json!({}), json!(true), json!({"anyOf": [object, {"type": "string"}]})] {
        assert_eq!(answer_or_calls(&answer, &calls), None, "{answer}");
    }
}

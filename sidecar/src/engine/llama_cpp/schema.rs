//! Whether llama.cpp will follow a JSON schema. It is built with the library that is asked here, and where that library
//! refuses a schema, llama.cpp says so in its log only and answers without any constraint.

use cloudach_proto::v1::{Constraint, Failed, constraint::Kind};
use llguidance::{
    api::{GrammarInit, ParserLimits, TopLevelGrammar},
    earley::ValidationResult,
};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::super::{call::brief, failure::invalid};

/// The largest schema, in bytes: compiling one keeps a core busy.
const MAX_SCHEMA: usize = 1024 * 1024;

/// Refuses a schema that would be ignored.
pub(super) async fn check(constraint: Option<&Constraint>) -> Result<(), Failed> {
    let Some(Constraint { kind: Some(Kind::JsonSchema(schema)) }) = constraint else { return Ok(()) };
    if schema.len() > MAX_SCHEMA {
        return Err(refused(&format!("it is larger than {MAX_SCHEMA} bytes")));
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| refused(&error.to_string()))?;
    // On a thread of its own: it takes milliseconds, and what it does with hostile schemas stays there.
    let compiled = spawn_blocking(move || compile(schema)).await;
    compiled.unwrap_or_else(|_| Err("it cannot be compiled".to_owned())).map_err(|reason| refused(&reason))
}

fn compile(schema: Value) -> Result<(), String> {
    let grammar = GrammarInit::Serialized(TopLevelGrammar::from_json_schema(schema));
    match grammar.validate(None, ParserLimits::default()) {
        ValidationResult::Valid | ValidationResult::Warnings(_) => Ok(()),
        ValidationResult::Error(reason) => Err(reason),
    }
}

fn refused(reason: &str) -> Failed {
    invalid("response_format", format!("the engine cannot follow this JSON schema: {}", brief(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(schema: &str) -> Result<(), String> {
        let constraint = Constraint { kind: Some(Kind::JsonSchema(schema.to_owned())) };
        check(Some(&constraint)).await.map_err(|failed| failed.param)
    }

    #[tokio::test]
    async fn what_would_be_ignored_is_refused() {
        let taken = [
            r#"{"type":"object","properties":{"a":{"type":"string","maxLength":5}},"required":["a"]}"#,
            r##"{"$defs":{"n":{"type":"array","items":{"$ref":"#/$defs/n"}}},"$ref":"#/$defs/n"}"##,
            r#"{"anyOf":[{"type":"integer","minimum":3},{"enum":["x"]}]}"#,
            "{}",
        ];
        for schema in taken {
            assert_eq!(outcome(schema).await, Ok(()), "{schema}");
        }
        let refused = [
            "{",
            r#"{"type":"foo"}"#,
            r#"{"not":{"type":"string"}}"#,
            r##"{"$ref":"#/$defs/nowhere"}"##,
            r#"{"type":"array","uniqueItems":true}"#,
            "7",
        ];
        for schema in refused {
            assert_eq!(outcome(schema).await, Err("response_format".to_owned()), "{schema}");
        }
        let deep = format!("{}{}", r#"{"not":"#.repeat(10_000), "}".repeat(10_000));
        assert!(outcome(&deep).await.is_err());
        assert!(outcome(&format!("{}1", " ".repeat(MAX_SCHEMA))).await.is_err());
        assert_eq!(check(None).await, Ok(()));
    }
}

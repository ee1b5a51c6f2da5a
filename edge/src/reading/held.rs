//! What an engine is held to, in its own words: a client's schema is translated before it is sent, so that the engine
//! keeps to all of it, or it is refused by the keyword that no engine can keep to.

use std::sync::{Arc, LazyLock};

use cloudach_model::{
    reading::{Function, answer_or_calls},
    schema::Dialect,
};
use cloudach_openai::{Constraint, Invalid, JsonSchema, chat::Tool};
use cloudach_proto::v1::{self, constraint::Kind};
use serde_json::{Map, Value, json};

/// Gives a client's schema in the engine's words.
pub type Translated<'t> = dyn Fn(&JsonSchema) -> Result<Arc<Value>, Invalid> + 't;

/// Any arguments.
static OPEN: LazyLock<Map<String, Value>> = LazyLock::new(|| Map::from_iter([("type".to_owned(), "object".into())]));

/// To what a client asked for.
///
/// # Errors
/// Its schema cannot be enforced.
pub fn to(constraint: &Constraint, translated: &Translated<'_>) -> Result<v1::Constraint, Invalid> {
    let kind = match constraint {
        Constraint::JsonObject => Kind::JsonObject(v1::JsonObject {}),
        Constraint::JsonSchema(asked) => return Ok(to_schema(&*translated(asked)?)),
        Constraint::Regex(regex) => Kind::Regex(regex.clone()),
        Constraint::Choice(choices) => Kind::Choice(v1::Choices { choices: choices.clone() }),
        Constraint::Grammar(grammar) => Kind::Grammar(grammar.clone()),
    };
    Ok(v1::Constraint { kind: Some(kind) })
}

/// To a schema that is in the engine's words.
pub fn to_schema(schema: &Value) -> v1::Constraint {
    v1::Constraint { kind: Some(Kind::JsonSchema(schema.to_string())) }
}

/// To either an answer as the client asked for it, or calls. `None` where nothing would tell the one from the other.
///
/// # Errors
/// The client's schema cannot be enforced.
pub fn to_answer_or_calls(
    constraint: &Constraint,
    calls: &Value,
    translated: &Translated<'_>,
) -> Result<Option<Value>, Invalid> {
    let answer = match constraint {
        Constraint::JsonObject => Arc::new(json!({ "type": "object" })),
        Constraint::JsonSchema(asked) => translated(asked)?,
        Constraint::Regex(_) | Constraint::Choice(_) | Constraint::Grammar(_) => return Ok(None),
    };
    Ok(answer_or_calls(&answer, calls))
}

/// The functions that a model may call on its own accord. Nothing was promised of the arguments of those that are not
/// strict: where they cannot be enforced they are left open.
///
/// # Errors
/// A strict function's schema cannot be enforced.
pub fn callable(tools: &[Tool], dialect: Dialect) -> Result<Vec<Function<'_>>, Invalid> {
    let one = |tool| {
        let function = super::function(tool);
        match function.enforced(dialect) {
            Ok(_) => Ok(function),
            Err(unenforceable) if tool.strict => Err(tool.refused(unenforceable.error)),
            Err(_) => Ok(Function { parameters: Some(&OPEN), ..function }),
        }
    };
    tools.iter().map(one).collect()
}

//! Schemas in an engine's words, remembered by their text: an application asks for the same ones again and again, and a
//! translation takes longer than all else that is done for a short answer.

use std::{io, sync::Arc};

use cloudach_model::schema::{self, Dialect};
use cloudach_openai::{Invalid, JsonSchema};
use quick_cache::{Weighter, sync::Cache};
use serde_json::Value;

use crate::names::{Name, Names};

/// What the texts of remembered schemas may come to together, in bytes. In memory a translation takes about ten times as much.
const MOST: u64 = 2 * 1024 * 1024;

/// Longer ones are translated each time: writing one down to look for it takes microseconds, so far. In bytes.
const LONGEST: usize = 32 * 1024;

/// Translations that were made. Tenants share nothing, not even how long one takes.
pub struct Schemas {
    names: Names,
    known: Cache<Name, Known, ByText>,
}

#[derive(Debug, Clone)]
struct Known {
    translated: Arc<Value>,
    /// Of the client's text.
    bytes: u64,
}

#[derive(Debug, Clone)]
struct ByText;

impl Weighter<Name, Known> for ByText {
    fn weight(&self, _: &Name, known: &Known) -> u64 {
        known.bytes
    }
}

impl Schemas {
    /// None yet.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        const ABOUT: usize = 256;
        Ok(Self { names: Names::new()?, known: Cache::with_weighter(ABOUT, MOST, ByText) })
    }

    /// This schema of a tenant, as it may have been translated before. None: it is too long.
    pub fn look_up(self: &Arc<Self>, tenant: &str, dialect: Dialect, asked: &JsonSchema) -> Option<Translation> {
        let mut text = Bounded(Vec::new());
        serde_json::to_writer(&mut text, &asked.schema).ok()?;
        let text = String::from_utf8(text.0).ok()?;
        let words = match dialect {
            Dialect::Vllm => "vllm",
            Dialect::LlamaCpp => "llama.cpp",
        };
        let (name, bytes) = (self.names.of([tenant, words, &text]), text.len());
        let known = self.known.get(&name).map(|known| known.translated);
        Some(Translation { schemas: self.clone(), name, bytes, dialect, known })
    }
}

/// A schema's translation, made where it is not known.
#[derive(Debug)]
pub struct Translation {
    schemas: Arc<Schemas>,
    name: Name,
    bytes: usize,
    dialect: Dialect,
    known: Option<Arc<Value>>,
}

impl Translation {
    /// Whether it is there.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// That of the schema that was looked up.
    ///
    /// # Errors
    /// It cannot be enforced.
    pub fn of(&self, asked: &JsonSchema) -> Result<Arc<Value>, Invalid> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let translated = translated(asked, self.dialect)?;
        let known = Known { translated: translated.clone(), bytes: self.bytes as u64 };
        self.schemas.known.insert(self.name, known);
        Ok(translated)
    }
}

/// Takes the text of a schema that is not too long.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A schema in an engine's words.
///
/// # Errors
/// It cannot be enforced.
pub fn translated(asked: &JsonSchema, dialect: Dialect) -> Result<Arc<Value>, Invalid> {
    schema::translate(&asked.schema, dialect).map(Arc::new).map_err(|error| asked.refused(error))
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schemas({} texts)", self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use cloudach_openai::{Constraint, chat};
    use serde_json::json;

    use super::*;

    fn asked(schema: &Value) -> JsonSchema {
        let format = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }], "response_format": format });
        match chat::parse(body.to_string().as_bytes()).unwrap().constraint {
            Some(Constraint::JsonSchema(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_schema_is_translated_once_for_each_tenant_and_engine() {
        let schemas = Arc::new(Schemas::new().unwrap());
        let asked = asked(&json!({ "type": "object", "properties": { "a": { "type": "integer", "minimum": 3 } } }));
        for (tenant, dialect) in [("acme", Dialect::Vllm), ("globex", Dialect::Vllm), ("acme", Dialect::LlamaCpp)] {
            let first = schemas.look_up(tenant, dialect, &asked).unwrap();
            assert!(!first.is_known());
            let made = first.of(&asked).unwrap();
            let again = schemas.look_up(tenant, dialect, &asked).unwrap();
            assert!(again.is_known() && Arc::ptr_eq(&again.of(&asked).unwrap(), &made));
            assert_eq!(made, translated(&asked, dialect).unwrap());
        }
        assert_eq!(schemas.known.len(), 3);
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let schemas = Arc::new(Schemas::new().unwrap());
        let asked = asked(&json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/s" } } }));
        for _ in 0..2 {
            let refused = schemas.look_up("acme", Dialect::Vllm, &asked).unwrap().of(&asked).unwrap_err();
            assert_eq!(refused, translated(&asked, Dialect::Vllm).unwrap_err());
        }
        assert_eq!(schemas.known.len(), 0);
    }

    #[test]
    fn they_are_bounded() {
        let schemas = Arc::new(Schemas::new().unwrap());
        for number in 0..100 {
            let asked = asked(&json!({ "type": "string", "description": "x".repeat(LONGEST - 1000 - number) }));
            schemas.look_up("acme", Dialect::Vllm, &asked).unwrap().of(&asked).unwrap();
        }
        assert!(schemas.known.weight() <= MOST && schemas.known.len() > 1);
        let longer = asked(&json!({ "type": "string", "description": "x".repeat(LONGEST) }));
        assert!(schemas.look_up("acme", Dialect::Vllm, &longer).is_none());
    }
}

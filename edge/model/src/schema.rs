//! JSON Schemas, from what clients may send to what an engine's decoder truly enforces.
//!
//! Decoders pass over keywords, or read them in ways of their own, without a word. So a client's schema is read as
//! the set of values that it allows (`set.rs`), and that set is written down again in the few words that the decoder
//! keeps to. The written schema allows exactly the values that the client's does; where there are no words for
//! that, the schema is refused with the keyword and its place. Nothing is ever fetched, and `format` is an annotation.

mod algebra;
mod applicators;
mod arrangements;
mod arrays;
mod budget;
mod document;
mod error;
mod expression;
mod keywords;
mod names;
mod numbers;
mod objects;
mod pattern;
mod regex;
mod set;
mod strings;
mod uri;
mod write;

use serde_json::Value;

use algebra::Algebra;
use document::Document;
pub use error::SchemaError;

/// Whose words the translation is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// llguidance, vLLM's backend `guidance`.
    Vllm,
    /// What llama.cpp's own converter and llguidance both read alike: a build of llama.cpp has either.
    LlamaCpp,
}

/// The same set of values in an engine's words.
///
/// Takes at most a few seconds, whatever the schema; members keep the schema's order, in which engines write them.
pub fn translate(schema: &Value, dialect: Dialect) -> Result<Value, SchemaError> {
    let mut algebra = Algebra::new(Document::read(schema)?);
    let root = algebra.expressions.schema(0);
    if algebra.is_empty(root)? {
        return Err(SchemaError::Unsatisfiable { path: String::new() });
    }
    write::write(root, dialect, &mut algebra)
}

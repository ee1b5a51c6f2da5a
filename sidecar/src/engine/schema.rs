//! JSON Schemas on their way to an engine.

use serde_json::value::RawValue;

/// What holds a model to JSON without white space, as OpenAI's constrained answers are. Small models else write blanks
/// until their budget is gone. llguidance reads it, the library in vLLM (backend `guidance`) and in builds of llama.cpp;
/// what else there is passes over it. (Its `whitespace_pattern` may repeat itself and so bounds nothing, and its
/// separators are patterns in some versions and plain text in others.)
const TIGHT: &str = r#""x-guidance":{"whitespace_flexible":false}"#;

/// Any JSON object.
pub(super) const OBJECT: &str = r#"{"type":"object"}"#;

/// The schema as an engine gets it.
pub(super) fn tightened(schema: &str) -> Result<Box<RawValue>, serde_json::Error> {
    let schema: Box<RawValue> = serde_json::from_str(schema)?;
    let text = schema.get();
    match text.strip_prefix('{').map(str::trim_start) {
        // A client may have its own idea.
        Some(_) if text.contains(r#""x-guidance""#) => Ok(schema),
        Some("}") => RawValue::from_string(format!("{{{TIGHT}}}")),
        Some(rest) => RawValue::from_string(format!("{{{TIGHT},{rest}")),
        None => Ok(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_tightened_and_keep_their_order() {
        let tight = |schema| tightened(schema).unwrap().get().to_owned();
        assert_eq!(tight(r#"{"b":1,"a":2}"#), format!(r#"{{{TIGHT},"b":1,"a":2}}"#));
        assert_eq!(tight(" { } "), format!("{{{TIGHT}}}"));
        assert_eq!(tight("true"), "true");
        let own = r#"{"type":"object","x-guidance":{}}"#;
        assert_eq!(tight(own), own);
        assert!(tightened("{").is_err());
    }
}

//! The decoder itself: reads text byte by byte under a translated schema, as it would a model's tokens.

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde_json::Value;
use toktrie::ApproximateTokEnv;

pub struct Decoder {
    factory: ParserFactory,
}

impl Decoder {
    pub fn new() -> Self {
        let mut factory = ParserFactory::new_simple(&ApproximateTokEnv::single_byte_env()).expect("a token per byte");
        factory.quiet();
        Self { factory }
    }

    /// Compiles a schema as the sidecar sends it: white space is one blank at most.
    pub fn follow(&self, schema: &Value) -> Result<Follower, String> {
        let mut schema = schema.clone();
        if let Value::Object(members) = &mut schema {
            members.insert("x-guidance".into(), serde_json::json!({"whitespace_pattern": " ?"}));
        }
        let parser = self.factory.create_parser(TopLevelGrammar::from_json_schema(schema));
        match parser {
            Ok(parser) => Ok(Follower { matcher: Matcher::new(Ok(parser)) }),
            Err(error) => Err(error.to_string()),
        }
    }
}

pub struct Follower {
    matcher: Matcher,
}

impl Follower {
    /// Whether the decoder could write this text and end there.
    pub fn takes(&mut self, text: &str) -> bool {
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        let mut matcher = self.matcher.deep_clone();
        let read = matcher.try_consume_tokens(&tokens).expect("the matcher is sound");
        read == tokens.len() && matcher.is_accepting().expect("the matcher is sound")
    }

    /// Whether the decoder could write this value: as Python writes it, and without blanks.
    pub fn takes_value(&mut self, value: &Value) -> (bool, bool) {
        (self.takes(&python(value)), self.takes(&value.to_string()))
    }
}

/// `json.dumps(value, ensure_ascii=False)`.
fn python(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, member)| format!("{}: {}", Value::from(name.as_str()), python(member)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        plain => plain.to_string(),
    }
}

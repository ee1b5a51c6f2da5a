//! What the messages of a chat request are worth.

use serde_json::Value;

use super::{Encoding, count};

/// What a message costs beside its texts.
const PER_MESSAGE: u64 = 3;

/// What the opening of the answer costs.
const ANSWER: u64 = 3;

/// Counts a chat request's messages as OpenAI does: a fixed part, the role, the content (the texts of
/// its parts as one) and the name.
pub fn chat_prompt(encoding: Encoding, messages: &[Value]) -> u64 {
    ANSWER + messages.iter().map(|message| PER_MESSAGE + message_tokens(encoding, message)).sum::<u64>()
}

fn message_tokens(encoding: Encoding, message: &Value) -> u64 {
    ["role", "content", "name"].iter().map(|key| count(encoding, &text(message.get(*key)))).sum()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

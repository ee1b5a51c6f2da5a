//! What the messages of a chat request are worth.

use std::borrow::Cow;

use serde_json::Value;

use super::tools;
use super::{Encoding, count};
use crate::offered::Offered;

/// What a message costs beside its texts.
const PER_MESSAGE: u64 = 3;

/// What the opening of the answer costs.
const ANSWER: u64 = 3;

/// What a tool call in the history costs beside its texts.
const PER_TOOL_CALL: u64 = 3;

/// What offered tools save where there is a system message to put them under.
const TOOLS_IN_SYSTEM: u64 = 4;

/// Counts the prompt of a chat request.
///
/// Without tools this is what OpenAI counts: for each message a fixed part, the role, the content (the
/// texts of its parts as one) and the name. What tools cost is not published; they are counted by the
/// rule that fits best, which is exact for simple parameters and off by some tokens for others.
pub fn chat_prompt(encoding: Encoding, messages: &[Value], tools: &[Value]) -> u64 {
    let tools = (!tools.is_empty()).then(|| Offered::new(tools));
    chat_prompt_by(&|text| count(encoding, text), messages, tools.as_ref())
}

/// The same, where each text is counted by `count`, which may remember some.
pub fn chat_prompt_by(count: &dyn Fn(&str) -> u64, messages: &[Value], tools: Option<&Offered>) -> u64 {
    let texts: u64 = messages.iter().map(|message| PER_MESSAGE + message_tokens(count, message)).sum();
    ANSWER + texts + tools.map_or(0, |tools| tools_tokens(count, messages, tools))
}

fn message_tokens(count: &dyn Fn(&str) -> u64, message: &Value) -> u64 {
    let texts: u64 = ["role", "content", "name"].iter().map(|key| count(&text(message.get(*key)))).sum();
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let calls = calls.map(|call| {
        let part = |key: &str| count(&text(call.get("function").and_then(|function| function.get(key))));
        PER_TOOL_CALL + part("name") + part("arguments")
    });
    texts + calls.sum::<u64>()
}

fn text(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        Some(Value::String(text)) => text.into(),
        Some(Value::Array(parts)) => match &**parts {
            [part] => part.get("text").and_then(Value::as_str).unwrap_or_default().into(),
            parts => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<String>().into(),
        },
        _ => "".into(),
    }
}

/// What tools add: their declaration and, where there is a system message, a line end in it less a
/// message's worth of framing.
fn tools_tokens(count: &dyn Fn(&str) -> u64, messages: &[Value], tools: &Offered) -> u64 {
    let declared = count(tools.declaration()) + tools::FRAMING;
    let Some(system) = messages.iter().find(|message| message["role"] == "system") else { return declared };
    let content = text(system.get("content"));
    let plain = count(&content);
    let with_line_end = count(&(content.into_owned() + "\n"));
    (declared + with_line_end).saturating_sub(plain + TOOLS_IN_SYSTEM)
}

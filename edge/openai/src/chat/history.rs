//! Whether the calls and answers of a conversation belong together: templates
//! render orphans without complaint, and models then answer nonsense.

use std::collections::HashSet;

use crate::chat::message::{Message, ToolCall};
use crate::invalid::{Invalid, shorten};

/// Ids in one error text.
const MOST_NAMED: usize = 16;

/// Every call is answered right behind it, and every answer follows its call.
pub(crate) fn check(messages: &[Message]) -> Result<(), Invalid> {
    let mut position = 0;
    while let Some(message) = messages.get(position) {
        position += 1;
        match message {
            Message::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                let answers =
                    messages[position..].iter().take_while(|message| matches!(message, Message::Tool { .. })).count();
                check_answers(tool_calls, &messages[position..position + answers], position)?;
                position += answers;
            }
            Message::Tool { .. } => {
                return Err(Invalid::new(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                )
                .param(format_args!("messages.[{}].role", position - 1)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `start` is the position of the first answer.
fn check_answers(calls: &[ToolCall], answers: &[Message], start: usize) -> Result<(), Invalid> {
    let called: HashSet<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    let mut answered = HashSet::new();
    for (offset, answer) in answers.iter().enumerate() {
        let Message::Tool { tool_call_id, .. } = answer else { continue };
        if !called.contains(tool_call_id.as_str()) {
            return Err(Invalid::new(format!(
                "Invalid parameter: 'tool_call_id' of '{}' not found in 'tool_calls' of previous message.",
                shorten(tool_call_id)
            ))
            .param(format_args!("messages.[{}].tool_call_id", start + offset)));
        }
        answered.insert(tool_call_id.as_str());
    }
    let missing: Vec<&str> = calls
        .iter()
        .map(|call| call.id.as_str())
        .filter(|id| !answered.contains(id))
        .map(shorten)
        .take(MOST_NAMED)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        missing.join(", ")
    ))
    .param(format_args!("messages.[{}].role", start + answers.len())))
}

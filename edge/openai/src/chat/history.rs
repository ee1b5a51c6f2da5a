//! Whether the calls and answers of a conversation belong together: templates
//! render orphans without complaint, and models then answer nonsense.

use crate::chat::message::{Message, ToolCall};
use crate::invalid::Invalid;

/// Every call is answered right behind it, and every answer follows its call.
pub(crate) fn check(messages: &[Message]) -> Result<(), Invalid> {
    let mut position = 0;
    while let Some(message) = messages.get(position) {
        position += 1;
        match message {
            Message::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                let answers = messages[position..].iter().take_while(|message| matches!(message, Message::Tool { .. })).count();
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
    let mut answered = vec![false; calls.len()];
    for (offset, answer) in answers.iter().enumerate() {
        let Message::Tool { tool_call_id, .. } = answer else { continue };
        let mut known = false;
        for (call, answered) in calls.iter().zip(&mut answered) {
            if call.id == *tool_call_id {
                *answered = true;
                known = true;
            }
        }
        if !known {
            return Err(Invalid::new(format!(
                "Invalid parameter: 'tool_call_id' of '{}' not found in 'tool_calls' of previous message.",
                crate::invalid::shorten(tool_call_id)
            ))
            .param(format_args!("messages.[{}].tool_call_id", start + offset)));
        }
    }
    let missing: Vec<&str> = calls
        .iter()
        .zip(&answered)
        .filter(|(_, answered)| !**answered)
        .map(|(call, _)| crate::invalid::shorten(&call.id))
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

/// Ids in one error text.
const MOST_NAMED: usize = 16;

//! Whether the calls and answers of a conversation belong together: templates
//! render orphans without complaint, and models then answer nonsense.

use std::collections::HashSet;

use crate::chat::function_turns::FunctionTurns;
use crate::chat::message::{Message, ToolCall};
use crate::invalid::{Invalid, shorten};

/// Ids in one error text.
const MOST_NAMED: usize = 16;

/// Every call is answered right behind it, and every answer follows its call. Of functions OpenAI expects neither.
pub(crate) fn check(messages: &[Message], functions: &FunctionTurns) -> Result<(), Invalid> {
    let answer = |message: &&Message| match message {
        Message::Tool { tool_call_id, .. } => !functions.gave(tool_call_id),
        _ => false,
    };
    let mut position = 0;
    while let Some(message) = messages.get(position) {
        position += 1;
        match message {
            Message::Assistant { tool_calls, .. } if tool_calls.iter().any(|call| !functions.gave(&call.id)) => {
                let answers = messages[position..].iter().take_while(answer).count();
                check_answers(tool_calls, &messages[position..position + answers], position)?;
                position += answers;
            }
            message if answer(&message) => {
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

/// Who offers functions cannot have a history of tools.
pub(crate) fn check_is_of_functions(messages: &[Message], functions: &FunctionTurns) -> Result<(), Invalid> {
    let of_tools = |message: &Message| match message {
        Message::Assistant { tool_calls, .. } => tool_calls.iter().any(|call| !functions.gave(&call.id)),
        _ => false,
    };
    match messages.iter().position(of_tools) {
        None => Ok(()),
        Some(position) => Err(Invalid::new(
            "Invalid parameter: 'tool_calls' cannot be used when 'functions' are present. Please use 'tools' instead of \
             'functions'.",
        )
        .param(format_args!("messages.[{position}].tool_calls"))),
    }
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

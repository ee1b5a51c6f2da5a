//! `continue_final_message`: a prompt that ends inside its last message.
//!
//! Templates close every message, so that the open end has to be found afterwards: the last text gets a
//! mark, and the rendered prompt is cut where the mark came out.

use serde_json::{Map, Value};

use super::RenderError;

/// Ends in a space that tells whether the template trims what it prints.
const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// Marks the end of the last message's text.
pub(super) fn mark(messages: &mut [Map<String, Value>]) -> Result<(), RenderError> {
    let last = messages.last_mut().and_then(|message| message.get_mut("content"));
    let text = match last {
        Some(Value::String(text)) => Some(text),
        Some(Value::Array(parts)) => parts.iter_mut().rev().find_map(|part| match part.get_mut("text") {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }),
        _ => None,
    };
    text.map(|text| text.push_str(MARK))
        .ok_or(RenderError::CannotContinue("`continue_final_message` needs a last message with text"))
}

/// The prompt up to the mark; white space before it stays if the template keeps such.
pub(super) fn cut(mut prompt: String) -> Result<String, RenderError> {
    let at = prompt.rfind(MARK.trim_end()).ok_or(RenderError::CannotContinue(
        "the model's chat template does not print the last message, so that it cannot be continued",
    ))?;
    let keeps_space = prompt[at..].starts_with(MARK);
    prompt.truncate(at);
    if !keeps_space {
        prompt.truncate(prompt.trim_end().len());
    }
    Ok(prompt)
}

//! `continue_final_message`: a prompt that ends inside its last message.
//!
//! Templates close every message, so that the open end has to be found afterwards: the last text gets a
//! mark, and the rendered prompt is cut where the mark came out.

use super::RenderError;

/// What the last text is marked with. Ends in a space that tells whether the template trims what it prints.
pub(super) const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

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

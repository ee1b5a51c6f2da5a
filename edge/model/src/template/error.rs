//! What can go wrong with a template, and whose fault it is.

/// Why a model's template cannot be used. It fails the model, not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("the chat template has {bytes} bytes, more than the {limit} allowed")]
    TooLarge { bytes: usize, limit: usize },
    /// One expression or chain of branches is longer than any template in use has it.
    #[error("the chat template is too complex, line {line}: {message}")]
    TooComplex { line: usize, message: &'static str },
    #[error("the chat template cannot be read, line {line}: {message}")]
    Syntax { line: usize, message: String },
}

/// Why a conversation could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template itself refused the conversation, in its own words: the client's mistake.
    #[error("{0}")]
    Raised(String),
    /// The conversation does not have the shape of a chat request: the client's mistake.
    #[error("messages[{index}]: {problem}")]
    Message { index: usize, problem: &'static str },
    /// `tools` does not have the shape of a chat request: the client's mistake.
    #[error("tools[{index}]: {problem}")]
    Tool { index: usize, problem: &'static str },
    /// `continue_final_message` cannot be honoured: the client's mistake.
    #[error("{0}")]
    CannotContinue(&'static str),
    /// The prompt, or a text on the way to it, outgrew the bound.
    #[error("the rendered conversation is longer than {limit} bytes, shorten it")]
    TooLong { limit: usize },
    /// The template worked longer than it may, because the conversation is huge or the template hostile.
    #[error("the model's chat template needs too much work for this conversation, shorten it")]
    TooMuchWork,
    /// The template failed on this conversation, as it would in the reference implementation:
    /// most often it was not written for what the conversation holds.
    #[error("the model's chat template cannot render this conversation{}: {message}", at(.line))]
    Failed { line: Option<usize>, message: String },
}

fn at(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

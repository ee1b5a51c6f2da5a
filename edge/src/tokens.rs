//! Counts tokens as OpenAI's tools do, by tiktoken's tables.

mod remembered;

pub use self::remembered::Remembered;

use cloudach_model::tokens::{self, Encoding};
use cloudach_openai::PromptInput;

/// The tokens of a client's input. Token ids count as they are.
pub fn count_input(encoding: Encoding, input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => count_text(encoding, text),
        PromptInput::Tokens(ids) => ids.len() as u64,
    }
}

/// The tokens of a text.
pub fn count_text(encoding: Encoding, text: &str) -> u64 {
    tokens::count(encoding, text)
}

/// The size of these inputs: how long counting them takes.
pub fn bytes(inputs: &[PromptInput]) -> usize {
    let bytes = |input: &PromptInput| match input {
        PromptInput::Text(text) => text.len(),
        PromptInput::Tokens(ids) => size_of_val(ids.as_slice()),
    };
    inputs.iter().map(bytes).sum()
}

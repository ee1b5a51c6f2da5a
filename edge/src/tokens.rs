//! Counts tokens as OpenAI's tools do, without holding up the network threads.

use cloudach_model::tokens::{self, Encoding};
use cloudach_openai::PromptInput;

/// Text of more bytes than this is counted on a thread for long work: it takes about a millisecond.
pub const LONG: usize = 16 * 1024;

/// Loads the token tables.
pub fn preload() {
    for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
        encoding.preload();
    }
}

/// The tokens of these texts together.
pub fn count<'a>(encoding: Encoding, texts: impl IntoIterator<Item = &'a str>) -> u64 {
    texts.into_iter().map(|text| tokens::count(encoding, text)).sum()
}

/// The tokens of a client's input. Token ids count as they are.
pub fn count_input(encoding: Encoding, input: &PromptInput) -> u64 {
    match input {
        PromptInput::Text(text) => tokens::count(encoding, text),
        PromptInput::Tokens(ids) => ids.len() as u64,
    }
}

/// Whether counting these takes so long that it must leave the network threads.
pub fn are_long(inputs: &[PromptInput]) -> bool {
    let bytes = |input: &PromptInput| match input {
        PromptInput::Text(text) => text.len(),
        PromptInput::Tokens(ids) => size_of_val(ids.as_slice()),
    };
    inputs.iter().map(bytes).sum::<usize>() > LONG
}

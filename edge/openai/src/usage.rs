//! What an answer used, as clients read it.

use crate::json;

/// Token counts of one answer, over all of its choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, counted once whatever `n` is.
    pub prompt_tokens: u64,
    /// Tokens of all choices together.
    pub completion_tokens: u64,
    /// Those of the prompt that the engine had cached.
    pub cached_tokens: u64,
    /// Those of the completion that were reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// The form of chats: all details, zeros included.
    pub(crate) fn write_detailed(&self, out: &mut Vec<u8>) {
        self.write_counts(out);
        out.extend_from_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
        json::write(out, &self.cached_tokens);
        out.extend_from_slice(b",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":");
        json::write(out, &self.reasoning_tokens);
        out.extend_from_slice(
            b",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
        );
    }

    /// The form of completions: three counts.
    pub(crate) fn write_plain(&self, out: &mut Vec<u8>) {
        self.write_counts(out);
        out.push(b'}');
    }

    fn write_counts(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"prompt_tokens\":");
        json::write(out, &self.prompt_tokens);
        out.extend_from_slice(b",\"completion_tokens\":");
        json::write(out, &self.completion_tokens);
        out.extend_from_slice(b",\"total_tokens\":");
        json::write(out, &self.prompt_tokens.saturating_add(self.completion_tokens));
    }
}

//! How many tokens a request is taken to need before anybody knows.

/// What is reserved for a choice whose client names no `max_tokens`: so much is missing from `x-ratelimit-remaining-tokens`
/// of OpenAI's answers beside the prompt. What it really uses is settled at its end.
const UNBOUNDED_CHOICE: u64 = 16;

/// Bytes of a token, where only the engine counts: OpenAI's own rule of thumb.
const BYTES_PER_TOKEN: u64 = 4;

/// What is known of a request's size at its start.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// As the client will be told; none where the engine counts.
    pub prompt_tokens: Option<u64>,
    pub prompt_bytes: usize,
    /// For each choice, as the client asked.
    pub max_tokens: Option<u32>,
    pub choices: usize,
}

impl Cost {
    /// The tokens to reserve.
    pub fn tokens(&self) -> u64 {
        let choice = self.max_tokens.map_or(UNBOUNDED_CHOICE, u64::from);
        self.prompt().saturating_add(choice.saturating_mul(self.choices as u64))
    }

    /// The tokens of the prompt, guessed where only the engine counts.
    pub fn prompt(&self) -> u64 {
        self.prompt_tokens.unwrap_or_else(|| (self.prompt_bytes as u64).div_ceil(BYTES_PER_TOKEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_and_all_choices() {
        let cost = Cost { prompt_tokens: Some(10), prompt_bytes: 99, max_tokens: Some(100), choices: 3 };
        assert_eq!(cost.tokens(), 310);
        assert_eq!(Cost { max_tokens: None, ..cost }.tokens(), 58);
        assert_eq!(Cost { prompt_tokens: None, choices: 0, ..cost }.tokens(), 25, "embeddings, counted by the engine");
        let largest = Cost { prompt_tokens: Some(u64::MAX), max_tokens: Some(u32::MAX), choices: usize::MAX, ..cost };
        assert_eq!(largest.tokens(), u64::MAX);
    }
}

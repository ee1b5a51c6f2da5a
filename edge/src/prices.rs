//! What tokens cost, by the catalogue.

use cloudach_openai::Usage;
use cloudach_proto::v1;

use crate::access::limits::{Cost, Usd};

/// Prices of a model's tokens, in millionths of a millionth of a dollar each: what a million of them cost in millionths of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    prompt: u64,
    cached: u64,
    completion: u64,
}

impl Prices {
    /// Those that the catalogue names; else nothing costs anything.
    pub fn of(told: Option<&v1::Prices>) -> Self {
        told.map_or_else(Self::default, |told| Self {
            prompt: told.prompt,
            cached: told.cached.unwrap_or(told.prompt),
            completion: told.completion,
        })
    }

    /// What a request is taken to cost before anybody knows, in billionths of a dollar.
    pub fn estimate(&self, cost: &Cost) -> u64 {
        let prompt = cost.prompt();
        self.sum(prompt, 0, cost.tokens().saturating_sub(prompt))
    }

    /// What a request has cost, in billionths of a dollar.
    pub fn of_usage(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        self.sum(usage.prompt_tokens - cached, cached, usage.completion_tokens)
    }

    /// Rounded up: what costs anything is never free.
    fn sum(&self, prompt: u64, cached: u64, completion: u64) -> u64 {
        let times = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let sum = times(prompt, self.prompt) + times(cached, self.cached) + times(completion, self.completion);
        Usd::from_billionths(u64::try_from(sum.div_ceil(1000)).unwrap_or(u64::MAX)).billionths()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_have_their_own_price() {
        // $0.15, $0.075 and $0.60 for a million.
        let told = v1::Prices { prompt: 150_000, cached: Some(75_000), completion: 600_000 };
        let usage = Usage { prompt_tokens: 1000, cached_tokens: 400, completion_tokens: 10, ..Usage::default() };
        assert_eq!(Prices::of(Some(&told)).of_usage(&usage), 600 * 150 + 400 * 75 + 10 * 600);
        let told = v1::Prices { cached: None, ..told };
        assert_eq!(Prices::of(Some(&told)).of_usage(&usage), 1000 * 150 + 10 * 600);
        assert_eq!(Prices::of(None).of_usage(&usage), 0);
        let cheap = Prices::of(Some(&v1::Prices { prompt: 1, cached: None, completion: 0 }));
        assert_eq!(cheap.of_usage(&Usage { prompt_tokens: 1, ..Usage::default() }), 1, "never free");
    }
}

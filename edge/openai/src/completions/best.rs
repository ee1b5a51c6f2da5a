//! Which of several continuations are the best: `best_of`.

/// What is known of one continuation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The sum of its tokens' natural log-probabilities.
    pub logprob: f64,
    /// How many tokens those are.
    pub tokens: u32,
}

impl Candidate {
    /// What OpenAI documents as the measure: the log-probability per token. Nothing generated, or nothing known, is worst.
    fn score(self) -> f64 {
        let mean = self.logprob / f64::from(self.tokens);
        if mean.is_finite() { mean } else { f64::NEG_INFINITY }
    }
}

/// The places of the `n` best candidates, the best first; among equals the earlier first.
pub fn best(candidates: &[Candidate], n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..candidates.len()).collect();
    places.sort_by(|one, other| candidates[*other].score().total_cmp(&candidates[*one].score()));
    places.truncate(n);
    places
}

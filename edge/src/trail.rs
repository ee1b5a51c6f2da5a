//! The log-probabilities of a text that is told in part only: of the answer, and not of reasoning, calls and what marks
//! them.

use std::collections::VecDeque;

use cloudach_openai::TokenLogprob;

/// The tokens whose text may still be told, with that text.
#[derive(Debug, Default)]
pub struct Trail {
    text: String,
    /// Each with the place of its first byte in the text.
    tokens: VecDeque<(usize, TokenLogprob)>,
}

impl Trail {
    /// Takes a piece of the engine's text with its tokens. Their bytes need not add up to it, as an engine may hold back a
    /// part of a character: no token begins outside of its piece.
    pub fn push(&mut self, text: &str, tokens: Vec<TokenLogprob>) {
        if tokens.is_empty() && self.tokens.is_empty() {
            return;
        }
        let mut offset = 0;
        for token in tokens {
            let bytes = token.bytes.as_ref().map_or(token.token.len(), Vec::len);
            self.tokens.push_back((self.text.len() + text.len().min(offset), token));
            offset += bytes;
        }
        self.text.push_str(text);
    }

    /// This text is told next: gives its tokens, and forgets those before it.
    pub fn take(&mut self, told: &str) -> Vec<TokenLogprob> {
        let Some(begin) = self.find(told) else { return Vec::new() };
        self.forget_to(begin);
        let mut of_it = Vec::new();
        while let Some((_, token)) = self.tokens.pop_front_if(|(place, _)| *place < told.len()) {
            of_it.push(token);
        }
        self.forget_to(told.len());
        of_it
    }

    /// This text comes next, and its tokens are not told.
    pub fn skip(&mut self, text: &str) {
        if let Some(begin) = self.find(text) {
            self.forget_to(begin + text.len());
        }
    }

    /// Where this text is. What hides before it may contain it, too, as `</think>` does `hi`: a place where whole tokens make
    /// it up goes before one where a token begins with it, and that before any other.
    fn find(&self, text: &str) -> Option<usize> {
        // Most answers are told without any.
        if self.tokens.is_empty() {
            return None;
        }
        let is_border = |place: usize| {
            place == 0
                || place == self.text.len()
                || self.tokens.binary_search_by_key(&place, |(place, _)| *place).is_ok()
        };
        let places = || self.text.match_indices(text).map(|(place, _)| place);
        let begins = || places().filter(|&place| is_border(place));
        let whole = begins().find(|place| is_border(place + text.len()));
        whole.or_else(|| begins().next()).or_else(|| places().next())
    }

    /// Forgets the text up to there, and its tokens but one that reaches beyond. One without text goes with what follows.
    fn forget_to(&mut self, end: usize) {
        let after_first = |tokens: &VecDeque<(usize, _)>| tokens.get(1).map_or(self.text.len(), |(place, _)| *place);
        while self.tokens.front().is_some_and(|(place, _)| *place < end) && after_first(&self.tokens) <= end {
            self.tokens.pop_front();
        }
        self.text.drain(..end);
        for (place, _) in &mut self.tokens {
            *place = place.saturating_sub(end);
        }
    }

    /// What has come until now is told in another way, or not at all.
    pub fn forget(&mut self) {
        self.text.clear();
        self.tokens.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(texts: &[&str]) -> Vec<TokenLogprob> {
        let token = |text: &&str| TokenLogprob { token: (*text).to_owned(), ..TokenLogprob::default() };
        texts.iter().map(token).collect()
    }

    fn told(trail: &mut Trail, text: &str) -> Vec<String> {
        trail.take(text).into_iter().map(|token| token.token).collect()
    }

    #[test]
    fn parts_of_characters_go_with_the_whole_one() {
        let mut trail = Trail::default();
        trail.push("a", tokens(&["a"]));
        trail.push("é", tokens(&["", "é"]));
        assert_eq!(told(&mut trail, "a"), ["a"]);
        assert_eq!(told(&mut trail, "é"), ["", "é"]);
        trail.push("a", tokens(&["a"]));
        trail.push("é", tokens(&["", "é"]));
        trail.skip("a");
        assert_eq!(told(&mut trail, "é"), ["", "é"]);
    }

    #[test]
    fn tokens_go_with_the_text_that_is_told() {
        let mut trail = Trail::default();
        trail.push("<think>", tokens(&["<think>"]));
        trail.push("hm</think>Yes, ", tokens(&["hm", "</think>", "Yes", ",", " "]));
        trail.skip("hm");
        assert_eq!(told(&mut trail, "Yes, "), ["Yes", ",", " "]);
        trail.push("it is", tokens(&["it", " is"]));
        assert_eq!(told(&mut trail, "it"), ["it"]);
        assert_eq!(told(&mut trail, " is"), [" is"]);
        trail.push("<call>", tokens(&["<call>"]));
        trail.forget();
        trail.push("end", tokens(&["end"]));
        assert_eq!(told(&mut trail, "end"), ["end"]);
        assert!(told(&mut trail, "nothing").is_empty());
    }

    /// Checklist C22.
    #[test]
    fn what_is_hidden_may_contain_what_is_told() {
        for (hidden, answer) in [
            (&["</think>", "\n\n"][..], &["hi", " there"][..]),
            (&["</think>", "\n\n"], &["<", "p", ">"]),
            (&["</", "think", ">\n\n"], &["t", "he"]),
            (&["<|channel|>", "final", "<|message|>"], &["a", " message"]),
        ] {
            let mut trail = Trail::default();
            for token in hidden.iter().chain(answer) {
                trail.push(token, tokens(&[token]));
                if answer.contains(token) {
                    assert_eq!(told(&mut trail, token), [*token], "behind {hidden:?}");
                }
            }
            trail.push(&[hidden, answer].concat().concat(), tokens(&[hidden, answer].concat()));
            assert_eq!(told(&mut trail, &answer.concat()), answer, "at once, behind {hidden:?}");
        }
    }

    #[test]
    fn a_token_that_reaches_over_a_border_is_told_once() {
        let mut trail = Trail::default();
        trail.push("hm</think>yes", tokens(&["hm</think>yes"]));
        trail.skip("hm");
        assert_eq!(told(&mut trail, "y"), ["hm</think>yes"]);
        assert!(told(&mut trail, "es").is_empty());
        trail.push("a>b c", tokens(&["a>b", " c"]));
        assert_eq!(told(&mut trail, "b"), ["a>b"]);
        assert_eq!(told(&mut trail, " c"), [" c"]);
    }
}

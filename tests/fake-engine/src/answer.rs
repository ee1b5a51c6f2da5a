//! What is answered: the token at every position of an answer, as a pure function of prompt, seed and script.
//! Nothing here depends on the engine, so that every replica gives the same answer and can go on with another's.

use std::sync::Arc;

use crate::vocabulary;

/// The kind of answer a script gives.
#[derive(Debug, Clone)]
pub enum Answer {
    /// So many words drawn from the prompt and the seed.
    Words { tokens: u32 },
    /// These tokens. They may cut a character in the middle; its text is then held back until it is whole.
    Tokens(Arc<[Box<[u8]>]>),
}

impl Answer {
    /// This text, one token per word with the space before it.
    pub fn text(text: &str) -> Self {
        let mut tokens: Vec<Box<[u8]>> = Vec::new();
        let mut start = 0;
        for (at, character) in text.char_indices() {
            let after_word = at > start && !text[start..at].ends_with(char::is_whitespace);
            if character.is_whitespace() && after_word {
                tokens.push(text.as_bytes()[start..at].into());
                start = at;
            }
        }
        tokens.push(text.as_bytes()[start..].into());
        Self::bounded(tokens)
    }

    /// This text in tokens of `size` bytes, which cuts characters of several bytes.
    pub fn cut(text: &str, size: usize) -> Self {
        Self::bounded(text.as_bytes().chunks(size.max(1)).map(Box::from).collect())
    }

    /// This text cut at these bytes, which may be in any order, inside a character, or beyond the end. One token more
    /// than there are cuts, some of them empty.
    pub fn cut_at(text: &str, cuts: &[usize]) -> Self {
        let mut cuts: Vec<usize> = cuts.iter().map(|&cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        cuts.truncate(vocabulary::MAX_SCRIPTED as usize - 1);
        cuts.push(text.len());
        let mut start = 0;
        let mut token = |end: usize| Box::from(&text.as_bytes()[std::mem::replace(&mut start, end)..end]);
        Self::Tokens(cuts.into_iter().map(&mut token).collect())
    }

    /// These tokens, as they are.
    pub fn tokens<T: AsRef<[u8]>>(tokens: &[T]) -> Self {
        Self::bounded(tokens.iter().map(|token| token.as_ref().into()).collect())
    }

    fn bounded(mut tokens: Vec<Box<[u8]>>) -> Self {
        tokens.retain(|token| !token.is_empty());
        tokens.truncate(vocabulary::MAX_SCRIPTED as usize);
        Self::Tokens(tokens.into())
    }
}

/// One choice's answer, from its first token to its planned end.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    key: u64,
    script: Arc<[Box<[u8]>]>,
    /// How many tokens there are before the answer ends by itself; `None` when the end of sequence is ignored.
    pub(crate) length: Option<u32>,
    eos: bool,
}

impl Line {
    /// `prompt` is the prompt without the tokens emitted before.
    pub(crate) fn new(answer: &Answer, prompt: &[u32], seed: u64, choice: u32, eos: bool) -> Self {
        let mut key = mix(seed ^ (u64::from(choice) << 32));
        for &id in prompt {
            key = (key ^ u64::from(id)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let (script, words): (Arc<[Box<[u8]>]>, u32) = match answer {
            Answer::Words { tokens } => (Arc::default(), *tokens),
            Answer::Tokens(tokens) => (Arc::clone(tokens), u32::try_from(tokens.len()).unwrap_or(u32::MAX)),
        };
        Self { key: mix(key), script, length: Some(words.saturating_add(u32::from(eos))), eos }
    }

    /// The token at this position of the answer.
    pub(crate) fn token(&self, position: u32) -> u32 {
        if self.eos && self.length == Some(position + 1) {
            return vocabulary::EOS;
        }
        if (position as usize) < self.script.len() {
            return vocabulary::scripted(position);
        }
        vocabulary::word(self.draw(position))
    }

    /// The token's log-probability: always negative, the same on every engine.
    pub(crate) fn logprob(&self, position: u32) -> f64 {
        let thousandth = u32::try_from(mix(self.draw(position)) % 2000).expect("a remainder of 2000 fits");
        -f64::from(thousandth + 1) / 1000.0
    }

    /// The token in the given place behind the chosen one, with its log-probability.
    pub(crate) fn runner_up(&self, position: u32, place: u32) -> (u32, f64) {
        let draw = mix(self.draw(position) ^ u64::from(place));
        (vocabulary::word(draw), self.logprob(position) - f64::from(place))
    }

    pub(crate) fn script(&self) -> &[Box<[u8]>] {
        &self.script
    }

    fn draw(&self, position: u32) -> u64 {
        mix(self.key.wrapping_add(u64::from(position)))
    }
}

/// The log-probability of a token of a prompt: always negative, the same on every engine.
pub(crate) fn prompt_logprob(position: u32, id: u32) -> f64 {
    let draw = mix((u64::from(position) << 32) | u64::from(id));
    -f64::from(u32::try_from(draw % 10_000).expect("a remainder of 10000 fits") + 1) / 1000.0
}

/// Spreads a number over all 64 bits (splitmix64's finisher).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(answer: &Answer) -> Vec<String> {
        match answer {
            Answer::Tokens(tokens) => tokens.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect(),
            Answer::Words { .. } => Vec::new(),
        }
    }

    #[test]
    fn text_is_cut_before_the_spaces() {
        assert_eq!(pieces(&Answer::text("Hello big  world")), ["Hello", " big", "  world"]);
        assert_eq!(pieces(&Answer::text("one")), ["one"]);
        assert!(pieces(&Answer::text("")).is_empty());
    }

    #[test]
    fn text_is_cut_where_it_is_told() {
        let tokens = |cuts: &[usize]| match Answer::cut_at("aé!", cuts) {
            Answer::Tokens(tokens) => tokens.iter().map(|token| token.to_vec()).collect::<Vec<_>>(),
            Answer::Words { .. } => Vec::new(),
        };
        assert_eq!(tokens(&[2]), [&b"a\xc3"[..], b"\xa9!"]);
        assert_eq!(tokens(&[0]), [&b""[..], "aé!".as_bytes()]);
        assert_eq!(tokens(&[99]), ["aé!".as_bytes(), b""]);
        assert_eq!(tokens(&[3, 1]), [&b"a"[..], "é".as_bytes(), b"!"]);
    }

    #[test]
    fn answers_depend_on_prompt_seed_and_choice_only() {
        let answer = Answer::Words { tokens: 4 };
        let line = |prompt: &[u32], seed, choice| {
            let line = Line::new(&answer, prompt, seed, choice, false);
            (0..4).map(|position| line.token(position)).collect::<Vec<_>>()
        };
        assert_eq!(line(&[1, 2], 7, 0), line(&[1, 2], 7, 0));
        assert_ne!(line(&[1, 2], 7, 0), line(&[1, 3], 7, 0));
        assert_ne!(line(&[1, 2], 7, 0), line(&[1, 2], 8, 0));
        assert_ne!(line(&[1, 2], 7, 0), line(&[1, 2], 7, 1));
    }

    #[test]
    fn the_end_of_sequence_is_the_last_token() {
        let line = Line::new(&Answer::Words { tokens: 2 }, &[1], 0, 0, true);
        assert_eq!(line.length, Some(3));
        assert_eq!(line.token(2), vocabulary::EOS);
    }
}

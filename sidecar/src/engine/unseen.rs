//! Log-probabilities of tokens that showed no text yet. The last of them may be the token that ends the answer, which
//! OpenAI does not list; so they wait until more text or the end comes. No I/O.

use std::mem;

use cloudach_proto::v1::TokenLogprob;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    entries: Vec<TokenLogprob>,
}

impl Unseen {
    /// Takes the entries that came with `text` and returns those that are to be listed now: up to the last one whose text
    /// that is.
    pub(super) fn pass(&mut self, text: &str, mut entries: Vec<TokenLogprob>) -> Vec<TokenLogprob> {
        if text.is_empty() {
            self.entries.extend(entries);
            return Vec::new();
        }
        if !self.entries.is_empty() {
            self.entries.append(&mut entries);
            mem::swap(&mut self.entries, &mut entries);
        }
        if entries.last().is_some_and(|last| !tells(last)) {
            self.entries = entries.split_off(told(&entries));
        }
        entries
    }

    /// The text of what waits, as bytes.
    pub(super) fn spelled(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| &entry.bytes).copied().collect()
    }

    /// The answer is over with `text`. Returns what is still to be listed: not the token that ended it, if one did.
    pub(super) fn end(&mut self, text: &str, entries: Vec<TokenLogprob>, by_token: bool) -> Vec<TokenLogprob> {
        self.entries.extend(entries);
        let mut listed = mem::take(&mut self.entries);
        // An engine that was told to show special tokens has shown this one.
        let shown = |last: &TokenLogprob| !last.token.is_empty() && text.ends_with(&last.token);
        if by_token && listed.last().is_some_and(|last| !shown(last)) {
            listed.pop();
        }
        // Parts of a character that the answer ends in the middle of, where the engine does not tell their bytes: neither
        // the text nor an entry could say what they were.
        listed.truncate(told(&listed));
        listed
    }
}

/// How many of the entries there are up to the last one that tells anything.
fn told(entries: &[TokenLogprob]) -> usize {
    entries.iter().rposition(tells).map_or(0, |last| last + 1)
}

/// Whether an entry says what its token is. vLLM's say nothing of the parts of a character but the last.
fn tells(entry: &TokenLogprob) -> bool {
    !entry.token.is_empty() || !entry.bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(tokens: &[&str]) -> Vec<TokenLogprob> {
        let entry = |&token: &&str| TokenLogprob {
            token: token.to_owned(),
            bytes: token.as_bytes().to_vec(),
            ..TokenLogprob::default()
        };
        tokens.iter().map(entry).collect()
    }

    #[test]
    fn the_token_that_ends_an_answer_is_not_listed() {
        for end in ["", "<|im_end|>"] {
            let mut unseen = Unseen::default();
            assert_eq!(unseen.pass("a", entries(&["a"])), entries(&["a"]));
            // In an event of its own, and in the last one.
            assert_eq!(unseen.pass("", entries(&[end])), entries(&[]));
            assert_eq!(unseen.end("", entries(&[]), true), entries(&[]));
            assert_eq!(unseen.end("", entries(&[end]), true), entries(&[]));
            assert_eq!(unseen.end("b", entries(&["b", end]), true), entries(&["b"]));
        }
    }

    #[test]
    fn every_other_token_is_listed() {
        let mut unseen = Unseen::default();
        assert_eq!(unseen.pass("", entries(&["\u{fffd}"])), entries(&[]));
        assert_eq!(unseen.pass("é", entries(&["é"])), entries(&["\u{fffd}", "é"]));
        assert_eq!(unseen.pass("a", entries(&["a", ""])), entries(&["a"]), "a part is told with the rest");
        assert_eq!(unseen.pass("é", entries(&["é"])), entries(&["", "é"]));
        assert_eq!(unseen.pass("", entries(&["EN"])), entries(&[]));
        assert_eq!(unseen.end("", entries(&["D"]), false), entries(&["EN", "D"]));
        assert_eq!(unseen.end("<eos>", entries(&["<eos>"]), true), entries(&["<eos>"]), "special tokens are shown");
    }
    #[test]
    fn what_a_cut_character_leaves_is_not_listed() {
        let mut unseen = Unseen::default();
        assert_eq!(unseen.pass("", entries(&[""])), entries(&[]));
        assert_eq!(unseen.pass("🌱", entries(&["🌱"])), entries(&["", "🌱"]), "the parts of a whole one are");
        assert_eq!(unseen.pass("", entries(&[""])), entries(&[]));
        assert_eq!(unseen.end("", entries(&[""]), false), entries(&[]));
        assert_eq!(unseen.end("a", entries(&["a", ""]), false), entries(&["a"]));
        assert_eq!(unseen.end("", entries(&["", "<eos>"]), true), entries(&[]));
    }
}

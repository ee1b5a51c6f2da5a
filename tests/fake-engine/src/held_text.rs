//! Token bytes become text that may be shown: whole characters only, and nothing that may yet become a stop string.

/// What an engine's detokenizer holds back.
#[derive(Debug, Default)]
pub(crate) struct HeldText {
    /// Tokens since the last one that ended between two characters.
    partial: Vec<u8>,
    /// Whole characters that are not shown, or that a stop string may still begin in.
    held: String,
    /// How many bytes of those were shown.
    shown: usize,
}

/// The stop strings of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    pub(crate) texts: Vec<String>,
    /// Keeps the stop string in the text; nothing is held back then.
    pub(crate) include: bool,
    pub(crate) hold: Hold,
}

/// How much of the text waits for what may become a stop string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// As many characters as the longest stop string has, but one, whatever they are: vLLM.
    #[default]
    Longest,
    /// What is the beginning of a stop string: llama.cpp.
    Beginnings,
}

impl HeldText {
    /// Takes a token's bytes and appends what may be shown to `shown`. Gives the index of a stop string that is reached.
    pub(crate) fn push(&mut self, token: &[u8], stops: &Stops, checked: bool, shown: &mut String) -> Option<usize> {
        self.take_characters(token);
        if checked && let Some((at, which)) = self.first_stop(stops) {
            let end = if stops.include { at + stops.texts[which].len() } else { at };
            shown.push_str(&self.held[self.shown.min(end)..end]);
            *self = Self::default();
            return Some(which);
        }
        let window = self.last_characters(stops);
        let end = match (stops.include, stops.hold) {
            (true, _) => self.held.len(),
            (false, Hold::Longest) => window,
            (false, Hold::Beginnings) => self.beginning(stops),
        };
        shown.push_str(&self.held[self.shown..end]);
        let done = end.min(window);
        self.held.drain(..done);
        self.shown = end - done;
        None
    }

    /// Appends everything that was held back: the answer ends here. The tokens of a character that was never completed
    /// are lost, as with both engines.
    pub(crate) fn flush(&mut self, shown: &mut String) {
        shown.push_str(&self.held[self.shown..]);
        *self = Self::default();
    }

    pub(crate) fn is_inside_character(&self) -> bool {
        !self.partial.is_empty()
    }

    /// A token that ends inside a character waits whole, also the characters before that one: both engines show text
    /// only when all of it is complete.
    fn take_characters(&mut self, token: &[u8]) {
        if self.partial.is_empty()
            && let Ok(whole) = std::str::from_utf8(token)
        {
            self.held.push_str(whole);
            return;
        }
        self.partial.extend_from_slice(token);
        let text = String::from_utf8_lossy(&self.partial);
        if !text.ends_with(char::REPLACEMENT_CHARACTER) {
            self.held.push_str(&text);
            self.partial.clear();
        }
    }

    /// Where the last characters begin: as many as the longest stop string has, but one.
    fn last_characters(&self, stops: &Stops) -> usize {
        let longest = stops.texts.iter().map(|text| text.chars().count()).max().unwrap_or(1);
        let mut characters = self.held.char_indices().rev().take(longest.saturating_sub(1));
        characters.by_ref().last().map_or(self.held.len(), |(at, _)| at)
    }

    /// Where the longest end begins that a stop string begins with.
    fn beginning(&self, stops: &Stops) -> usize {
        let begins = |at: &usize| stops.texts.iter().any(|text| text.starts_with(&self.held[*at..]));
        self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len())
    }

    fn first_stop(&self, stops: &Stops) -> Option<(usize, usize)> {
        let found = |(which, text): (usize, &String)| self.held.find(text.as_str()).map(|at| (at, which));
        stops.texts.iter().enumerate().filter_map(found).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tokens: &[&[u8]], stops: &Stops) -> (Vec<String>, Option<usize>) {
        let mut held = HeldText::default();
        let mut pieces = Vec::new();
        for token in tokens {
            let mut shown = String::new();
            let stop = held.push(token, stops, true, &mut shown);
            pieces.push(shown);
            if stop.is_some() {
                return (pieces, stop);
            }
        }
        let mut shown = String::new();
        held.flush(&mut shown);
        pieces.push(shown);
        (pieces, None)
    }

    #[test]
    fn characters_come_whole() {
        let crab = "🦀".as_bytes();
        let (pieces, _) = run(&[&crab[..1], &crab[1..3], &crab[3..], b"!"], &Stops::default());
        assert_eq!(pieces, ["", "", "🦀", "!", ""]);
    }

    #[test]
    fn a_token_with_the_start_of_a_character_waits_whole() {
        let (pieces, _) = run(&["ab日".as_bytes(), &"cé".as_bytes()[..2], &"é!".as_bytes()[1..]], &Stops::default());
        assert_eq!(pieces, ["ab日", "", "cé!", ""]);
        let (pieces, _) = run(&[b"a", &"cé".as_bytes()[..2]], &Stops::default());
        assert_eq!(pieces, ["a", "", ""], "lost with the character that is never completed");
    }

    #[test]
    fn wrong_bytes_become_replacement_characters() {
        let (pieces, _) = run(&[b"a\xff", b"\xe6\x97", b"b"], &Stops::default());
        assert_eq!(pieces, ["", "", "a\u{fffd}\u{fffd}b", ""]);
    }

    fn stop(include: bool, hold: Hold) -> Stops {
        Stops { texts: vec!["END".into()], include, hold }
    }

    #[test]
    fn a_stop_string_over_tokens_is_cut_out() {
        for hold in [Hold::Longest, Hold::Beginnings] {
            let (pieces, found) = run(&[b"abE", b"N", b"Dxyz"], &stop(false, hold));
            assert_eq!((pieces.concat().as_str(), found), ("ab", Some(0)));
        }
    }

    #[test]
    fn nothing_is_held_back_where_it_is_included() {
        let (pieces, found) = run(&[b"abE", b"N", b"Dxyz"], &stop(true, Hold::Longest));
        assert_eq!((pieces, found), (vec!["abE".into(), "N".into(), "D".into()], Some(0)));
        let (pieces, found) = run(&[b"ab cd ef", b" gh"], &stop(true, Hold::Longest));
        assert_eq!((pieces, found), (vec!["ab cd ef".into(), " gh".into(), String::new()], None));
    }

    #[test]
    fn what_looked_like_a_stop_string_comes_in_the_end() {
        let pieces = |hold| run(&[b"abE", b"N", b"xyz"], &stop(false, hold)).0;
        assert_eq!(pieces(Hold::Longest), ["a", "b", "ENx", "yz"]);
        assert_eq!(pieces(Hold::Beginnings), ["ab", "", "ENxyz", ""]);
    }
}

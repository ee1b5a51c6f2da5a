//! Token bytes become text that may be shown: whole characters only, and nothing that may yet become a stop string.

/// What an engine's detokenizer holds back.
#[derive(Debug, Default)]
pub(crate) struct HeldText {
    /// The first bytes of a character whose last ones have not come.
    partial: Vec<u8>,
    /// Whole characters that may be the beginning of a stop string.
    held: String,
}

/// The stop strings of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    pub(crate) texts: Vec<String>,
    /// Keeps the stop string in the text.
    pub(crate) include: bool,
}

impl HeldText {
    /// Takes a token's bytes and appends what may be shown to `shown`. Gives the index of a stop string that is reached.
    pub(crate) fn push(&mut self, token: &[u8], stops: &Stops, checked: bool, shown: &mut String) -> Option<usize> {
        self.take_characters(token);
        if checked && let Some((at, which)) = self.first_stop(stops) {
            let end = if stops.include { at + stops.texts[which].len() } else { at };
            shown.push_str(&self.held[..end]);
            self.held.clear();
            self.partial.clear();
            return Some(which);
        }
        let keep = stops.texts.iter().map(|text| text.chars().count()).max().unwrap_or(1).saturating_sub(1);
        let mut end = self.held.len();
        for (at, _) in self.held.char_indices().rev().take(keep) {
            end = at;
        }
        shown.push_str(&self.held[..end]);
        self.held.drain(..end);
        None
    }

    /// Appends everything that was held back: the answer ends here. A character that was never completed is lost.
    pub(crate) fn flush(&mut self, shown: &mut String) {
        shown.push_str(&self.held);
        self.held.clear();
        self.partial.clear();
    }

    pub(crate) fn is_inside_character(&self) -> bool {
        !self.partial.is_empty()
    }

    fn take_characters(&mut self, token: &[u8]) {
        if self.partial.is_empty()
            && let Ok(whole) = std::str::from_utf8(token)
        {
            self.held.push_str(whole);
            return;
        }
        self.partial.extend_from_slice(token);
        loop {
            match std::str::from_utf8(&self.partial) {
                Ok(whole) => {
                    self.held.push_str(whole);
                    self.partial.clear();
                    return;
                }
                Err(error) => {
                    let (whole, rest) = self.partial.split_at(error.valid_up_to());
                    self.held.push_str(std::str::from_utf8(whole).unwrap_or_default());
                    let rest = match error.error_len() {
                        None => {
                            self.partial = rest.to_vec();
                            return;
                        }
                        Some(wrong) => rest[wrong..].to_vec(),
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    self.partial = rest;
                }
            }
        }
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
    fn wrong_bytes_become_replacement_characters() {
        let (pieces, _) = run(&[b"a\xff", b"\xe6\x97", b"b"], &Stops::default());
        assert_eq!(pieces.concat(), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_stop_string_over_tokens_is_cut_out() {
        let stops = Stops { texts: vec!["END".into()], include: false };
        let (pieces, stop) = run(&[b"abE", b"N", b"Dxyz"], &stops);
        assert_eq!((pieces.concat().as_str(), stop), ("ab", Some(0)));
        let stops = Stops { texts: vec!["END".into()], include: true };
        assert_eq!(run(&[b"abE", b"N", b"Dxyz"], &stops).0.concat(), "abEND");
    }

    #[test]
    fn what_looked_like_a_stop_string_comes_in_the_end() {
        let stops = Stops { texts: vec!["END".into()], include: false };
        assert_eq!(run(&[b"abE", b"N"], &stops), (vec!["a".into(), "b".into(), "EN".into()], None));
    }
}

//! Lines out of pieces of a file, wherever it was cut.

/// What is not a whole line yet, and how many there were.
#[derive(Debug)]
pub struct Splitter {
    rest: Vec<u8>,
    number: u32,
    most: usize,
}

impl Splitter {
    /// For lines of at most so many bytes: of a longer one only one byte more is shown.
    pub fn new(most: usize) -> Self {
        Self { rest: Vec::new(), number: 0, most }
    }

    /// Takes a piece, and gives each line that ends in it, with its number from 1 on. Blank ones have a number and are
    /// passed over.
    pub fn push(&mut self, piece: &[u8], mut each: impl FnMut(u32, &[u8])) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            let room = (self.most + 1).saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&part[..part.len().min(room)]);
            if is_whole {
                self.give(&mut each);
            }
        }
    }

    /// Gives what stands behind the last line feed.
    pub fn end(&mut self, mut each: impl FnMut(u32, &[u8])) {
        if !self.rest.is_empty() {
            self.give(&mut each);
        }
    }

    fn give(&mut self, each: &mut impl FnMut(u32, &[u8])) {
        self.number += 1;
        let mut line = &self.rest[..];
        if self.number == 1 {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        // What was cut off is not trimmed to fit.
        if self.rest.len() <= self.most {
            line = line.trim_ascii();
        }
        if !line.is_empty() {
            each(self.number, line);
        }
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]], most: usize) -> Vec<(u32, String)> {
        let (mut splitter, mut lines) = (Splitter::new(most), Vec::new());
        let mut each = |number, line: &[u8]| lines.push((number, String::from_utf8_lossy(line).into_owned()));
        for piece in pieces {
            splitter.push(piece, &mut each);
        }
        splitter.end(&mut each);
        lines
    }

    #[test]
    fn lines_have_numbers_and_blank_ones_are_passed_over() {
        let lines = |pieces: &[&str]| split(&pieces.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>(), 5);
        let numbered =
            |lines: &[(u32, &str)]| lines.iter().map(|(n, line)| (*n, (*line).to_owned())).collect::<Vec<_>>();
        assert_eq!(lines(&["a\n", "\n \r\nb\r\nc"]), numbered(&[(1, "a"), (4, "b"), (5, "c")]));
        assert_eq!(lines(&[]), []);
        assert_eq!(lines(&["\u{feff}{}\n"]), numbered(&[(1, "{}")]));
        assert_eq!(lines(&["12345678\nx"]), numbered(&[(1, "123456"), (2, "x")]), "one that is too long is seen to be");
        assert_eq!(lines(&["123", "456", "78\n1"]), numbered(&[(1, "123456"), (2, "1")]));
    }

    proptest! {
        #[test]
        fn it_is_the_same_wherever_it_is_cut(text in "[a-c \n]{0,60}", cuts in proptest::collection::vec(0..61_usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(split(&pieces, 7), split(&[text.as_bytes()], 7));
        }
    }
}

//! An input: some signs that choose, and a text. The signs may be printable, so that seeds are text files.

/// What is chosen, byte by byte; nothing is left where the input ends early.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The first bytes choose, the others are the text.
    pub fn split(data: &'a [u8], count: usize) -> (Self, std::borrow::Cow<'a, str>) {
        let (choices, text) = data.split_at(count.min(data.len()));
        (Self(choices), String::from_utf8_lossy(text))
    }

    /// One of so many. The first is `A`, so that a seed can be written by hand.
    pub fn one_of(&mut self, count: usize) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&b'A', &[]));
        self.0 = rest;
        usize::from(first.wrapping_sub(b'A')) % count
    }
}

/// The text in pieces: in single characters, and in two random ways.
pub fn cuts(text: &str, seed: u64) -> Vec<Vec<&str>> {
    let places: Vec<usize> = (1..text.len()).filter(|place| text.is_char_boundary(*place)).collect();
    let mut random = seed ^ 0x2545_f491_4f6c_dd1d;
    let mut all = vec![pieces(text, &places)];
    for width in [2_u64, 11] {
        let chosen = places.iter().copied().filter(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.is_multiple_of(width)
        });
        all.push(pieces(text, &chosen.collect::<Vec<_>>()));
    }
    all
}

fn pieces<'t>(text: &'t str, places: &[usize]) -> Vec<&'t str> {
    let begins = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain([text.len()]);
    begins.zip(ends).map(|(begin, end)| &text[begin..end]).collect()
}

//! OpenAI's two encodings in use.

use std::str::FromStr;

use tiktoken_rs::CoreBPE;

/// A way to cut text into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Of gpt-4o and all models since.
    #[default]
    O200kBase,
    /// Of gpt-4, gpt-3.5 and the embedding models.
    Cl100kBase,
}

/// A name that is none of an encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown token encoding `{0}`, use `o200k_base` or `cl100k_base`")]
pub struct UnknownEncoding(String);

/// A token id that stands for no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token {token} does not exist in the encoding `{}`", .encoding.name())]
pub struct UnknownToken {
    pub encoding: Encoding,
    pub token: u32,
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Encoding, UnknownEncoding> {
        match name {
            "o200k_base" => Ok(Encoding::O200kBase),
            "cl100k_base" => Ok(Encoding::Cl100kBase),
            _ => Err(UnknownEncoding(name.to_owned())),
        }
    }
}

impl Encoding {
    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::O200kBase => "o200k_base",
            Encoding::Cl100kBase => "cl100k_base",
        }
    }

    /// Loads the tables now, so that the first request does not wait for them.
    pub fn preload(self) {
        self.bpe();
    }

    fn bpe(self) -> &'static CoreBPE {
        match self {
            Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
            Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        }
    }
}

/// How many tokens a text has. Names of special tokens in it are text like any other.
pub fn count(encoding: Encoding, text: &str) -> u64 {
    let bpe = encoding.bpe();
    slices(text).map(|slice| bpe.count_ordinary(slice) as u64).sum()
}

/// The text of token ids. Ids that end inside a character, as those of a text cut into chunks do, give
/// the replacement character there, like OpenAI's own library.
pub fn decode(encoding: Encoding, ids: &[u32]) -> Result<String, UnknownToken> {
    let unknown = |token| UnknownToken { encoding, token };
    let bytes = encoding.bpe().decode_bytes(ids).map_err(|error| unknown(error.token))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The longest run of white space that the encoding's pattern gets to see, in characters. It looks
/// behind such a run and back into it, which beyond some 300,000 characters overflows its stack. Up to here
/// counts are exact.
const LONGEST_SPACE: usize = 100_000;

/// The text, cut only inside of white space runs longer than [`LONGEST_SPACE`].
fn slices(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (slice, tail) = rest.split_at(slice_end(rest));
        rest = tail;
        (!slice.is_empty()).then_some(slice)
    })
}

fn slice_end(text: &str) -> usize {
    // No run is longer than the text: almost every call ends here.
    if text.len() <= LONGEST_SPACE {
        return text.len();
    }
    let mut run = 0;
    for (at, c) in text.char_indices() {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        if run > LONGEST_SPACE {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_huge_white_space_is_cut() {
        let words = "many words ".repeat(50_000);
        assert_eq!(slices(&words).collect::<Vec<_>>(), [words.as_str()]);
        assert_eq!(slices("").count(), 0);
        let spaces = " ".repeat(LONGEST_SPACE * 2 + 1);
        let text = format!("a{spaces}b");
        let lengths: Vec<usize> = slices(&text).map(str::len).collect();
        assert_eq!(lengths, [LONGEST_SPACE + 1, LONGEST_SPACE, 2]);
    }
}

//! OpenAI's two encodings in use.

use std::str::FromStr;

use super::{
    merge::Merge,
    split::{self, Split},
    vocabulary::{self, Vocabulary},
};

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

    fn parts(self) -> (&'static Vocabulary, Split) {
        match self {
            Encoding::O200kBase => (&vocabulary::O200K_BASE, split::o200k_base),
            Encoding::Cl100kBase => (&vocabulary::CL100K_BASE, split::cl100k_base),
        }
    }
}

/// How many tokens a text has. Names of special tokens in it are text like any other.
pub fn count(encoding: Encoding, text: &str) -> u64 {
    let (vocabulary, split) = encoding.parts();
    let mut merge = Merge::new(vocabulary);
    let (mut begin, mut count) = (0, 0);
    while begin < text.len() {
        let end = split(text, begin);
        count += merge.count(&text.as_bytes()[begin..end]);
        begin = end;
    }
    count
}

/// The text of token ids. Ids that end inside a character, as those of a text cut into chunks do, give
/// the replacement character there, like OpenAI's own library.
pub fn decode(encoding: Encoding, ids: &[u32]) -> Result<String, UnknownToken> {
    let (vocabulary, _) = encoding.parts();
    let mut bytes = Vec::with_capacity(ids.len() * 4);
    for &token in ids {
        bytes.extend(vocabulary.bytes(token).ok_or(UnknownToken { encoding, token })?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

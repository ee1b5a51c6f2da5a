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

/// Token ids that stand for no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("token {0} does not exist in this encoding")]
    UnknownToken(u32),
    #[error("the tokens do not make valid UTF-8 text")]
    NotText,
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

    /// Loads the encoding now rather than with the first request, which would wait a good part of a second.
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
    encoding.bpe().count_ordinary(text) as u64
}

/// The text of token ids.
pub fn decode(encoding: Encoding, ids: &[u32]) -> Result<String, DecodeError> {
    let bytes = encoding.bpe().decode_bytes(ids).map_err(|error| DecodeError::UnknownToken(error.token))?;
    String::from_utf8(bytes).map_err(|_| DecodeError::NotText)
}

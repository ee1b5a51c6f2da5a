//! Log-probabilities in the four-array shape of OpenAI's old completions, which is what vLLM's `/v1/completions` has.
//!
//! vLLM gives each token's text. Of a character in several tokens the last one has the whole and the others have none,
//! so that the bytes of an answer's tokens, one after the other, are the answer's. An alternative that is a part of a
//! character has no text either; two of them fall into one, so there may be one less than was asked for. A text with
//! U+FFFD in it, of a token that goes on behind such a part, has bytes that are not told: they are left empty instead
//! of being made up. (`return_tokens_as_token_ids` would give ids, but no bytes either without the vocabulary.)

use std::{borrow::Cow, fmt};

use cloudach_proto::v1::{TokenLogprob, TopLogprob};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// vLLM's stand-in for minus infinity, which JSON does not have.
const LEAST: f32 = -9999.0;

#[derive(Debug, Deserialize)]
pub(super) struct Logprobs<'a> {
    #[serde(borrow, default)]
    tokens: Vec<Cow<'a, str>>,
    #[serde(default)]
    token_logprobs: Vec<Option<f32>>,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Option<Alternatives<'a>>>>,
}

/// A JSON object from token text to log-probability.
#[derive(Debug)]
struct Alternatives<'a>(Vec<(Cow<'a, str>, f32)>);

/// One entry per token, each with the `top` most likely alternatives.
pub(super) fn read(logprobs: Logprobs<'_>, top: u32) -> Vec<TokenLogprob> {
    let mut alternatives = logprobs.top_logprobs.unwrap_or_default().into_iter();
    let mut scores = logprobs.token_logprobs.into_iter();
    let entry = |token: Cow<'_, str>| TokenLogprob {
        bytes: bytes(&token),
        token: token.into_owned(),
        logprob: scores.next().flatten().unwrap_or(LEAST),
        top: alternatives.next().flatten().map(|alternatives| most_likely(alternatives, top)).unwrap_or_default(),
    };
    logprobs.tokens.into_iter().map(entry).collect()
}

/// vLLM adds the chosen token to the alternatives when it is not one of them, so there may be one too many.
fn most_likely(Alternatives(mut found): Alternatives<'_>, top: u32) -> Vec<TopLogprob> {
    found.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    found.truncate(top as usize);
    let entry =
        |(token, logprob): (Cow<'_, str>, f32)| TopLogprob { bytes: bytes(&token), token: token.into_owned(), logprob };
    found.into_iter().map(entry).collect()
}

fn bytes(token: &str) -> Vec<u8> {
    if token.contains(char::REPLACEMENT_CHARACTER) { Vec::new() } else { token.as_bytes().to_vec() }
}

impl<'de: 'a, 'a> Deserialize<'de> for Alternatives<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Alternatives<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of log-probabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some(Key(token)) = map.next_key()? {
            found.push((token, map.next_value::<Option<f32>>()?.unwrap_or(LEAST)));
        }
        Ok(Alternatives(found))
    }
}

/// A key that borrows where it can: serde's own `Cow` would always copy.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

//! Log-probabilities in the older form: four parallel arrays.

use crate::json;
use crate::logprobs::{self, TokenLogprob};

/// The arrays as JSON, without their brackets.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    tokens: Vec<u8>,
    token_logprobs: Vec<u8>,
    top_logprobs: Vec<u8>,
    text_offset: Vec<u8>,
}

impl Columns {
    /// Appends one row per token. `offset` is the position of the next token in the text, in characters.
    pub(crate) fn push(&mut self, tokens: &[TokenLogprob], top: u8, offset: &mut u64) {
        for token in tokens {
            for column in [&mut self.tokens, &mut self.token_logprobs, &mut self.top_logprobs, &mut self.text_offset] {
                if !column.is_empty() {
                    column.push(b',');
                }
            }
            json::write(&mut self.tokens, &token.token);
            logprobs::write_number(token.logprob, &mut self.token_logprobs);
            write_top(token, top, &mut self.top_logprobs);
            json::write(&mut self.text_offset, offset);
            *offset += characters(token);
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"tokens\":[");
        out.extend_from_slice(&self.tokens);
        out.extend_from_slice(b"],\"token_logprobs\":[");
        out.extend_from_slice(&self.token_logprobs);
        out.extend_from_slice(b"],\"top_logprobs\":[");
        out.extend_from_slice(&self.top_logprobs);
        out.extend_from_slice(b"],\"text_offset\":[");
        out.extend_from_slice(&self.text_offset);
        out.extend_from_slice(b"]}");
    }

    pub(crate) fn clear(&mut self) {
        for column in [&mut self.tokens, &mut self.token_logprobs, &mut self.top_logprobs, &mut self.text_offset] {
            column.clear();
        }
    }
}

/// The likeliest tokens by their text, and the generated one, which may not be among them.
fn write_top(token: &TokenLogprob, top: u8, out: &mut Vec<u8>) {
    let likely = &token.top[..token.top.len().min(top.into())];
    let entries = likely.iter().map(|likely| (likely.token.as_str(), likely.logprob));
    let generated = std::iter::once((token.token.as_str(), token.logprob));
    out.push(b'{');
    for (position, (text, logprob)) in entries.chain(generated).enumerate() {
        // Different tokens may have one text, and a key may not come twice.
        if likely[..position.min(likely.len())].iter().any(|before| before.token == text) {
            continue;
        }
        if position > 0 {
            out.push(b',');
        }
        json::write(out, text);
        out.push(b':');
        logprobs::write_number(logprob, out);
    }
    out.push(b'}');
}

/// The characters that begin in a token: one that is split over tokens counts with its first byte.
fn characters(token: &TokenLogprob) -> u64 {
    let bytes = token.bytes.as_deref().unwrap_or(token.token.as_bytes());
    bytes.iter().map(|byte| u64::from(byte & 0xC0 != 0x80)).sum()
}

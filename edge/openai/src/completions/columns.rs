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
    /// Appends one row per token of a prompt: nothing stands before the first, which therefore has no probability.
    pub(crate) fn push_prompt(&mut self, tokens: &[TokenLogprob], top: u8, offset: &mut u64) {
        let Some((first, rest)) = tokens.split_first() else { return };
        self.begin_row(first, offset);
        self.token_logprobs.extend_from_slice(b"null");
        if top > 0 {
            self.top_logprobs.extend_from_slice(b"null");
        }
        self.push(rest, top, offset);
    }

    /// Appends one row per token. `offset` is the position of the next token in the text, in characters.
    pub(crate) fn push(&mut self, tokens: &[TokenLogprob], top: u8, offset: &mut u64) {
        for token in tokens {
            self.begin_row(token, offset);
            logprobs::write_number(token.logprob, &mut self.token_logprobs);
            if top > 0 {
                write_top(token, top, &mut self.top_logprobs);
            }
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"tokens\":[");
        out.extend_from_slice(&self.tokens);
        out.extend_from_slice(b"],\"token_logprobs\":[");
        out.extend_from_slice(&self.token_logprobs);
        // OpenAI has no column of alternatives where none were asked for.
        if self.top_logprobs.is_empty() && !self.tokens.is_empty() {
            out.extend_from_slice(b"],\"top_logprobs\":null");
        } else {
            out.extend_from_slice(b"],\"top_logprobs\":[");
            out.extend_from_slice(&self.top_logprobs);
            out.push(b']');
        }
        out.extend_from_slice(b",\"text_offset\":[");
        out.extend_from_slice(&self.text_offset);
        out.extend_from_slice(b"]}");
    }

    pub(crate) fn clear(&mut self) {
        for column in [&mut self.tokens, &mut self.token_logprobs, &mut self.top_logprobs, &mut self.text_offset] {
            column.clear();
        }
    }

    /// What every row has.
    fn begin_row(&mut self, token: &TokenLogprob, offset: &mut u64) {
        for column in [&mut self.tokens, &mut self.token_logprobs, &mut self.top_logprobs, &mut self.text_offset] {
            if !column.is_empty() {
                column.push(b',');
            }
        }
        json::write(&mut self.tokens, &token.token);
        json::write(&mut self.text_offset, offset);
        *offset += characters(token);
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

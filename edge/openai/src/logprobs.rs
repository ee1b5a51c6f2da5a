//! Log-probabilities as the engine reports them, and their form in a chat.

use crate::json;

/// What JSON cannot say (minus infinity, above all) becomes OpenAI's figure for "never".
const NEVER: f32 = -9999.0;

/// One generated token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenLogprob {
    /// Its text; a replacement character where it holds a part of one.
    pub token: String,
    /// Its bytes, where the engine says them.
    pub bytes: Option<Vec<u8>>,
    /// Its natural log-probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, likeliest first.
    pub top: Vec<TopLogprob>,
}

/// One token that was likely.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// Its bytes, where the engine says them.
    pub bytes: Option<Vec<u8>>,
    /// Its natural log-probability.
    pub logprob: f32,
}

/// The entries of a chat's `logprobs.content`, without the brackets. `top` is how many
/// alternatives the client asked for: it gets exactly so many, where the engine gave them.
pub(crate) fn write_chat_entries(tokens: &[TokenLogprob], top: u8, out: &mut Vec<u8>) {
    for (position, token) in tokens.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_entry(&token.token, token.logprob, token.bytes.as_deref(), out);
        out.extend_from_slice(b",\"top_logprobs\":[");
        for (position, likely) in token.top.iter().take(top.into()).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            write_entry(&likely.token, likely.logprob, likely.bytes.as_deref(), out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}

pub(crate) fn write_number(logprob: f32, out: &mut Vec<u8>) {
    json::write(out, &if logprob.is_finite() { logprob } else { NEVER });
}

/// Leaves the object open.
fn write_entry(token: &str, logprob: f32, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"token\":");
    json::write(out, token);
    out.extend_from_slice(b",\"logprob\":");
    write_number(logprob, out);
    out.extend_from_slice(b",\"bytes\":");
    json::write(out, &bytes);
}

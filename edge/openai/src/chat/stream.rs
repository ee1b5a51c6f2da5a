//! A streamed chat answer: `chat.completion.chunk` events.
//!
//! What is constant over the stream is written once and copied; a chunk costs no
//! allocation beyond the growth of the buffer it is appended to.

use crate::chat::request::ServiceTier;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::json;
use crate::logprobs::{self, TokenLogprob};
use crate::obfuscation::Obfuscation;
use crate::piece::Piece;
use crate::stream::StreamOptions;
use crate::usage::Usage;

#[derive(Debug)]
pub(crate) struct Stream {
    /// From `data: ` to the bracket that opens the choices.
    prefix: Vec<u8>,
    logprobs: Option<u8>,
    include_usage: bool,
    obfuscation: Option<Obfuscation>,
}

impl Stream {
    pub(crate) fn new(head: &Head, tier: ServiceTier, logprobs: Option<u8>, options: StreamOptions) -> Self {
        let mut prefix = b"data: {\"id\":".to_vec();
        json::write(&mut prefix, &head.id);
        prefix.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        json::write(&mut prefix, &head.created);
        prefix.extend_from_slice(b",\"model\":");
        json::write(&mut prefix, &head.model);
        prefix.extend_from_slice(b",\"service_tier\":");
        json::write(&mut prefix, tier.as_str());
        prefix.extend_from_slice(b",\"system_fingerprint\":null,\"choices\":[");
        Self {
            prefix,
            logprobs,
            include_usage: options.include_usage,
            obfuscation: options.include_obfuscation.then(|| Obfuscation::new(head.seed)),
        }
    }

    pub(crate) fn role(&mut self, choice: u32, out: &mut Vec<u8>) {
        self.begin(choice, out);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
        self.end(Some(&[]), None, 0, out);
    }

    pub(crate) fn content(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        self.begin(choice, out);
        out.extend_from_slice(b"\"content\":");
        json::write(out, piece.text);
        self.end(Some(piece.logprobs), None, piece.text.len(), out);
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.end(None, Some(reason), 0, out);
    }

    pub(crate) fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"],\"usage\":");
            usage.write_detailed(out);
            self.pad(0, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Up to the opening of the delta.
    fn begin(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"{\"index\":");
        json::write(out, &choice);
        out.extend_from_slice(b",\"delta\":{");
    }

    /// From the closing of the delta, in which stood so many bytes of text.
    fn end(&mut self, tokens: Option<&[TokenLogprob]>, reason: Option<FinishReason>, text: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"},\"logprobs\":");
        match (self.logprobs, tokens) {
            (Some(top), Some(tokens)) => {
                out.extend_from_slice(b"{\"content\":[");
                logprobs::write_chat_entries(tokens, top, out);
                out.extend_from_slice(b"],\"refusal\":null}");
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"finish_reason\":");
        FinishReason::write(reason, out);
        out.extend_from_slice(b"}]");
        if self.include_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        self.pad(text, out);
    }

    fn pad(&mut self, text: usize, out: &mut Vec<u8>) {
        if let Some(obfuscation) = &mut self.obfuscation {
            obfuscation.write(text, out);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

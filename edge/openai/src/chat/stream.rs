//! A streamed chat answer: `chat.completion.chunk` events.
//!
//! What is constant over the stream is written once and copied; a chunk costs no
//! allocation beyond the growth of the buffer it is appended to.

use crate::chat::reasoning::ReasoningField;
use crate::chat::reply::Defaults;
use crate::chat::request::ChatRequest;
use crate::chat::tools::CallForm;
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
    call_form: CallForm,
    reasoning: ReasoningField,
    include_usage: bool,
    obfuscation: Option<Obfuscation>,
}

impl Stream {
    pub(crate) fn new(head: &Head, request: &ChatRequest, options: StreamOptions, defaults: Defaults) -> Self {
        let mut prefix = b"data: {\"id\":".to_vec();
        json::write(&mut prefix, &head.id);
        prefix.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        json::write(&mut prefix, &head.created);
        prefix.extend_from_slice(b",\"model\":");
        json::write(&mut prefix, &head.model);
        prefix.extend_from_slice(b",\"service_tier\":");
        json::write(&mut prefix, request.service_tier.as_str());
        prefix.extend_from_slice(b",\"system_fingerprint\":null,\"choices\":[");
        let obfuscate = options.include_obfuscation.unwrap_or(defaults.obfuscation);
        Self {
            prefix,
            logprobs: request.logprobs,
            call_form: request.call_form,
            reasoning: defaults.reasoning,
            include_usage: options.include_usage,
            obfuscation: obfuscate.then(|| Obfuscation::new(head.seed)),
        }
    }

    pub(crate) fn role(&mut self, choice: u32, out: &mut Vec<u8>) {
        let start = self.begin(choice, out);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
        self.end(start, Some(&[]), None, out);
    }

    pub(crate) fn content(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let start = self.begin(choice, out);
        out.extend_from_slice(b"\"content\":");
        json::write(out, piece.text);
        self.end(start, Some(piece.logprobs), None, out);
    }

    pub(crate) fn reasoning(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        let start = self.begin(choice, out);
        self.reasoning.write(text, out);
        self.end(start, None, None, out);
    }

    /// Begins the call `index` of a choice, by its id and name. Where it `opens` the choice, the role joins it.
    pub(crate) fn call(&mut self, choice: u32, opens: bool, index: u32, call: (&str, &str), out: &mut Vec<u8>) {
        let (id, name) = call;
        let start = self.begin(choice, out);
        if opens {
            out.extend_from_slice(b"\"role\":\"assistant\",\"content\":null,");
        }
        match self.call_form {
            CallForm::Tools => {
                out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
                json::write(out, &index);
                out.extend_from_slice(b",\"id\":");
                json::write(out, id);
                out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
                json::write(out, name);
                out.extend_from_slice(b",\"arguments\":\"\"}}]");
            }
            CallForm::Functions => {
                out.extend_from_slice(b"\"function_call\":{\"name\":");
                json::write(out, name);
                out.extend_from_slice(b",\"arguments\":\"\"}");
            }
        }
        if opens {
            out.extend_from_slice(b",\"refusal\":null");
        }
        self.end(start, None, None, out);
    }

    pub(crate) fn arguments(&mut self, choice: u32, index: u32, text: &str, out: &mut Vec<u8>) {
        let start = self.begin(choice, out);
        match self.call_form {
            CallForm::Tools => {
                out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
                json::write(out, &index);
                out.extend_from_slice(b",\"function\":{\"arguments\":");
                json::write(out, text);
                out.extend_from_slice(b"}}]");
            }
            CallForm::Functions => {
                out.extend_from_slice(b"\"function_call\":{\"arguments\":");
                json::write(out, text);
                out.push(b'}');
            }
        }
        self.end(start, None, None, out);
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        let start = self.begin(choice, out);
        self.end(start, None, Some(reason), out);
    }

    pub(crate) fn shows_usage(&self) -> bool {
        self.include_usage
    }

    pub(crate) fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            let start = out.len();
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"],\"usage\":");
            usage.write_detailed(out);
            self.pad(start, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Up to the opening of the delta. Returns where the chunk starts.
    fn begin(&self, choice: u32, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"{\"index\":");
        json::write(out, &choice);
        out.extend_from_slice(b",\"delta\":{");
        start
    }

    /// From the closing of the delta. `tokens` are those of its text; it has none where it is no text.
    fn end(&mut self, start: usize, tokens: Option<&[TokenLogprob]>, reason: Option<FinishReason>, out: &mut Vec<u8>) {
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
        self.pad(start, out);
    }

    fn pad(&mut self, start: usize, out: &mut Vec<u8>) {
        if let Some(obfuscation) = &mut self.obfuscation {
            obfuscation.write(start, out);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

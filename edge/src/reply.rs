//! What an answer is made of at each endpoint: one trait over the replies of `cloudach-openai`, which make the bytes.

use cloudach_anthropic as anthropic;
use cloudach_openai::{CallPiece, FinishReason, Invalid, Piece, TokenLogprob, Told, Usage, chat, completions};

/// Turns pieces of generated text into the bytes of one endpoint.
pub trait Reply: Send + 'static {
    /// Says that a stream lives, while there is nothing to tell. A comment line stands between events, where every SDK's
    /// parser skips it (checklist C11).
    const KEEP_ALIVE: &'static [u8] = b": keep-alive\n\n";

    fn opening(&mut self, out: &mut Vec<u8>);
    fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>);
    /// Comes only in chats.
    fn reasoning(&mut self, _choice: u32, _text: &str, _out: &mut Vec<u8>) {}
    /// Comes only where tools were offered.
    fn call(&mut self, _choice: u32, _piece: &CallPiece<'_>, _out: &mut Vec<u8>) {}
    /// Comes only where the engine was asked to repeat the prompt.
    fn prompt(&mut self, _choice: u32, _text: &str, _logprobs: &[TokenLogprob], _out: &mut Vec<u8>) {}
    /// An engine has begun with a prompt of so many tokens, as the client is told. Comes again where several begin.
    fn started(&mut self, _prompt_tokens: u64) {}
    /// Comes before the end of a choice that ended at this stop string.
    fn stopped_at(&mut self, _choice: u32, _stop: &str) {}
    fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>);
    /// Whether the client is told what was used.
    fn shows_usage(&self) -> bool;
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>);
    /// Ends a stream that is open with an error.
    fn fail(&mut self, error: &Told, out: &mut Vec<u8>) {
        error.event(out);
    }
    /// What the endpoint says of a prompt of so many tokens that is beyond the limit, alone or with what the client asked
    /// for on top of it.
    fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid;
}

impl Reply for chat::Reply {
    fn opening(&mut self, out: &mut Vec<u8>) {
        Self::opening(self, out);
    }
    fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        Self::push(self, choice, piece, out);
    }
    fn reasoning(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        Self::reasoning(self, choice, text, out);
    }
    fn call(&mut self, choice: u32, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        Self::call(self, choice, piece, out);
    }
    fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        Self::finish_choice(self, choice, reason, out);
    }
    fn shows_usage(&self) -> bool {
        Self::shows_usage(self)
    }
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        Self::close(self, usage, out);
    }
    fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid {
        Invalid::chat_context_length(limit, prompt, max_tokens)
    }
}

impl Reply for completions::Reply {
    fn opening(&mut self, out: &mut Vec<u8>) {
        Self::opening(self, out);
    }
    fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        Self::push(self, choice, piece, out);
    }
    fn prompt(&mut self, choice: u32, text: &str, logprobs: &[TokenLogprob], out: &mut Vec<u8>) {
        Self::prompt(self, choice, text, logprobs, out);
    }
    fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        Self::finish_choice(self, choice, reason, out);
    }
    fn shows_usage(&self) -> bool {
        Self::shows_usage(self)
    }
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        Self::close(self, usage, out);
    }
    fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid {
        Invalid::prompt_context_length(limit, prompt, max_tokens.unwrap_or_default())
    }
}

impl Reply for anthropic::Reply {
    const KEEP_ALIVE: &'static [u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

    /// The first event tells the tokens of the prompt, which an engine may have to count.
    fn opening(&mut self, _out: &mut Vec<u8>) {}
    fn push(&mut self, _choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        self.text(piece.text, out);
    }
    fn reasoning(&mut self, _choice: u32, text: &str, out: &mut Vec<u8>) {
        self.thinking(text, out);
    }
    fn call(&mut self, _choice: u32, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        Self::call(self, piece, out);
    }
    fn started(&mut self, prompt_tokens: u64) {
        Self::started(self, prompt_tokens);
    }
    fn stopped_at(&mut self, _choice: u32, stop: &str) {
        self.met(stop);
    }
    fn finish_choice(&mut self, _choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        self.finish(reason, out);
    }
    fn shows_usage(&self) -> bool {
        true
    }
    fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        Self::close(self, usage, out);
    }
    fn fail(&mut self, told: &Told, out: &mut Vec<u8>) {
        Self::fail(self, told, out);
    }
    fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid {
        anthropic::too_long(limit, prompt, max_tokens)
    }
}

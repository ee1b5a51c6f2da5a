//! A message as server-sent events: `message_start`, blocks one after the other, `message_delta`, `message_stop`.

use cloudach_openai::Usage;
use serde::Serialize;

use crate::reply::{Head, Stop};

#[derive(Debug)]
pub(crate) struct Stream {
    head: Head,
    prompt_tokens: Option<u64>,
    started: bool,
    /// Of the block that is open, or comes next.
    index: u32,
}

impl Stream {
    pub(crate) fn new(head: Head, prompt_tokens: Option<u64>) -> Self {
        Self { head, prompt_tokens, started: false, index: 0 }
    }

    pub(crate) fn note_prompt(&mut self, tokens: u64) {
        self.prompt_tokens.get_or_insert(tokens);
    }

    pub(crate) fn open_text(&mut self, out: &mut Vec<u8>) {
        self.open(br#"{"type":"text","text":""}"#, out);
    }

    pub(crate) fn open_thinking(&mut self, out: &mut Vec<u8>) {
        self.open(br#"{"type":"thinking","thinking":"","signature":""}"#, out);
    }

    pub(crate) fn open_call(&mut self, id: &str, name: &str, out: &mut Vec<u8>) {
        let mut block = br#"{"type":"tool_use","id":"#.to_vec();
        write(&mut block, id);
        block.extend_from_slice(br#","name":"#);
        write(&mut block, name);
        block.extend_from_slice(br#","input":{}}"#);
        self.open(&block, out);
    }

    pub(crate) fn text(&self, text: &str, out: &mut Vec<u8>) {
        self.delta(br#"{"type":"text_delta","text":"#, text, out);
    }

    pub(crate) fn thinking(&self, text: &str, out: &mut Vec<u8>) {
        self.delta(br#"{"type":"thinking_delta","thinking":"#, text, out);
    }

    pub(crate) fn arguments(&self, text: &str, out: &mut Vec<u8>) {
        self.delta(br#"{"type":"input_json_delta","partial_json":"#, text, out);
    }

    pub(crate) fn close_thinking(&mut self, out: &mut Vec<u8>) {
        self.delta(br#"{"type":"signature_delta","signature":"#, self.head.signature(), out);
        self.close_block(out);
    }

    pub(crate) fn close_block(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
        write(out, &self.index);
        out.extend_from_slice(b"}\n\n");
        self.index += 1;
    }

    pub(crate) fn close(&mut self, stop: &Stop, usage: &Usage, out: &mut Vec<u8>) {
        self.start(out);
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
        write(out, stop.reason());
        out.extend_from_slice(b",\"stop_sequence\":");
        write(out, &stop.sequence());
        out.extend_from_slice(b"},\"usage\":");
        write_usage(usage, out);
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    /// Says the head, once: when the number of the prompt's tokens is known, or something is to be told.
    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":");
        write(out, &self.head.id);
        out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
        write(out, &self.head.model);
        out.extend_from_slice(b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
        write_usage(&Usage { prompt_tokens: self.prompt_tokens.unwrap_or_default(), ..Usage::default() }, out);
        out.extend_from_slice(b"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n");
    }

    fn open(&mut self, block: &[u8], out: &mut Vec<u8>) {
        self.start(out);
        out.extend_from_slice(b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
        write(out, &self.index);
        out.extend_from_slice(b",\"content_block\":");
        out.extend_from_slice(block);
        out.extend_from_slice(b"}\n\n");
    }

    fn delta(&self, before: &[u8], text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
        write(out, &self.index);
        out.extend_from_slice(b",\"delta\":");
        out.extend_from_slice(before);
        write(out, text);
        out.extend_from_slice(b"}}\n\n");
    }
}

/// Anthropic counts what came from the cache by itself.
pub(crate) fn write_usage(usage: &Usage, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"input_tokens\":");
    write(out, &usage.prompt_tokens.saturating_sub(usage.cached_tokens));
    out.extend_from_slice(b",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":");
    write(out, &usage.cached_tokens.min(usage.prompt_tokens));
    out.extend_from_slice(b",\"output_tokens\":");
    write(out, &usage.completion_tokens);
    out.extend_from_slice(b",\"output_tokens_details\":{\"thinking_tokens\":");
    write(out, &usage.reasoning_tokens);
    out.extend_from_slice(b"}}");
}

/// Appends one value: text or a number.
pub(crate) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text and numbers always have a JSON form, and memory takes all of it");
}

//! A message in one piece: collected, then written.

use cloudach_openai::Usage;
use serde_json::{Map, Value};

use crate::reply::{Head, Stop};
use crate::stream::{write, write_usage};

#[derive(Debug)]
pub(crate) struct Whole {
    head: Head,
    blocks: Vec<Block>,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Thinking(String),
    Call { id: String, name: String, arguments: String },
}

impl Whole {
    pub(crate) fn new(head: Head) -> Self {
        Self { head, blocks: Vec::new() }
    }

    pub(crate) fn open_text(&mut self) {
        self.blocks.push(Block::Text(String::new()));
    }

    pub(crate) fn open_thinking(&mut self) {
        self.blocks.push(Block::Thinking(String::new()));
    }

    pub(crate) fn open_call(&mut self, id: String, name: &str) {
        self.blocks.push(Block::Call { id, name: name.to_owned(), arguments: String::new() });
    }

    pub(crate) fn text(&mut self, more: &str) {
        if let Some(Block::Text(text)) = self.blocks.last_mut() {
            text.push_str(more);
        }
    }

    pub(crate) fn thinking(&mut self, more: &str) {
        if let Some(Block::Thinking(text)) = self.blocks.last_mut() {
            text.push_str(more);
        }
    }

    pub(crate) fn arguments(&mut self, more: &str) {
        if let Some(Block::Call { arguments, .. }) = self.blocks.last_mut() {
            arguments.push_str(more);
        }
    }

    pub(crate) fn close(&self, stop: &Stop, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write(out, &self.head.id);
        out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
        write(out, &self.head.model);
        out.extend_from_slice(b",\"content\":[");
        for (position, block) in self.blocks.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            self.write_block(block, out);
        }
        out.extend_from_slice(b"],\"stop_reason\":");
        write(out, stop.reason());
        out.extend_from_slice(b",\"stop_sequence\":");
        write(out, &stop.sequence());
        out.extend_from_slice(b",\"usage\":");
        write_usage(usage, out);
        out.push(b'}');
    }

    fn write_block(&self, block: &Block, out: &mut Vec<u8>) {
        match block {
            Block::Text(text) => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                write(out, text);
            }
            Block::Thinking(text) => {
                out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
                write(out, text);
                out.extend_from_slice(b",\"signature\":");
                write(out, self.head.signature());
            }
            Block::Call { id, name, arguments } => {
                out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
                write(out, id);
                out.extend_from_slice(b",\"name\":");
                write(out, name);
                out.extend_from_slice(b",\"input\":");
                write(out, &input(arguments));
            }
        }
        out.push(b'}');
    }
}

/// The arguments of a call. A model that was cut off, or wrote what is no object, is told as it wrote.
fn input(arguments: &str) -> Map<String, Value> {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => input,
        _ if arguments.trim().is_empty() => Map::new(),
        _ => Map::from_iter([("unparsed_arguments".to_owned(), arguments.into())]),
    }
}

//! The blocks that a turn's content is made of.

use cloudach_openai::Invalid;
use cloudach_openai::chat::{Content, ToolCall};
use serde_json::Value;

use crate::reader::{Fields, Path, boolean, list, object, short_string, shorten, string};

/// Blocks in one message.
const MOST_BLOCKS: usize = 10_000;
/// Characters of the id of a call.
const MOST_ID: usize = 256;

/// A part of a turn.
pub(crate) enum Block {
    Text(String),
    /// What the model thought.
    Thinking(String),
    /// What it thought, in a form that only Anthropic reads.
    Redacted,
    /// A call that the model made.
    ToolUse(ToolCall),
    /// What a call gave.
    ToolResult {
        tool_use_id: String,
        content: Content,
    },
}

/// The content of a message: a text, or a list of blocks.
pub(crate) fn content(path: &Path<'_>, value: Value) -> Result<Vec<Block>, Invalid> {
    match value {
        // Told apart from a text block without text: a final turn of the assistant's may be empty.
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Block::Text(text)]),
        other => list(MOST_BLOCKS, block)(path, other),
    }
}

/// A text, or a list of blocks of text.
pub(crate) fn texts(path: &Path<'_>, value: Value) -> Result<Content, Invalid> {
    match value {
        Value::String(text) => Ok(Content::Text(text)),
        other => list(MOST_BLOCKS, text_block)(path, other).map(whole_or_parts),
    }
}

/// One text is no list.
pub(crate) fn whole_or_parts(mut texts: Vec<String>) -> Content {
    match texts.len() {
        1 => Content::Text(texts.pop().unwrap_or_default()),
        _ => Content::Parts(texts),
    }
}

fn block(path: &Path<'_>, value: Value) -> Result<Block, Invalid> {
    let (kind, mut fields) = opened(path, value)?;
    let block = match kind.as_str() {
        "thinking" => {
            fields.pass_over(&["signature"]);
            Block::Thinking(fields.require("thinking", string)?)
        }
        "redacted_thinking" => {
            fields.pass_over(&["data"]);
            Block::Redacted
        }
        "tool_use" => Block::ToolUse(tool_use(&mut fields)?),
        "tool_result" => {
            // The models that are served here read it from the text.
            fields.read("is_error", boolean)?;
            Block::ToolResult {
                tool_use_id: fields.require("tool_use_id", short_string(1, MOST_ID))?,
                content: fields.read("content", texts)?.unwrap_or(Content::Text(String::new())),
            }
        }
        other => Block::Text(text_of(path, other, &mut fields)?),
    };
    fields.no_others()?;
    Ok(block)
}

fn text_block(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let (kind, mut fields) = opened(path, value)?;
    let text = text_of(path, &kind, &mut fields)?;
    fields.no_others()?;
    Ok(text)
}

/// A block's type and its other fields, without hints for caches.
fn opened<'p>(path: &'p Path<'p>, value: Value) -> Result<(String, Fields<'p>), Invalid> {
    let mut fields = Fields::of(path, value)?;
    let kind = fields.require("type", string)?;
    fields.pass_over(&["cache_control"]);
    Ok((kind, fields))
}

/// The text of a block that is nothing but text to a model.
fn text_of(path: &Path<'_>, kind: &str, fields: &mut Fields<'_>) -> Result<String, Invalid> {
    match kind {
        "text" => {
            fields.pass_over(&["citations"]);
            let text = fields.require("text", string)?;
            if text.is_empty() {
                return Err(path.wrong("text content blocks must be non-empty"));
            }
            Ok(text)
        }
        "document" => {
            fields.pass_over(&["citations", "context"]);
            let title = fields.read("title", string)?;
            let text = fields.require("source", document)?;
            Ok(title.map_or_else(|| text.clone(), |title| format!("{title}\n{text}")))
        }
        "search_result" => {
            fields.pass_over(&["citations"]);
            let (title, source) = (fields.require("title", string)?, fields.require("source", string)?);
            let content = fields.require("content", texts)?;
            Ok(format!("{title}\n{source}\n{}", content.texts().concat()))
        }
        "image" => Err(path.field("type").wrong("this model reads text only, and no images")),
        other => Err(path.field("type").wrong(format_args!(
            "blocks of type '{}' are not supported here. Supported are 'text', 'document', 'search_result', 'thinking', \
             'redacted_thinking', 'tool_use' and 'tool_result', each where Anthropic takes it",
            shorten(other)
        ))),
    }
}

fn document(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let kind = fields.require("type", string)?;
    let text = match kind.as_str() {
        "text" => {
            fields.pass_over(&["media_type"]);
            fields.require("data", string)?
        }
        "content" => fields.require("content", texts)?.texts().concat(),
        _ => return Err(path.field("type").wrong("this model reads documents of type 'text' and 'content' only")),
    };
    fields.no_others()?;
    Ok(text)
}

fn tool_use(fields: &mut Fields<'_>) -> Result<ToolCall, Invalid> {
    let id = fields.require("id", short_string(1, MOST_ID))?;
    let name = fields.require("name", short_string(1, MOST_ID))?;
    let input = fields.require("input", object)?;
    fields.pass_over(&["caller"]);
    Ok(ToolCall { id, name, arguments: Value::Object(input).to_string() })
}

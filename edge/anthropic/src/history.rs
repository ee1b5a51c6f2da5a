//! The turns of a conversation as the messages that templates know: neighbours of one role are one turn, results are
//! messages of their own, and calls and results belong together.

use std::collections::HashMap;

use cloudach_openai::Invalid;
use cloudach_openai::chat::{Content, Message, ToolCall};
use serde_json::Value;

use crate::blocks::{self, Block, whole_or_parts};
use crate::reader::{Fields, Path, invalid, list, shorten, string};

/// Messages in one request, as at Anthropic.
const MOST_MESSAGES: usize = 100_000;

/// A conversation, read.
pub(crate) struct History {
    pub(crate) messages: Vec<Message>,
    /// The last message is the assistant's, and the answer goes on with it.
    pub(crate) goes_on: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

struct Turn {
    /// Its first message's place in the request.
    place: usize,
    role: Role,
    blocks: Vec<Block>,
}

/// The calls of a turn that have no result yet.
#[derive(Default)]
struct Open {
    /// All of the turn, in their order.
    ids: Vec<String>,
    /// How many of an id have none.
    left: HashMap<String, usize>,
}

impl Open {
    fn of(calls: &[ToolCall]) -> Self {
        let mut open = Self::default();
        for call in calls {
            open.ids.push(call.id.clone());
            *open.left.entry(call.id.clone()).or_default() += 1;
        }
        open
    }

    /// One of this id has its result. False: none waits for one.
    fn answer(&mut self, id: &str) -> bool {
        let left = self.left.get_mut(id).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    fn first(&self) -> Option<&str> {
        self.ids.iter().map(String::as_str).find(|id| self.left.get(*id).is_some_and(|left| *left > 0))
    }
}

/// Reads `messages`.
pub(crate) fn read(path: &Path<'_>, value: Value) -> Result<History, Invalid> {
    let messages = list(MOST_MESSAGES, message)(path, value)?;
    if messages.is_empty() {
        return Err(path.wrong("at least one message is required"));
    }
    let mut turns: Vec<Turn> = Vec::new();
    let last = messages.len() - 1;
    for (place, (role, blocks)) in messages.into_iter().enumerate() {
        if blocks.is_empty() && role == Role::User {
            return Err(path.index(place).wrong("user messages must have non-empty content"));
        }
        if blocks.is_empty() && place < last {
            return Err(
                path.wrong("all messages must have non-empty content except for the optional final assistant message")
            );
        }
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.blocks.extend(blocks),
            _ => turns.push(Turn { place, role, blocks }),
        }
    }
    let mut history = History { messages: Vec::new(), goes_on: false };
    let mut open = Open::default();
    for turn in turns {
        match turn.role {
            Role::User => user(path, turn, &mut open, &mut history.messages)?,
            Role::Assistant => open = assistant(turn, &mut history.messages),
        }
    }
    if let Some(id) = open.first() {
        return Err(without_result(path, last, id));
    }
    history.goes_on = matches!(history.messages.last(), Some(Message::Assistant { .. }));
    if let Some(Message::Assistant { content: Some(content), .. }) = history.messages.last()
        && content.texts().last().is_some_and(|text| text.ends_with(char::is_whitespace))
    {
        return Err(path.wrong("final assistant content cannot end with trailing whitespace"));
    }
    Ok(history)
}

fn message(path: &Path<'_>, value: Value) -> Result<(Role, Vec<Block>), Invalid> {
    let mut fields = Fields::of(path, value)?;
    let role = match fields.require("role", string)?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => {
            return Err(invalid(
                "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \
                 \"system\" as an input message role."
                    .to_owned(),
                Some("messages".to_owned()),
            ));
        }
        _ => return Err(path.field("role").wrong("Input should be 'user' or 'assistant'")),
    };
    let blocks = fields.require("content", blocks::content)?;
    fields.no_others()?;
    let misplaced = blocks.iter().position(|block| match block {
        Block::Text(_) => false,
        Block::Thinking(_) | Block::Redacted | Block::ToolUse(_) => role == Role::User,
        Block::ToolResult { .. } => role == Role::Assistant,
    });
    if let Some(index) = misplaced {
        let (role, kinds) = match role {
            Role::User => ("user", "`thinking` and `tool_use`"),
            Role::Assistant => ("assistant", "`tool_result`"),
        };
        return Err(path
            .field("content")
            .index(index)
            .wrong(format_args!("{kinds} blocks cannot be in {role} messages")));
    }
    Ok((role, blocks))
}

/// Results come before what else is said, as templates want them right behind the calls.
fn user(path: &Path<'_>, turn: Turn, open: &mut Open, messages: &mut Vec<Message>) -> Result<(), Invalid> {
    let mut texts = Vec::new();
    for block in turn.blocks {
        match block {
            Block::Text(text) => texts.push(text),
            Block::ToolResult { tool_use_id, content } => {
                if !open.answer(&tool_use_id) {
                    return Err(path.index(turn.place).wrong(format_args!(
                        "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a \
                         corresponding `tool_use` block in the previous message.",
                        shorten(&tool_use_id)
                    )));
                }
                messages.push(Message::Tool { content, tool_call_id: tool_use_id, name: None });
            }
            Block::Thinking(_) | Block::Redacted | Block::ToolUse(_) => {}
        }
    }
    if let Some(id) = open.first() {
        return Err(without_result(path, turn.place.saturating_sub(1), id));
    }
    if !texts.is_empty() {
        messages.push(Message::User { content: whole_or_parts(texts), name: None });
    }
    Ok(())
}

/// Adds the turn, and tells its calls.
fn assistant(turn: Turn, messages: &mut Vec<Message>) -> Open {
    let (mut texts, mut thoughts, mut tool_calls) = (Vec::new(), Vec::new(), Vec::<ToolCall>::new());
    for block in turn.blocks {
        match block {
            Block::Text(text) => texts.push(text),
            Block::Thinking(thought) => thoughts.push(thought),
            Block::ToolUse(call) => tool_calls.push(call),
            Block::Redacted | Block::ToolResult { .. } => {}
        }
    }
    let open = Open::of(&tool_calls);
    if texts.is_empty() && tool_calls.is_empty() {
        return open;
    }
    let content: Option<Content> = (!texts.is_empty()).then(|| whole_or_parts(texts));
    let reasoning = (!thoughts.is_empty()).then(|| thoughts.concat());
    messages.push(Message::Assistant { content, name: None, reasoning, tool_calls });
    open
}

fn without_result(path: &Path<'_>, place: usize, id: &str) -> Invalid {
    path.index(place).wrong(format_args!(
        "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a \
         corresponding `tool_result` block in the next message.",
        shorten(id)
    ))
}

//! From items to messages: what templates know of a conversation.
//!
//! What a model put out in one turn (reasoning, text and calls) is one message. The answers of functions stand right
//! behind the calls that they answer, wherever the client put them.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::chat::{Content, Message, ToolCall};
use crate::invalid::{Invalid, shorten};
use crate::responses::item::{Item, Output, Part, Role};

/// The messages of all items, those of `instructions` first.
///
/// # Errors
/// A call without an answer, or the other way round.
pub(crate) fn messages(instructions: Vec<Item>, items: Vec<Item>) -> Result<Vec<Message>, Invalid> {
    let mut answers = answers(&items)?;
    let mut messages = Vec::with_capacity(instructions.len() + items.len());
    let mut turn = Turn::default();
    for item in instructions.into_iter().chain(items) {
        match item {
            Item::Message { role: Role::Assistant, content, .. } => {
                // Text behind calls is of the next turn.
                if !turn.calls.is_empty() {
                    turn.end(&mut answers, &mut messages)?;
                }
                turn.texts.extend(content.into_iter().map(Part::into_text));
            }
            Item::Reasoning { summary, content, .. } => {
                if !turn.is_only_thought() {
                    turn.end(&mut answers, &mut messages)?;
                }
                let parts = if content.is_empty() { summary } else { content };
                turn.thoughts.extend(parts.into_iter().map(Part::into_text));
            }
            Item::FunctionCall { call_id, name, arguments, .. } => {
                turn.calls.push(ToolCall { id: call_id, name, arguments });
            }
            // The turn of the calls ends here; the answer itself is with them.
            Item::FunctionCallOutput { .. } => turn.end(&mut answers, &mut messages)?,
            Item::Message { role, content, .. } => {
                turn.end(&mut answers, &mut messages)?;
                messages.push(message(role, content));
            }
            Item::ItemReference { id } => return Err(Invalid::no_item(&id)),
        }
    }
    turn.end(&mut answers, &mut messages)?;
    Ok(messages)
}

/// What functions answered to the calls of an id, in their order.
type Answers = HashMap<String, VecDeque<Content>>;

/// What functions answered, by the calls. Of several answers to one call, the last. An id may come again in a later turn (checklist
/// C04): an answer is to the last call before it.
fn answers(items: &[Item]) -> Result<Answers, Invalid> {
    let called: HashSet<&str> = items
        .iter()
        .filter_map(|item| match item {
            Item::FunctionCall { call_id, .. } => Some(call_id.as_str()),
            _ => None,
        })
        .collect();
    let (mut answers, mut calls) = (Answers::new(), HashMap::<&str, usize>::new());
    for item in items {
        if let Item::FunctionCall { call_id, .. } = item {
            *calls.entry(call_id).or_default() += 1;
        }
        let Item::FunctionCallOutput { call_id, output, .. } = item else { continue };
        if !called.contains(call_id.as_str()) {
            return Err(Invalid::new(format!(
                "No tool call found for function call output with call_id {}.",
                shorten(call_id)
            ))
            .param("input"));
        }
        let content = match output {
            Output::Text(text) => Content::Text(text.clone()),
            Output::Parts(parts) => Content::Parts(parts.iter().map(|part| part.text().to_owned()).collect()),
        };
        let answered = answers.entry(call_id.clone()).or_default();
        // Before all calls, it is to the first.
        let call = calls.get(call_id.as_str()).map_or(0, |count| count - 1);
        match answered.get_mut(call) {
            Some(before) => *before = content,
            None => answered.push_back(content),
        }
    }
    Ok(answers)
}

/// What a model has put out since somebody else spoke.
#[derive(Debug, Default)]
struct Turn {
    thoughts: Vec<String>,
    texts: Vec<String>,
    calls: Vec<ToolCall>,
}

impl Turn {
    fn is_only_thought(&self) -> bool {
        self.texts.is_empty() && self.calls.is_empty()
    }

    fn end(&mut self, answers: &mut Answers, messages: &mut Vec<Message>) -> Result<(), Invalid> {
        let Self { thoughts, texts, calls } = std::mem::take(self);
        if thoughts.is_empty() && texts.is_empty() && calls.is_empty() {
            return Ok(());
        }
        let answered: Result<Vec<Message>, Invalid> = calls
            .iter()
            .map(|call| match answers.get_mut(&call.id).and_then(VecDeque::pop_front) {
                Some(content) => Ok(Message::Tool { content, tool_call_id: call.id.clone(), name: None }),
                None => Err(Invalid::new(format!("No tool output found for function call {}.", shorten(&call.id)))
                    .param("input")),
            })
            .collect();
        let content = match texts.len() {
            0 => None,
            1 => texts.into_iter().next().map(Content::Text),
            _ => Some(Content::Parts(texts)),
        };
        let reasoning = (!thoughts.is_empty()).then(|| thoughts.concat());
        messages.push(Message::Assistant { content, name: None, reasoning, tool_calls: calls });
        messages.extend(answered?);
        Ok(())
    }
}

fn message(role: Role, content: Vec<Part>) -> Message {
    let mut texts: Vec<String> = content.into_iter().map(Part::into_text).collect();
    let content = match (texts.len(), texts.pop()) {
        (1, Some(text)) => Content::Text(text),
        (_, last) => {
            texts.extend(last);
            Content::Parts(texts)
        }
    };
    match role {
        Role::System => Message::System { content, name: None },
        Role::Developer => Message::Developer { content, name: None },
        Role::User | Role::Assistant => Message::User { content, name: None },
    }
}

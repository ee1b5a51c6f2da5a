//! A chat request as its JSON says it, and the same as a template wants it.
//!
//! Templates were written for messages in the shape that the engine's own server hands them. Each step
//! here is one of its steps, so that the same request gives the same prompt.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::Value as TemplateValue;
use serde_json::{Map, Value};

use super::content_format::ContentFormat;
use super::value::{Fields, from_json};
use super::{RenderError, continuation::MARK};
use crate::offered::Offered;

/// What of a chat request decides the prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// `messages`, as in the request.
    pub messages: Vec<Value>,
    /// `tools`, as in the request.
    pub tools: Option<Arc<Offered>>,
    /// `documents` for templates that quote sources.
    pub documents: Option<Vec<Value>>,
    /// `chat_template_kwargs`: further variables, which never replace those named here.
    pub kwargs: Map<String, Value>,
    /// `reasoning_effort`; unless `kwargs` says otherwise it also sets `enable_thinking`.
    pub reasoning_effort: Option<String>,
    /// Whether the prompt ends with the opening of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Whether the prompt ends inside the last message, which the model then continues.
    pub continue_final_message: bool,
}

/// A system message that was one of several is parted from the next by an empty line.
const SYSTEM_SEPARATOR: &str = "\n\n";

/// The messages in the shape a template reads, the last one marked where its prompt is to end inside of it. A template that does
/// not know the role `developer` gets `system` in its place, and then all of that at the front, where such templates look for it.
pub(super) fn template_messages(
    conversation: &Conversation,
    format: ContentFormat,
    knows_developer: bool,
) -> Result<TemplateValue, RenderError> {
    let mut shaped = Vec::with_capacity(conversation.messages.len());
    let mut developer = false;
    for (index, message) in conversation.messages.iter().enumerate() {
        let mut message = template_message(message).map_err(|problem| RenderError::Message { index, problem })?;
        if !knows_developer && message.role == "developer" {
            message.role = "system";
            developer = true;
        }
        shaped.push(message);
    }
    if developer {
        shaped = merge_system(shaped);
    }
    for message in &mut shaped {
        message.shape(format);
    }
    if conversation.continue_final_message {
        let text = shaped.last_mut().and_then(Message::last_text);
        let none = "`continue_final_message` needs a last message with text";
        text.ok_or(RenderError::CannotContinue(none))?.to_mut().push_str(MARK);
    }
    Ok(shaped.into_iter().map(Message::into_value).collect())
}

/// The tools with exactly the keys that templates print, in the order they expect.
pub(crate) fn template_tools(tools: &[Value]) -> Result<TemplateValue, RenderError> {
    let one = |(index, tool)| template_tool(tool).map_err(|problem| RenderError::Tool { index, problem });
    let tools = tools.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(from_json(tools.into()))
}

struct Message<'a> {
    role: &'a str,
    content: Content<'a>,
    /// All other keys that templates know.
    rest: Vec<(&'static str, Value)>,
}

enum Content<'a> {
    Absent,
    Text(Cow<'a, str>),
    Parts(Vec<Cow<'a, str>>),
}

fn template_message(message: &Value) -> Result<Message<'_>, &'static str> {
    let message = message.as_object().ok_or("a message must be an object")?;
    let role = message.get("role").and_then(Value::as_str).ok_or("`role` must be a string")?;
    let content = content(message.get("content"))?;
    let mut rest = Vec::new();
    for key in ["name", "tool_call_id"] {
        if let Some(value @ Value::String(_)) = message.get(key) {
            rest.push((key, value.clone()));
        }
    }
    match role {
        "assistant" => add_assistant_keys(&mut rest, message)?,
        "developer" => {
            if let Some(tools @ Value::Array(_)) = message.get("tools") {
                rest.push(("tools", tools.clone()));
            }
        }
        _ => {}
    }
    Ok(Message { role, content, rest })
}

fn content(content: Option<&Value>) -> Result<Content<'_>, &'static str> {
    match content {
        None | Some(Value::Null) => Ok(Content::Absent),
        Some(Value::String(text)) => Ok(Content::Text(text.into())),
        Some(Value::Array(parts)) => {
            Ok(Content::Parts(parts.iter().map(part_text).filter_map(Result::transpose).collect::<Result<_, _>>()?))
        }
        Some(_) => Err("`content` must be a string or a list of parts"),
    }
}

/// The text of a content part; none if the part has a kind but a null text.
fn part_text(part: &Value) -> Result<Option<Cow<'_, str>>, &'static str> {
    if let Value::String(text) = part {
        return Ok(Some(text.into()));
    }
    let key = match part.get("type").and_then(Value::as_str) {
        Some("text" | "input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some("thinking") => "thinking",
        Some(_) => return Err("a content part is not text, and this model reads nothing else"),
        None => return Err("a content part must be an object with a `type`"),
    };
    match part.get(key) {
        Some(Value::String(text)) => Ok(Some(text.into())),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err("the text of a content part must be a string"),
    }
}

fn add_assistant_keys(rest: &mut Vec<(&'static str, Value)>, message: &Map<String, Value>) -> Result<(), &'static str> {
    match message.get("tool_calls") {
        None | Some(Value::Null) => {}
        Some(Value::Array(calls)) if calls.is_empty() => {}
        Some(Value::Array(calls)) => {
            let calls = calls.iter().map(template_tool_call).collect::<Result<_, _>>()?;
            rest.push(("tool_calls", Value::Array(calls)));
        }
        Some(_) => return Err("`tool_calls` must be a list"),
    }
    let reasoning = ["reasoning", "reasoning_content"].iter().find_map(|key| message.get(*key)?.as_str());
    if let Some(reasoning) = reasoning {
        for key in ["reasoning", "reasoning_content", "thinking"] {
            rest.push((key, reasoning.into()));
        }
    }
    Ok(())
}

/// The call with its arguments as an object: templates print them, or look into them.
fn template_tool_call(call: &Value) -> Result<Value, &'static str> {
    let mut call = without_nulls(call.as_object().ok_or("a tool call must be an object")?);
    let function =
        call.get_mut("function").and_then(Value::as_object_mut).ok_or("a tool call must have a `function`")?;
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        Some(object @ Value::Object(_)) => Some(object.clone()),
        _ => None,
    };
    function.insert("arguments".to_owned(), arguments.unwrap_or_else(|| Map::new().into()));
    Ok(call.into())
}

fn without_nulls(object: &Map<String, Value>) -> Map<String, Value> {
    object.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// All system messages as one, in front.
fn merge_system(messages: Vec<Message<'_>>) -> Vec<Message<'_>> {
    let is_system = |message: &Message<'_>| message.role == "system";
    let in_place = messages.iter().skip(1).all(|message| !is_system(message));
    if in_place {
        return messages;
    }
    let (system, mut others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_system);
    let texts: Vec<_> = system.into_iter().map(|message| message.content.into_text()).collect();
    let content = Content::Text(texts.join(SYSTEM_SEPARATOR).into());
    others.insert(0, Message { role: "system", content, rest: Vec::new() });
    others
}

impl<'a> Message<'a> {
    /// Puts its content as templates of this format read it: as a text, or as parts.
    fn shape(&mut self, format: ContentFormat) {
        let content = std::mem::replace(&mut self.content, Content::Absent);
        self.content = match format {
            // What a tool said is text in either format: hardly a template loops over that.
            ContentFormat::Parts if self.role != "tool" => Content::Parts(content.into_parts()),
            _ => Content::Text(content.into_text()),
        };
    }

    /// The text that it ends with.
    fn last_text(&mut self) -> Option<&mut Cow<'a, str>> {
        match &mut self.content {
            Content::Absent => None,
            Content::Text(text) => Some(text),
            Content::Parts(texts) => texts.last_mut(),
        }
    }

    fn into_value(self) -> TemplateValue {
        let part = |text: Cow<'_, str>| Fields::of([("type", "text".into()), ("text", text.into())]);
        let content = match self.content {
            Content::Parts(texts) => texts.into_iter().map(part).collect(),
            content => content.into_text().into(),
        };
        let rest = self.rest.into_iter().map(|(key, value)| (key, from_json(value)));
        Fields::of([("role", self.role.into()), ("content", content)].into_iter().chain(rest))
    }
}

impl<'a> Content<'a> {
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Content::Absent => Cow::Borrowed(""),
            Content::Text(text) => text,
            Content::Parts(texts) => {
                texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n").into()
            }
        }
    }

    fn into_parts(self) -> Vec<Cow<'a, str>> {
        match self {
            Content::Absent => Vec::new(),
            Content::Text(text) => vec![text],
            Content::Parts(texts) => texts,
        }
    }
}

fn template_tool(tool: &Value) -> Result<Value, &'static str> {
    let function = tool.get("function").and_then(Value::as_object).ok_or("a tool must have a `function`")?;
    let name = function.get("name").filter(|name| name.is_string()).ok_or("`function.name` must be a string")?;
    let mut shaped = Map::new();
    shaped.insert("name".to_owned(), name.clone());
    for key in ["description", "parameters"] {
        shaped.insert(key.to_owned(), function.get(key).cloned().unwrap_or_default());
    }
    if let Some(strict) = function.get("strict").filter(|strict| !strict.is_null()) {
        shaped.insert("strict".to_owned(), strict.clone());
    }
    Ok(serde_json::json!({"type": "function", "function": shaped}))
}

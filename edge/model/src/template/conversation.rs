//! A chat request as its JSON says it, and the same as a template wants it.
//!
//! Templates were written for messages in the shape that the engine's own server hands them. Each step
//! here is one of its steps, so that the same request gives the same prompt.

use std::sync::Arc;

use minijinja::Value as TemplateValue;
use serde_json::{Map, Value};

use super::content_format::ContentFormat;
use super::{RenderError, value};
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

/// The messages in the shape a template reads. One that does not know the role `developer` gets
/// `system` in its place, and then all of that at the front, where such templates look for it.
pub(super) fn template_messages(
    messages: &[Value],
    format: ContentFormat,
    knows_developer: bool,
) -> Result<Vec<Map<String, Value>>, RenderError> {
    let mut shaped = Vec::with_capacity(messages.len());
    let mut developer = false;
    for (index, message) in messages.iter().enumerate() {
        let mut message = template_message(message).map_err(|problem| RenderError::Message { index, problem })?;
        if !knows_developer && message.role == "developer" {
            message.role = "system".to_owned();
            developer = true;
        }
        shaped.push(message);
    }
    if developer {
        shaped = merge_system(shaped);
    }
    Ok(shaped.into_iter().map(|message| message.into_object(format)).collect())
}

/// The tools with exactly the keys that templates print, in the order they expect.
pub(crate) fn template_tools(tools: &[Value]) -> Result<TemplateValue, RenderError> {
    let one = |(index, tool)| template_tool(tool).map_err(|problem| RenderError::Tool { index, problem });
    let tools = tools.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(value::from_json(tools.into()))
}

struct Message {
    role: String,
    content: Content,
    /// All other keys that templates know.
    rest: Map<String, Value>,
}

enum Content {
    Absent,
    Text(String),
    Parts(Vec<String>),
}

fn template_message(message: &Value) -> Result<Message, &'static str> {
    let message = message.as_object().ok_or("a message must be an object")?;
    let role = message.get("role").and_then(Value::as_str).ok_or("`role` must be a string")?;
    let content = content(message.get("content"))?;
    let mut rest = Map::new();
    for key in ["name", "tool_call_id"] {
        if let Some(value @ Value::String(_)) = message.get(key) {
            rest.insert(key.to_owned(), value.clone());
        }
    }
    match role {
        "assistant" => add_assistant_keys(&mut rest, message)?,
        "developer" => {
            if let Some(tools @ Value::Array(_)) = message.get("tools") {
                rest.insert("tools".to_owned(), tools.clone());
            }
        }
        _ => {}
    }
    Ok(Message { role: role.to_owned(), content, rest })
}

fn content(content: Option<&Value>) -> Result<Content, &'static str> {
    match content {
        None | Some(Value::Null) => Ok(Content::Absent),
        Some(Value::String(text)) => Ok(Content::Text(text.clone())),
        Some(Value::Array(parts)) => {
            Ok(Content::Parts(parts.iter().map(part_text).filter_map(Result::transpose).collect::<Result<_, _>>()?))
        }
        Some(_) => Err("`content` must be a string or a list of parts"),
    }
}

/// The text of a content part; none if the part has a kind but a null text.
fn part_text(part: &Value) -> Result<Option<String>, &'static str> {
    if let Value::String(text) = part {
        return Ok(Some(text.clone()));
    }
    let key = match part.get("type").and_then(Value::as_str) {
        Some("text" | "input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some("thinking") => "thinking",
        Some(_) => return Err("a content part is not text, and this model reads nothing else"),
        None => return Err("a content part must be an object with a `type`"),
    };
    match part.get(key) {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err("the text of a content part must be a string"),
    }
}

fn add_assistant_keys(rest: &mut Map<String, Value>, message: &Map<String, Value>) -> Result<(), &'static str> {
    match message.get("tool_calls") {
        None | Some(Value::Null) => {}
        Some(Value::Array(calls)) if calls.is_empty() => {}
        Some(Value::Array(calls)) => {
            let calls = calls.iter().map(template_tool_call).collect::<Result<_, _>>()?;
            rest.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        Some(_) => return Err("`tool_calls` must be a list"),
    }
    let reasoning = ["reasoning", "reasoning_content"].iter().find_map(|key| message.get(*key)?.as_str());
    if let Some(reasoning) = reasoning {
        for key in ["reasoning", "reasoning_content", "thinking"] {
            rest.insert(key.to_owned(), reasoning.into());
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
fn merge_system(messages: Vec<Message>) -> Vec<Message> {
    let is_system = |message: &Message| message.role == "system";
    let in_place = messages.iter().skip(1).all(|message| !is_system(message));
    if in_place {
        return messages;
    }
    let (system, mut others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_system);
    let texts: Vec<String> = system.into_iter().map(|message| message.content.into_text()).collect();
    let content = Content::Text(texts.join(SYSTEM_SEPARATOR));
    others.insert(0, Message { role: "system".to_owned(), content, rest: Map::new() });
    others
}

impl Message {
    fn into_object(self, format: ContentFormat) -> Map<String, Value> {
        let content = match format {
            // What a tool said is text in either format: hardly a template loops over that.
            ContentFormat::Parts if self.role != "tool" => self.content.into_parts(),
            _ => self.content.into_text().into(),
        };
        let mut object = Map::new();
        object.insert("role".to_owned(), self.role.into());
        object.insert("content".to_owned(), content);
        object.extend(self.rest);
        object
    }
}

impl Content {
    fn into_text(self) -> String {
        match self {
            Content::Absent => String::new(),
            Content::Text(text) => text,
            Content::Parts(texts) => texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"),
        }
    }

    fn into_parts(self) -> Value {
        let texts = match self {
            Content::Absent => Vec::new(),
            Content::Text(text) => vec![text],
            Content::Parts(texts) => texts,
        };
        texts.into_iter().map(|text| serde_json::json!({"type": "text", "text": text})).collect()
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

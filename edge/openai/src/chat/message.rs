//! The messages of a conversation, each by the role that wrote it.
//!
//! Fields that no role has are passed over: clients send back answers of other
//! gateways as they got them, with fields that mean nothing to a template.

use serde_json::{Map, Value, json};

use crate::invalid::Invalid;
use crate::reader::{self, Fields, Path, one_of, string};

/// One message of the conversation so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Instructions.
    System { content: Content, name: Option<String> },
    /// Instructions, by their newer name.
    Developer { content: Content, name: Option<String> },
    /// What the person said.
    User { content: Content, name: Option<String> },
    /// What a model said: text, calls, both or nothing.
    Assistant { content: Option<Content>, name: Option<String>, reasoning: Option<String>, tool_calls: Vec<ToolCall> },
    /// What a tool answered.
    Tool { content: Content, tool_call_id: String, name: Option<String> },
}

/// Text, whole or in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A string.
    Text(String),
    /// The texts of a list of parts, which may be empty.
    Parts(Vec<String>),
}

/// A call that a model made earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// As the client sends it; nothing is expected of its form.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// JSON text as the model wrote it, valid or not.
    pub arguments: String,
}

impl Content {
    /// Its texts, in order.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Parts(texts) => texts,
        }
    }
}

impl Message {
    /// Its content, if it has any.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::System { content, .. }
            | Self::Developer { content, .. }
            | Self::User { content, .. }
            | Self::Tool { content, .. } => Some(content),
            Self::Assistant { content, .. } => content.as_ref(),
        }
    }

    /// The role by the name that requests and templates use.
    pub fn role(&self) -> &'static str {
        match self {
            Self::System { .. } => "system",
            Self::Developer { .. } => "developer",
            Self::User { .. } => "user",
            Self::Assistant { .. } => "assistant",
            Self::Tool { .. } => "tool",
        }
    }

    pub(crate) fn read(path: &Path<'_>, value: Value) -> Result<Self, Invalid> {
        const ROLES: &[(&str, Role)] = &[
            ("system", Role::System),
            ("assistant", Role::Assistant),
            ("user", Role::User),
            ("function", Role::Function),
            ("tool", Role::Tool),
            ("developer", Role::Developer),
        ];
        let mut fields = Fields::of(path, value)?;
        let role = fields.require("role", one_of(ROLES))?;
        let name = fields.read("name", string)?;
        match role {
            Role::System => Ok(Self::System { content: fields.require("content", content)?, name }),
            Role::Developer => Ok(Self::Developer { content: fields.require("content", content)?, name }),
            Role::User => Ok(Self::User { content: fields.require("content", content)?, name }),
            Role::Assistant => assistant(fields, name),
            Role::Tool => Ok(Self::Tool {
                tool_call_id: fields.require("tool_call_id", string)?,
                content: fields.require("content", content)?,
                name,
            }),
            Role::Function => Err(Invalid::unsupported_value(path.field("role"), "'function'", "Use 'tool' instead.")),
        }
    }
}

/// A message as a template takes it: the request's own form, without nulls and unknown fields.
impl From<Message> for Value {
    fn from(message: Message) -> Self {
        let mut fields = Map::new();
        fields.insert("role".into(), message.role().into());
        let name = match message {
            Message::System { content, name }
            | Message::Developer { content, name }
            | Message::User { content, name } => {
                fields.insert("content".into(), content.into());
                name
            }
            Message::Assistant { content, name, reasoning, tool_calls } => {
                fields.insert("content".into(), content.map_or(Value::Null, Value::from));
                if let Some(reasoning) = reasoning {
                    fields.insert("reasoning".into(), reasoning.into());
                }
                if !tool_calls.is_empty() {
                    fields.insert("tool_calls".into(), tool_calls.into());
                }
                name
            }
            Message::Tool { content, tool_call_id, name } => {
                fields.insert("content".into(), content.into());
                fields.insert("tool_call_id".into(), tool_call_id.into());
                name
            }
        };
        if let Some(name) = name {
            fields.insert("name".into(), name.into());
        }
        Value::Object(fields)
    }
}

impl From<Content> for Value {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => text.into(),
            Content::Parts(texts) => texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect(),
        }
    }
}

impl From<ToolCall> for Value {
    fn from(call: ToolCall) -> Self {
        json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
    }
}

#[derive(Clone, Copy)]
enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

fn assistant(mut fields: Fields<'_>, name: Option<String>) -> Result<Message, Invalid> {
    let said = fields.read("content", content)?;
    // A refusal is what the model said, and clients send it back beside a null content.
    let refused = fields.read("refusal", string)?.map(Content::Text);
    // Two names are in use; both come back in histories.
    let reasoning = fields.read("reasoning", string)?;
    let reasoning = reasoning.or(fields.read("reasoning_content", string)?);
    fields.read("function_call", |path, _| -> Result<(), Invalid> {
        Err(Invalid::unsupported(path, "Use 'tool_calls' instead."))
    })?;
    let tool_calls = fields.read("tool_calls", reader::array("an array of objects", tool_call))?.unwrap_or_default();
    Ok(Message::Assistant { content: said.or(refused), name, reasoning, tool_calls })
}

fn content(path: &Path<'_>, value: Value) -> Result<Content, Invalid> {
    match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(parts) => Ok(Content::Parts(reader::items(path, parts, part)?)),
        other => Err(Invalid::wrong_type(path, "one of a string or array of objects", reader::kind(&other))),
    }
}

#[derive(Clone, Copy)]
enum Part {
    Text,
    Refusal,
    /// Known to OpenAI, and more than text.
    Media(&'static str),
}

fn part(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    const PARTS: &[(&str, Part)] = &[
        ("text", Part::Text),
        ("image_url", Part::Media("image_url")),
        ("input_audio", Part::Media("input_audio")),
        ("refusal", Part::Refusal),
        ("audio", Part::Media("audio")),
        ("file", Part::Media("file")),
    ];
    let mut fields = Fields::of(path, value)?;
    match fields.require("type", one_of(PARTS))? {
        Part::Text => fields.require("text", string),
        Part::Refusal => fields.require("refusal", string),
        Part::Media(name) => Err(Invalid::unsupported_value(
            path.field("type"),
            format_args!("'{name}'"),
            "Send parts of type 'text' only.",
        )),
    }
}

fn tool_call(path: &Path<'_>, value: Value) -> Result<ToolCall, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let id = fields.require("id", string)?;
    fields.require("type", function_type)?;
    let (name, arguments) = fields.require("function", |path, value| {
        let mut fields = Fields::of(path, value)?;
        Ok((fields.require("name", string)?, fields.require("arguments", string)?))
    })?;
    Ok(ToolCall { id, name, arguments })
}

/// The only kind of tool there is so far.
pub(crate) fn function_type(path: &Path<'_>, value: Value) -> Result<(), Invalid> {
    if one_of(&[("function", true), ("custom", false)])(path, value)? {
        return Ok(());
    }
    Err(Invalid::unsupported_value(path, "'custom'", "Use 'function' instead."))
}

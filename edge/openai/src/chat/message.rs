//! The messages of a conversation, each by the role that wrote it.
//!
//! Fields that no role has are passed over: clients send back answers of other
//! gateways as they got them, with fields that mean nothing to a template.

use serde_json::{Map, Value, json};

use crate::chat::function_turns::FunctionTurns;
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
    /// What a tool answered, or a function.
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
    /// As the client sends it; nothing is expected of its form. Calls of functions, which bear none, are given one.
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

    /// `functions` gives ids to the calls and answers of functions.
    pub(crate) fn read(path: &Path<'_>, value: Value, functions: &mut FunctionTurns) -> Result<Self, Invalid> {
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
            Role::System => Ok(Self::System { content: required_content(path, &mut fields)?, name }),
            // A younger schema, with other words for what is missing.
            Role::Developer => Ok(Self::Developer { content: fields.require("content", content)?, name }),
            Role::User => Ok(Self::User { content: required_content(path, &mut fields)?, name }),
            Role::Assistant => assistant(path, fields, name, functions),
            Role::Tool => Ok(Self::Tool {
                tool_call_id: fields
                    .read("tool_call_id", string)?
                    .ok_or_else(|| missing_for_role(path, "tool_call_id", "tool"))?,
                content: required_content(path, &mut fields)?,
                name,
            }),
            Role::Function => {
                let name = name.ok_or_else(|| missing_for_role(path, "name", "function"))?;
                let content = required_content(path, &mut fields)?;
                Ok(Self::Tool { content, tool_call_id: functions.answer(), name: Some(name) })
            }
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

fn assistant(
    path: &Path<'_>,
    mut fields: Fields<'_>,
    name: Option<String>,
    functions: &mut FunctionTurns,
) -> Result<Message, Invalid> {
    let said = fields.read("content", content)?;
    // A refusal is what the model said, and clients send it back beside a null content.
    let refused = fields.read("refusal", string)?.map(Content::Text);
    // Two names are in use; both come back in histories.
    let reasoning = fields.read("reasoning", string)?;
    let reasoning = reasoning.or(fields.read("reasoning_content", string)?);
    let function_call = fields.read("function_call", called_function)?;
    let mut tool_calls =
        fields.read("tool_calls", reader::array("an array of objects", tool_call))?.unwrap_or_default();
    if let Some((name, arguments)) = function_call {
        if !tool_calls.is_empty() {
            return Err(Invalid::new(
                "Invalid parameter: 'function_call' cannot be used when 'tool_calls' are present. Leave one of them out.",
            )
            .param(path.field("function_call").older()));
        }
        tool_calls.push(ToolCall { id: functions.call(), name, arguments });
    }
    Ok(Message::Assistant { content: said.or(refused), name, reasoning, tool_calls })
}

fn required_content(path: &Path<'_>, fields: &mut Fields<'_>) -> Result<Content, Invalid> {
    fields.read("content", content)?.ok_or_else(|| {
        Invalid::new("Invalid value for 'content': expected a string, got null.").param(path.field("content").older())
    })
}

fn missing_for_role(path: &Path<'_>, name: &str, role: &str) -> Invalid {
    Invalid::new(format!("Missing parameter '{name}': messages with role '{role}' must have a '{name}'."))
        .param(path.field(name).older())
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
    Image,
    /// Sound and files.
    Media,
}

fn part(path: &Path<'_>, value: Value) -> Result<String, Invalid> {
    const PARTS: &[(&str, Part)] = &[
        ("text", Part::Text),
        ("image_url", Part::Image),
        ("input_audio", Part::Media),
        ("refusal", Part::Refusal),
        ("audio", Part::Media),
        ("file", Part::Media),
    ];
    let mut fields = Fields::of(path, value)?;
    match fields.require("type", one_of(PARTS))? {
        Part::Text => fields.require("text", string),
        Part::Refusal => fields.require("refusal", string),
        // As models answer that read text only.
        Part::Image => Err(Invalid::new("Invalid content type. image_url is only supported by certain models.")
            .param(path.field("type").older())),
        Part::Media => {
            let message = path.parent().parent();
            Err(Invalid::new(format!(
                "Invalid '{message}'. Content blocks are expected to be either text or image_url type."
            ))
            .param(message)
            .code("invalid_value"))
        }
    }
}

fn tool_call(path: &Path<'_>, value: Value) -> Result<ToolCall, Invalid> {
    let mut fields = Fields::of(path, value)?;
    let id = fields.require("id", string)?;
    fields.require("type", function_type)?;
    let (name, arguments) = fields.require("function", called_function)?;
    Ok(ToolCall { id, name, arguments })
}

/// Its name and its arguments.
fn called_function(path: &Path<'_>, value: Value) -> Result<(String, String), Invalid> {
    let mut fields = Fields::of(path, value)?;
    Ok((fields.require("name", string)?, fields.require("arguments", string)?))
}

/// The only kind of tool there is so far.
pub(crate) fn function_type(path: &Path<'_>, value: Value) -> Result<(), Invalid> {
    if one_of(&[("function", true), ("custom", false)])(path, value)? {
        return Ok(());
    }
    Err(Invalid::unsupported_value(path, "'custom'", "Use 'function' instead."))
}

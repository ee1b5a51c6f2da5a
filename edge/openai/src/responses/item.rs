//! The items of a conversation: what is put in, and what a model has put out. They are kept as they are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One of them. An id is empty until the item has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// What somebody said.
    Message { id: String, status: Status, role: Role, content: Vec<Part> },
    /// A model calls a function.
    FunctionCall { id: String, status: Status, call_id: String, name: String, arguments: String },
    /// What the function answered.
    FunctionCallOutput { id: String, status: Status, call_id: String, output: Output },
    /// What a model thought.
    Reasoning {
        id: String,
        summary: Vec<Part>,
        #[serde(default)]
        content: Vec<Part>,
    },
    /// Another item, by its id. Never kept: the other is, in its place.
    ItemReference { id: String },
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
    System,
    Developer,
}

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// A part of a message, of a summary or of reasoning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    InputText {
        text: String,
    },
    OutputText {
        /// There are none.
        annotations: [(); 0],
        logprobs: Vec<Value>,
        text: String,
    },
    Refusal {
        refusal: String,
    },
    SummaryText {
        text: String,
    },
    ReasoningText {
        text: String,
    },
}

/// What a function answered: text, whole or in parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Output {
    Text(String),
    Parts(Vec<Part>),
}

impl Item {
    /// Its id; empty while it has none.
    pub fn id(&self) -> &str {
        match self {
            Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::FunctionCallOutput { id, .. }
            | Self::Reasoning { id, .. }
            | Self::ItemReference { id } => id,
        }
    }

    /// The bytes of its texts, and a few for itself.
    pub fn bytes(&self) -> usize {
        const ITSELF: usize = 64;
        let of_parts = |parts: &[Part]| parts.iter().map(|part| part.text().len()).sum::<usize>();
        ITSELF
            + match self {
                Self::Message { content, .. } => of_parts(content),
                Self::FunctionCall { name, arguments, .. } => name.len() + arguments.len(),
                Self::FunctionCallOutput { output: Output::Text(text), .. } => text.len(),
                Self::FunctionCallOutput { output: Output::Parts(parts), .. } => of_parts(parts),
                Self::Reasoning { summary, content, .. } => of_parts(summary) + of_parts(content),
                Self::ItemReference { .. } => 0,
            }
    }

    /// What the ids of its kind begin with.
    pub(crate) fn prefix(&self) -> &'static str {
        match self {
            Self::Message { .. } | Self::ItemReference { .. } => "msg_",
            Self::FunctionCall { .. } => "fc_",
            Self::FunctionCallOutput { .. } => "fco_",
            Self::Reasoning { .. } => "rs_",
        }
    }

    /// Names it, whatever its name was.
    pub(crate) fn rename(&mut self, name: String) {
        match self {
            Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::FunctionCallOutput { id, .. }
            | Self::Reasoning { id, .. }
            | Self::ItemReference { id } => *id = name,
        }
    }

    /// Notes how far it has come.
    pub(crate) fn set_status(&mut self, new: Status) {
        match self {
            Self::Message { status, .. }
            | Self::FunctionCall { status, .. }
            | Self::FunctionCallOutput { status, .. } => *status = new,
            Self::Reasoning { .. } | Self::ItemReference { .. } => {}
        }
    }
}

impl Part {
    /// Text of a model.
    pub(crate) fn output(text: String, logprobs: Vec<Value>) -> Self {
        Self::OutputText { annotations: [], logprobs, text }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::InputText { text }
            | Self::OutputText { text, .. }
            | Self::SummaryText { text }
            | Self::ReasoningText { text } => text,
            Self::Refusal { refusal } => refusal,
        }
    }

    /// The same.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::InputText { text }
            | Self::OutputText { text, .. }
            | Self::SummaryText { text }
            | Self::ReasoningText { text } => text,
            Self::Refusal { refusal } => refusal,
        }
    }
}

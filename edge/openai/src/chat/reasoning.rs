//! The name under which clients read a model's reasoning. OpenAI's chats have none; clients look for `reasoning_content`,
//! then for `reasoning` (checklist C20).

use crate::json;

/// Which field tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReasoningField {
    #[default]
    ReasoningContent,
    Reasoning,
    Both,
}

impl ReasoningField {
    /// The field or fields, without a comma around them.
    pub(crate) fn write(self, text: &str, out: &mut Vec<u8>) {
        let (content, plain) = match self {
            Self::ReasoningContent => (true, false),
            Self::Reasoning => (false, true),
            Self::Both => (true, true),
        };
        if content {
            out.extend_from_slice(b"\"reasoning_content\":");
            json::write(out, text);
        }
        if content && plain {
            out.push(b',');
        }
        if plain {
            out.extend_from_slice(b"\"reasoning\":");
            json::write(out, text);
        }
    }
}

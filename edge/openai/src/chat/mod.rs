//! `POST /v1/chat/completions`.

mod early;
mod function_turns;
mod functions;
mod history;
mod message;
mod reasoning;
mod reply;
mod request;
mod stream;
mod tool_choice;
mod tools;
mod whole;

pub use message::{Content, Message, ToolCall};
pub use reasoning::ReasoningField;
pub use reply::{Defaults, Reply};
pub use request::{ChatRequest, ReasoningEffort, ServiceTier, parse, parse_by};
pub use tools::{CallForm, Known, Tool, ToolChoice};

pub(crate) use request::parse_fields;
pub(crate) use tool_choice::narrow as narrow_choice;
pub(crate) use tools::{function, within_bounds as tools_within_bounds};

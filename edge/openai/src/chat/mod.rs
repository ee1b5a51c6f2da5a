//! `POST /v1/chat/completions`.

mod history;
mod message;
mod reply;
mod request;
mod stream;
mod tools;
mod whole;

pub use message::{Content, Message, ToolCall};
pub use reply::Reply;
pub use request::{ChatRequest, ReasoningEffort, ServiceTier, parse};
pub use tools::{Tool, ToolChoice};

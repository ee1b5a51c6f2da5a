//! What a dialect decides about a call: an answer that is ready, or work that takes its time.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::choice::{Choice, Sampling};
use crate::events::Events;
use crate::fault::Trouble;
use crate::json;
use crate::load::TraceHeaders;
use crate::orders::Orders;
use crate::script::Dialect;

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) request_id: Option<String>,
    pub(crate) trace: Option<TraceHeaders>,
    /// HTTP/1.1 or later: the response may be sent in chunks and the connection used again.
    pub(crate) persistent: bool,
    pub(crate) body: bytes::Bytes,
}

pub(crate) enum Reply {
    Ready(Whole),
    Work(Box<Work>),
}

/// A response that is sent in one piece.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

/// A generation or an embedding: it takes a place in the engine, takes time, and may fail.
pub(crate) struct Work {
    pub(crate) orders: Orders,
    pub(crate) prompt_tokens: u64,
    pub(crate) dialect: Dialect,
    pub(crate) task: Task,
}

pub(crate) enum Task {
    Generate { choices: Vec<Choice>, sampling: Arc<Sampling>, stream: bool, format: Box<dyn Format>, aborts: Aborts },
    Embed(Whole),
}

/// When a client's leaving is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aborts {
    AtOnce,
    /// Not while the request waits for its place nor before its first token.
    FromFirstToken,
    /// Only when the response is written.
    Never,
}

/// Tokens that were just emitted, or none for an end without one.
pub(crate) struct Tokens<'a> {
    pub(crate) choice: &'a Choice,
    pub(crate) ids: &'a [u32],
    pub(crate) text: &'a str,
}

/// A whole answer, as a response that is not streamed holds it.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) ids: Vec<u32>,
    pub(crate) text: String,
}

/// How a dialect words the parts of a generation.
pub(crate) trait Format: Send + Sync {
    /// What comes before the first token.
    fn open(&mut self, events: &mut Events, choices: &[Choice]);
    fn tokens(&mut self, events: &mut Events, tokens: &Tokens<'_>);
    /// What comes after the last token.
    fn close(&mut self, events: &mut Events, choices: &[Choice]);
    /// The engine fails in the middle of a stream, and says so if it does. `context`: how long its context is.
    fn broken(&mut self, events: &mut Events, trouble: Trouble, context: u32);
    /// The response when it is not streamed.
    fn whole(&mut self, choices: &[Choice], collected: &[Collected]) -> Whole;
}

impl Whole {
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self { status, content_type: "application/json", body: json::to_bytes(value) }
    }

    pub(crate) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(crate) fn text(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: text.into_bytes(),
        }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: "text/plain", body: Vec::new() }
    }
}

impl From<Whole> for Reply {
    fn from(whole: Whole) -> Self {
        Self::Ready(whole)
    }
}

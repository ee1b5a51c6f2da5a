//! One response, written as its pieces arrive, whole at its end, or as the steps of which it is made again. All three are
//! fed by the same calls.

use std::borrow::Cow;

use crate::error::Told;
use crate::finish::FinishReason;
use crate::logprobs;
use crate::piece::{CallPiece, Piece};
use crate::responses::record::Record;
use crate::responses::response::{Form, Response};
use crate::responses::step::Step;
use crate::usage::Usage;

/// Turns what the engine generates into what is wanted.
#[derive(Debug)]
pub struct Reply {
    made: Made,
    /// How many alternatives each token is told with.
    top_logprobs: Option<u8>,
}

#[derive(Debug)]
enum Made {
    Stream(Box<Response>),
    Whole(Box<Response>),
    /// The steps as lines.
    Log,
}

impl Reply {
    /// Events, or the whole response. `top_logprobs` is what the request asks for of log-probabilities.
    pub fn new(record: Record, is_streamed: bool, top_logprobs: Option<u8>) -> Self {
        let made = if is_streamed {
            Made::Stream(Box::new(Response::new(record, Form::Stream { after: None })))
        } else {
            Made::Whole(Box::new(Response::new(record, Form::Whole)))
        };
        Self { made, top_logprobs }
    }

    /// The steps.
    pub fn log(top_logprobs: Option<u8>) -> Self {
        Self { made: Made::Log, top_logprobs }
    }

    /// The engine has begun.
    pub fn opening(&mut self, out: &mut Vec<u8>) {
        self.take(&Step::Begun, out);
    }

    /// A piece of text.
    pub fn push(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        if piece.text.is_empty() && piece.logprobs.is_empty() {
            return;
        }
        let mut entries = Vec::new();
        if let Some(top) = self.top_logprobs {
            logprobs::write_chat_entries(piece.logprobs, top, &mut entries);
        }
        self.take(&Step::Text(piece.text.into(), String::from_utf8_lossy(&entries)), out);
    }

    /// A piece of reasoning.
    pub fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        if !text.is_empty() {
            self.take(&Step::Reasoning(text.into()), out);
        }
    }

    /// A piece of a call.
    pub fn call(&mut self, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        match *piece {
            CallPiece::Begin { id, name } => self.take(&Step::Call(id.into(), name.into()), out),
            CallPiece::Arguments("") => {}
            CallPiece::Arguments(text) => self.take(&Step::Arguments(text.into()), out),
        }
    }

    /// The model has ended.
    pub fn finish(&mut self, reason: FinishReason, out: &mut Vec<u8>) {
        let cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        self.take(&Step::End { cut }, out);
    }

    /// The response is complete, at so many seconds since 1970.
    pub fn close(&mut self, usage: &Usage, at: u64, out: &mut Vec<u8>) {
        let step = Step::Close {
            input: usage.prompt_tokens,
            cached: usage.cached_tokens,
            output: usage.completion_tokens,
            reasoning: usage.reasoning_tokens,
            at,
        };
        self.take(&step, out);
        if let Made::Whole(response) = &self.made {
            response.write(out);
        }
    }

    /// It has failed.
    pub fn fail(&mut self, error: &Told, out: &mut Vec<u8>) {
        self.take(&Step::of_error(error), out);
    }

    fn take(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match &mut self.made {
            Made::Stream(response) | Made::Whole(response) => response.take(step, out),
            Made::Log => step.write(out),
        }
    }
}

impl<'a> Step<'a> {
    /// That a response has failed.
    pub fn of_error(error: &'a Told) -> Self {
        Self::Fail {
            message: Cow::Borrowed(&error.message),
            kind: error.kind.into(),
            param: error.param.as_deref().map(Cow::Borrowed),
            code: error.code.map(Cow::Borrowed),
        }
    }
}

//! One chat answer, written as its pieces arrive or whole at its end.
//!
//! Both forms are fed by the same calls, so that one path serves both. Whatever
//! the calls are, every choice says its role first and once, and ends at most once.

use crate::chat::request::ChatRequest;
use crate::chat::stream::Stream;
use crate::chat::whole::Whole;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::piece::Piece;
use crate::usage::Usage;

/// Turns what the engine generates into what the client reads.
#[derive(Debug)]
pub struct Reply {
    form: Form,
    stages: Vec<Stage>,
}

#[derive(Debug)]
enum Form {
    Stream(Stream),
    Whole(Whole),
}

/// How far one choice has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Open,
    Finished,
}

impl Reply {
    /// An answer to this request, streamed if the request says so.
    pub fn new(head: &Head, request: &ChatRequest) -> Self {
        let tier = request.service_tier;
        let form = match request.stream {
            Some(options) => Form::Stream(Stream::new(head, tier, request.logprobs, options)),
            None => Form::Whole(Whole::new(head, tier, request.logprobs, request.n)),
        };
        Self { form, stages: (0..request.n).map(|_| Stage::Waiting).collect() }
    }

    /// Opens all choices. A stream's first bytes: to be called when the engine has begun.
    pub fn opening(&mut self, out: &mut Vec<u8>) {
        for choice in (0..).take(self.stages.len()) {
            self.open(choice, out);
        }
    }

    /// Takes a piece of a choice. A stream appends the events that it makes visible.
    pub fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let nothing = piece.text.is_empty() && piece.logprobs.is_empty();
        if nothing || !self.open(choice, out) {
            return;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.content(choice, piece, out),
            Form::Whole(whole) => whole.content(choice, piece),
        }
    }

    /// Ends a choice; what is pushed to it later is dropped.
    pub fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        if !self.open(choice, out) {
            return;
        }
        if let Some(stage) = self.stage(choice) {
            *stage = Stage::Finished;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.finish(choice, reason, out),
            Form::Whole(whole) => whole.finish(choice, reason),
        }
    }

    /// Whether every choice has ended.
    pub fn is_finished(&self) -> bool {
        self.stages.iter().all(|stage| *stage == Stage::Finished)
    }

    /// Appends the end of the answer: of a stream the usage, if wanted, and `[DONE]`; else the whole body.
    /// To be called once, when every choice has ended.
    pub fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Stream(stream) => stream.close(usage, out),
            Form::Whole(whole) => whole.close(usage, out),
        }
    }

    /// The body of an answer that is not streamed.
    pub fn into_body(mut self, usage: &Usage) -> Vec<u8> {
        let mut out = Vec::new();
        self.close(usage, &mut out);
        out
    }

    /// Makes sure that a choice has said its role; `false` when it takes nothing any more.
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) -> bool {
        let Some(stage) = self.stage(choice) else { return false };
        match *stage {
            Stage::Open => return true,
            Stage::Finished => return false,
            Stage::Waiting => *stage = Stage::Open,
        }
        if let Form::Stream(stream) = &mut self.form {
            stream.role(choice, out);
        }
        true
    }

    fn stage(&mut self, choice: u32) -> Option<&mut Stage> {
        self.stages.get_mut(usize::try_from(choice).ok()?)
    }
}

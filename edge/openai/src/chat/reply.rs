//! One chat answer, written as its pieces arrive or whole at its end.
//!
//! Both forms are fed by the same calls, so that one path serves both. Whatever
//! the calls are, every choice says its role first and once, and ends at most once.

use crate::chat::early::{Early, Item};
use crate::chat::reasoning::ReasoningField;
use crate::chat::request::ChatRequest;
use crate::chat::stream::Stream;
use crate::chat::tools::{CallForm, ToolChoice};
use crate::chat::whole::Whole;
use crate::finish::FinishReason;
use crate::head::Head;
use crate::piece::{CallPiece, Piece};
use crate::usage::Usage;

/// What an answer does where the client leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Chunks of a stream are padded, as at OpenAI.
    pub obfuscation: bool,
    /// Where the model's reasoning is told.
    pub reasoning: ReasoningField,
}

/// Turns what the engine generates into what the client reads.
#[derive(Debug)]
pub struct Reply {
    form: Form,
    choices: Vec<Choice>,
    /// How many choices, counted from the first, have begun without a gap.
    begun: u32,
    /// Roles wait for the first piece: that of a call says its role in a chunk of another shape.
    may_call: bool,
    /// Whether only the first call of a choice is told.
    one_call: bool,
    /// How a choice ends in which the model stopped by itself, after calls.
    called: FinishReason,
}

#[derive(Debug)]
enum Form {
    Stream(Stream),
    Whole(Whole),
}

#[derive(Debug, Clone, Default)]
struct Choice {
    stage: Stage,
    /// Calls that have begun.
    calls: u32,
    early: Early,
    /// Set when it has finished.
    reason: Option<FinishReason>,
}

/// How far one choice has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Waiting,
    Open,
    Finished,
}

impl Reply {
    /// An answer to this request, streamed if the request says so.
    pub fn new(head: &Head, request: &ChatRequest, defaults: Defaults) -> Self {
        let form = match request.stream {
            Some(options) => Form::Stream(Stream::new(head, request, options, defaults)),
            None => Form::Whole(Whole::new(head, request, defaults)),
        };
        Self {
            form,
            choices: (0..request.n).map(|_| Choice::default()).collect(),
            begun: 0,
            may_call: !request.tools.is_empty(),
            one_call: request.call_form == CallForm::Functions,
            called: called(request),
        }
    }

    /// Opens all choices, but those that may begin with a call. A stream's first bytes: to be called when the engine
    /// has begun.
    pub fn opening(&mut self, out: &mut Vec<u8>) {
        if self.may_call {
            return;
        }
        for choice in (0..).take(self.choices.len()) {
            self.open(choice, out);
        }
        self.let_the_next_begin(out);
    }

    /// Takes a piece of a choice's text. A stream appends the events that it makes visible.
    pub fn push(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        if piece.text.is_empty() && piece.logprobs.is_empty() {
            return;
        }
        if let Some(early) = self.early(choice) {
            return early.push(piece);
        }
        self.tell_text(choice, piece, out);
        self.let_the_next_begin(out);
    }

    /// Takes a piece of a choice's reasoning. A stream appends the events that it makes visible.
    pub fn reasoning(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if let Some(early) = self.early(choice) {
            return early.reasoning(text);
        }
        self.tell_reasoning(choice, text, out);
        self.let_the_next_begin(out);
    }

    /// Takes a piece of a choice's calls. A stream appends the events that it makes visible. Arguments before the
    /// first call are dropped, and all calls but the first where the client speaks of functions.
    pub fn call(&mut self, choice: u32, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        if let Some(early) = self.early(choice) {
            return early.call(piece);
        }
        self.tell_call(choice, piece, out);
        self.let_the_next_begin(out);
    }

    /// Ends a choice; what is pushed to it later is dropped. `reason` is the engine's: what a client reads follows from
    /// it and from the calls. A stream says the ends of all choices together, at its own, as at OpenAI.
    pub fn finish_choice(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        if let Some(early) = self.early(choice) {
            return early.finish(reason);
        }
        self.tell_end(choice, reason, out);
        self.let_the_next_begin(out);
        if !self.is_finished() {
            return;
        }
        let reasons = self.choices.iter_mut().map(|choice| choice.reason.take());
        for (choice, reason) in (0..).zip(reasons) {
            let Some(reason) = reason else { continue };
            match &mut self.form {
                Form::Stream(stream) => stream.finish(choice, reason, out),
                Form::Whole(whole) => whole.finish(choice, reason),
            }
        }
    }

    /// Whether every choice has ended.
    pub fn is_finished(&self) -> bool {
        self.choices.iter().all(|choice| choice.stage == Stage::Finished)
    }

    /// Whether the answer tells what was used.
    pub fn shows_usage(&self) -> bool {
        match &self.form {
            Form::Stream(stream) => stream.shows_usage(),
            Form::Whole(_) => true,
        }
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

    fn tell_text(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        if !self.open(choice, out) {
            return;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.content(choice, piece, out),
            Form::Whole(whole) => whole.content(choice, piece),
        }
    }

    fn tell_reasoning(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        if !self.open(choice, out) {
            return;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.reasoning(choice, text, out),
            Form::Whole(whole) => whole.reasoning(choice, text),
        }
    }

    fn tell_call(&mut self, choice: u32, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        let one_call = self.one_call;
        let Some(state) = self.choice(choice).filter(|state| state.stage != Stage::Finished) else { return };
        match *piece {
            CallPiece::Begin { id, name } => {
                let index = state.calls;
                state.calls = state.calls.saturating_add(1);
                if one_call && index > 0 {
                    return;
                }
                let opens = std::mem::replace(&mut state.stage, Stage::Open) == Stage::Waiting;
                match &mut self.form {
                    Form::Stream(stream) => stream.call(choice, opens, index, (id, name), out),
                    Form::Whole(whole) => whole.call(choice, id, name),
                }
            }
            CallPiece::Arguments(text) => {
                let Some(index) = state.calls.checked_sub(1) else { return };
                if text.is_empty() || one_call && index > 0 {
                    return;
                }
                match &mut self.form {
                    Form::Stream(stream) => stream.arguments(choice, index, text, out),
                    Form::Whole(whole) => whole.arguments(choice, text),
                }
            }
        }
    }

    fn tell_end(&mut self, choice: u32, reason: FinishReason, out: &mut Vec<u8>) {
        if !self.open(choice, out) {
            return;
        }
        let called = self.called;
        let Some(state) = self.choice(choice) else { return };
        state.stage = Stage::Finished;
        state.reason = Some(match reason {
            FinishReason::Length | FinishReason::ContentFilter => reason,
            FinishReason::Stop | FinishReason::ToolCalls | FinishReason::FunctionCall if state.calls > 0 => called,
            FinishReason::Stop | FinishReason::ToolCalls | FinishReason::FunctionCall => FinishReason::Stop,
        });
    }

    /// Where to keep what comes of this choice, if one before it has not begun. Whole answers have their order in any
    /// case.
    fn early(&mut self, choice: u32) -> Option<&mut Early> {
        if choice <= self.begun || matches!(self.form, Form::Whole(_)) {
            return None;
        }
        self.choice(choice).map(|state| &mut state.early)
    }

    /// Tells what has come of the choices whose turn it is now.
    fn let_the_next_begin(&mut self, out: &mut Vec<u8>) {
        while let Some(state) = self.choice(self.begun)
            && state.stage != Stage::Waiting
        {
            self.begun += 1;
            let next = self.begun;
            let items = self.choice(next).map(|state| state.early.take()).unwrap_or_default();
            for item in items {
                match item {
                    Item::Text(text, logprobs) => {
                        self.tell_text(next, &Piece { text: &text, logprobs: &logprobs }, out);
                    }
                    Item::Reasoning(text) => self.tell_reasoning(next, &text, out),
                    Item::Begin { id, name } => {
                        self.tell_call(next, &CallPiece::Begin { id: &id, name: &name }, out);
                    }
                    Item::Arguments(text) => self.tell_call(next, &CallPiece::Arguments(&text), out),
                    Item::Finish(reason) => self.tell_end(next, reason, out),
                }
            }
        }
    }

    /// Makes sure that a choice has said its role; `false` when it takes nothing any more.
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) -> bool {
        let Some(state) = self.choice(choice) else { return false };
        match state.stage {
            Stage::Open => return true,
            Stage::Finished => return false,
            Stage::Waiting => state.stage = Stage::Open,
        }
        if let Form::Stream(stream) = &mut self.form {
            stream.role(choice, out);
        }
        true
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Choice> {
        self.choices.get_mut(usize::try_from(choice).ok()?)
    }
}

/// A client that names the tool already knows that it is called: all recordings of models that do not reason say `stop`
/// then. With functions, the one recording that names its function says `function_call`.
fn called(request: &ChatRequest) -> FinishReason {
    match (request.call_form, &request.tool_choice) {
        (CallForm::Functions, _) => FinishReason::FunctionCall,
        (CallForm::Tools, ToolChoice::Named(_)) => FinishReason::Stop,
        (CallForm::Tools, ToolChoice::None | ToolChoice::Auto | ToolChoice::Required) => FinishReason::ToolCalls,
    }
}

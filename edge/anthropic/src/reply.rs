//! One message, written as its pieces arrive or whole at its end. Both forms are fed by the same calls.
//!
//! Whatever the calls are: blocks are opened and closed in turn, none is empty, and white space alone is none.

use cloudach_openai::chat::ChatRequest;
use cloudach_openai::{CallPiece, FinishReason, Invalid, Told, Usage};

use crate::error::error_event;
use crate::stream::Stream;
use crate::whole::Whole;

/// What ends a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    EndTurn,
    MaxTokens,
    /// With the sequence that was met.
    Sequence(String),
    ToolUse,
}

impl Stop {
    /// `stop_reason`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::EndTurn => "end_turn",
            Self::MaxTokens => "max_tokens",
            Self::Sequence(_) => "stop_sequence",
            Self::ToolUse => "tool_use",
        }
    }

    /// `stop_sequence`.
    pub(crate) fn sequence(&self) -> Option<&str> {
        match self {
            Self::Sequence(text) => Some(text),
            Self::EndTurn | Self::MaxTokens | Self::ToolUse => None,
        }
    }
}

/// What is constant over a message.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) model: String,
}

impl Head {
    /// What a thought is signed with. It proves nothing: what clients send back is read from its text.
    pub(crate) fn signature(&self) -> &str {
        self.id.trim_start_matches("msg_")
    }
}

#[derive(Debug)]
enum Form {
    Stream(Stream),
    Whole(Whole),
}

/// Which block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Call,
}

/// Turns what the engine generates into what the client reads.
#[derive(Debug)]
pub struct Reply {
    form: Form,
    open: Open,
    shows_thinking: bool,
    called: bool,
    /// White space that waits for text.
    space: String,
    met: Option<String>,
    stop: Stop,
}

impl Reply {
    /// An answer to this request, streamed if the request says so. `id`: see [`crate::message_id`]. `shows_thinking`: see
    /// [`crate::MessagesRequest`]. `prompt_tokens`: where they are known before the engine has begun.
    pub fn new(id: String, request: &ChatRequest, shows_thinking: bool, prompt_tokens: Option<u64>) -> Self {
        let head = Head { id, model: request.model.clone() };
        let form = match request.stream {
            Some(_) => Form::Stream(Stream::new(head, prompt_tokens)),
            None => Form::Whole(Whole::new(head)),
        };
        Self {
            form,
            open: Open::Nothing,
            shows_thinking,
            called: false,
            space: String::new(),
            met: None,
            stop: Stop::EndTurn,
        }
    }

    /// The engine has read the prompt, of so many tokens. What was known before goes before it.
    pub fn started(&mut self, prompt_tokens: u64) {
        if let Form::Stream(stream) = &mut self.form {
            stream.note_prompt(prompt_tokens);
        }
    }

    /// Takes a piece of text.
    pub fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.open != Open::Text {
            let told = text.trim_start();
            self.space.push_str(&text[..text.len() - told.len()]);
            if told.is_empty() {
                return;
            }
            self.turn_to(Open::Text, out);
            let space = std::mem::take(&mut self.space);
            self.tell_text(&space, out);
            return self.tell_text(told, out);
        }
        self.tell_text(text, out);
    }

    /// Takes a piece of what the model thinks.
    pub fn thinking(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() || !self.shows_thinking {
            return;
        }
        self.turn_to(Open::Thinking, out);
        match &mut self.form {
            Form::Stream(stream) => stream.thinking(text, out),
            Form::Whole(whole) => whole.thinking(text),
        }
    }

    /// Takes a piece of a call. Arguments before the first call are dropped.
    pub fn call(&mut self, piece: &CallPiece<'_>, out: &mut Vec<u8>) {
        match *piece {
            CallPiece::Begin { id, name } => {
                // Calls do not go on: each is a block of its own.
                self.turn_to(Open::Nothing, out);
                self.open = Open::Call;
                self.called = true;
                let id = format!("toolu_01{}", id.trim_start_matches("call_"));
                match &mut self.form {
                    Form::Stream(stream) => stream.open_call(&id, name, out),
                    Form::Whole(whole) => whole.open_call(id, name),
                }
            }
            CallPiece::Arguments(text) if self.open == Open::Call && !text.is_empty() => match &mut self.form {
                Form::Stream(stream) => stream.arguments(text, out),
                Form::Whole(whole) => whole.arguments(text),
            },
            CallPiece::Arguments(_) => {}
        }
    }

    /// The stop sequence that was met.
    pub fn met(&mut self, stop: &str) {
        self.met = Some(stop.to_owned());
    }

    /// The engine has ended.
    pub fn finish(&mut self, reason: FinishReason, out: &mut Vec<u8>) {
        self.turn_to(Open::Nothing, out);
        self.stop = match (reason, self.met.take()) {
            (FinishReason::Length, _) => Stop::MaxTokens,
            (_, Some(stop)) => Stop::Sequence(stop),
            _ if self.called => Stop::ToolUse,
            _ => Stop::EndTurn,
        };
    }

    /// Appends the end of the message: to a stream its last events, else the whole body. To be called once, at last.
    pub fn close(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Stream(stream) => stream.close(&self.stop, usage, out),
            Form::Whole(whole) => whole.close(&self.stop, usage, out),
        }
    }

    /// Ends a stream with an error.
    pub fn fail(&mut self, told: &Told, out: &mut Vec<u8>) {
        error_event(told, out);
    }

    fn tell_text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        match &mut self.form {
            Form::Stream(stream) => stream.text(text, out),
            Form::Whole(whole) => whole.text(text),
        }
    }

    /// Closes what is open if that is something else, and opens what is wanted. White space in between is nothing.
    fn turn_to(&mut self, wanted: Open, out: &mut Vec<u8>) {
        if self.open == wanted {
            return;
        }
        if wanted != Open::Text {
            self.space.clear();
        }
        match &mut self.form {
            Form::Stream(stream) => {
                match self.open {
                    Open::Nothing => {}
                    Open::Thinking => stream.close_thinking(out),
                    Open::Text | Open::Call => stream.close_block(out),
                }
                match wanted {
                    Open::Text => stream.open_text(out),
                    Open::Thinking => stream.open_thinking(out),
                    Open::Nothing | Open::Call => {}
                }
            }
            Form::Whole(whole) => match wanted {
                Open::Text => whole.open_text(),
                Open::Thinking => whole.open_thinking(),
                Open::Nothing | Open::Call => {}
            },
        }
        self.open = wanted;
    }
}

/// What is said of a prompt that is beyond the limit, alone or with what the client asked for on top of it.
pub fn too_long(limit: u64, prompt: u64, max_tokens: Option<u64>) -> Invalid {
    let message = match max_tokens {
        Some(most) if prompt <= limit => format!(
            "input length and `max_tokens` exceed context limit: {prompt} + {most} > {limit}, decrease input length or \
             `max_tokens` and try again"
        ),
        _ => format!("prompt is too long: {prompt} tokens > {limit} maximum"),
    };
    Invalid { message, param: None, code: None }
}

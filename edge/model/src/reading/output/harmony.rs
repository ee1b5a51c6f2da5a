//! Harmony: the messages of gpt-oss, which say in their headers whether they are reasoning, an answer or a call.
//!
//! `<|channel|>analysis<|message|>..<|end|><|start|>assistant<|channel|>commentary to=functions.N
//! <|constrain|>json<|message|>{..}<|call|>`. What stands outside of messages is a header, and says nothing.

use std::sync::Arc;

use super::super::nesting::Nesting;
use super::marker::{Found, Pending, find};
use super::piece::Piece;
use super::reasoning::Part;
use super::tools::Functions;

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// All that marks its messages.
pub(super) const MARKERS: &[&str] = &[START, CHANNEL, MESSAGE, "<|constrain|>", "<|end|>", "<|return|>", "<|call|>"];

const ENDS: &[&str] = &["<|end|>", "<|return|>", "<|call|>", START, CHANNEL];

/// How many bytes of a header are looked at.
const MOST_OF_HEADER: usize = 1024;

/// Reads one choice.
#[derive(Debug, Clone)]
pub(super) struct HarmonyReader {
    tools: Arc<Functions>,
    /// Without tools, calls are text.
    offered: bool,
    pending: Pending,
    place: Place,
    header: String,
    /// What was said so far.
    reasoning: bool,
    answer: bool,
}

/// A part of the text, or of a call in it.
pub(super) enum Told<'a> {
    Part(Part<'a>),
    Call(Piece<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Reasoning { begun: bool },
    Answer { begun: bool },
    Call { arguments: Option<Inside> },
}

/// Where the arguments are; none have come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    At(Nesting),
    End,
}

type Emit<'e> = &'e mut dyn FnMut(Told<'_>);

impl HarmonyReader {
    /// `prompt_end`: the end of the prompt, in which a message may have begun.
    pub(super) fn new(tools: Arc<Functions>, offered: bool, prompt_end: &str) -> Self {
        let mut reader = Self {
            tools,
            offered,
            pending: Pending::default(),
            place: Place::Header,
            header: String::new(),
            reasoning: false,
            answer: false,
        };
        let begin = prompt_end.rfind(START).map_or(prompt_end.len(), |at| at + START.len());
        reader.push(&prompt_end[begin..], &mut |_| {});
        reader.pending = Pending::default();
        (reader.reasoning, reader.answer) = (false, false);
        reader
    }

    /// Whether all text was understood, and no message is open but an answer.
    pub(super) fn rests(&self) -> bool {
        self.pending.is_empty()
            && match self.place {
                Place::Header => self.header.is_empty(),
                Place::Answer { .. } => true,
                Place::Reasoning { .. } | Place::Call { .. } => false,
            }
    }

    pub(super) fn push(&mut self, text: &str, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read(text, |text| self.read(text, false, emit));
        self.pending = pending;
    }

    pub(super) fn finish(&mut self, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read("", |text| self.read(text, true, emit));
        // The last marker may be missing, being what the engine stops at.
        if matches!(self.place, Place::Call { arguments: None | Some(Inside::End) }) {
            self.end_message(emit);
        }
    }

    fn read(&mut self, text: &str, last: bool, emit: Emit<'_>) -> usize {
        let mut length = 0;
        while length < text.len() {
            let rest = &text[length..];
            let markers = if self.place == Place::Header { &[MESSAGE] } else { ENDS };
            let (end, which) = match find(markers, rest, last) {
                Found::Marker { at, which } => (at, Some(which)),
                Found::Maybe(at) => (at, None),
                Found::Nothing => (rest.len(), None),
            };
            if end > 0 {
                self.body(&rest[..end], emit);
            }
            length += end;
            match which {
                Some(_) if self.place == Place::Header => {
                    self.begin_message(emit);
                    length += MESSAGE.len();
                }
                Some(which) => {
                    self.end_message(emit);
                    // A header follows, of which this is a part.
                    length += ENDS[which].len();
                    if ENDS[which] == CHANNEL {
                        self.header.push_str(CHANNEL);
                    }
                }
                None if end == rest.len() => {}
                None => break,
            }
        }
        length
    }

    fn body(&mut self, text: &str, emit: Emit<'_>) {
        match &mut self.place {
            Place::Header => {
                let room = MOST_OF_HEADER.saturating_sub(self.header.len());
                self.header.push_str(&text[..text.ceil_char_boundary(room)]);
            }
            Place::Reasoning { begun } => {
                if !std::mem::replace(begun, true) && std::mem::replace(&mut self.reasoning, true) {
                    emit(Told::Part(Part::Reasoning("\n")));
                }
                emit(Told::Part(Part::Reasoning(text)));
            }
            Place::Answer { begun } => {
                if !std::mem::replace(begun, true) && std::mem::replace(&mut self.answer, true) {
                    emit(Told::Part(Part::Content("\n")));
                }
                emit(Told::Part(Part::Content(text)));
            }
            Place::Call { arguments } => {
                let text = if arguments.is_none() { text.trim_start() } else { text };
                if text.is_empty() {
                    return;
                }
                emit(Told::Call(Piece::Arguments(text)));
                let inside = arguments.unwrap_or(Inside::At(Nesting::OUTSIDE));
                *arguments = Some(match inside {
                    Inside::At(nesting) => {
                        text.bytes().try_fold(nesting, Nesting::after).map_or(Inside::End, Inside::At)
                    }
                    Inside::End => Inside::End,
                });
            }
        }
    }

    fn begin_message(&mut self, emit: Emit<'_>) {
        let header = std::mem::take(&mut self.header);
        let header = header.rsplit(START).next().unwrap_or_default();
        let channel = word_after(header, CHANNEL);
        let recipient = word_after(header, "to=");
        let function = recipient.strip_prefix("functions.").unwrap_or(recipient);
        let is_call = recipient.starts_with("functions.") || self.tools.offers(recipient);
        self.place = if self.offered && is_call && !function.is_empty() {
            emit(Told::Call(Piece::Begin(function)));
            Place::Call { arguments: None }
        } else if channel == "analysis" && !is_call {
            Place::Reasoning { begun: false }
        } else {
            Place::Answer { begun: false }
        };
    }

    fn end_message(&mut self, emit: Emit<'_>) {
        if let Place::Call { arguments } = self.place {
            if arguments.is_none() {
                emit(Told::Call(Piece::Arguments("{}")));
            }
            emit(Told::Call(Piece::End));
        }
        self.place = Place::Header;
    }
}

/// The word behind a sign in a header.
fn word_after<'h>(header: &'h str, sign: &str) -> &'h str {
    let Some((_, rest)) = header.split_once(sign) else { return "" };
    rest.trim_start().split([' ', '<', '\n', '\t']).next().unwrap_or_default()
}

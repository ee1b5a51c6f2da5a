//! What a model wrote on its own accord: reasoning, answer and calls, told apart as they come.
//!
//! ```text
//! text -> reasoning -> calls -> visible -> events
//! text -> harmony   ----------> visible -> events
//! ```
//!
//! Each step reads text in any pieces and holds only what may still become something else. To add a format, add a row
//! to one of the two tables; a file is needed only for a notation that no row can describe.

mod arguments;
mod call_reader;
mod detect;
mod elements;
mod format;
mod gemma;
mod harmony;
mod json;
mod literal;
mod marker;
mod native;
mod notation;
mod piece;
mod python;
mod reasoning;
mod reasoning_formats;
mod space;
mod tagged;
mod tool_formats;
mod tools;
mod visible;

use std::sync::Arc;

pub use detect::detect;
pub use format::{ReasoningFormat, ToolFormat, UnknownFormat, marks};
pub use tools::Functions;

use super::{Event, StopReader};
use call_reader::CallReader;
use harmony::{HarmonyReader, Told};
use piece::Piece;
use reasoning::{Part, ReasoningReader};
use visible::{After, Around, Visible};

/// How the text of a request is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// How the model writes calls; without a format, none are looked for.
    pub tool_format: Option<ToolFormat>,
    /// How the model marks reasoning; without a format, all text is the answer.
    pub reasoning_format: Option<ReasoningFormat>,
    pub tools: &'a Arc<Functions>,
    /// The end of the prompt, in which the model's turn and perhaps its reasoning have begun.
    pub prompt_end: &'a str,
    /// Calls are looked for: the model was shown the tools, and may call them.
    pub offered: bool,
    /// What ends the answer. Reasoning and calls are not searched for it.
    pub stops: &'a [String],
    /// A stop string stays in the answer.
    pub keep_stop: bool,
    /// The answer ends with the first call.
    pub one_call: bool,
}

/// Reads one choice. A clone that has read nothing yet serves for another choice of the same request.
#[derive(Debug, Clone)]
pub struct OutputReader {
    source: Source,
    visible: Visible,
}

#[derive(Debug, Clone)]
enum Source {
    Harmony(Box<HarmonyReader>),
    Layers(Layers),
}

#[derive(Debug, Clone)]
struct Layers {
    /// In boxes: most choices have no use for one of them, and each open one holds a reader.
    reasoning: Option<Box<ReasoningReader>>,
    calls: Option<Box<CallReader>>,
}

impl OutputReader {
    pub fn new(output: &Output<'_>) -> Self {
        let tools = output.tools.clone();
        let tool_row = output.tool_format.map(|format| format.0).filter(|_| output.offered);
        let around = tool_row.map_or(Around { space_before: true, after: After::Shown }, |row| row.around);
        let stops = StopReader::new(output.stops, output.keep_stop);
        let visible = Visible::new(around, stops, output.one_call);
        let marks = match output.reasoning_format.map(|format| &format.0.kind) {
            Some(reasoning_formats::Kind::Marks(marks)) => Some(marks),
            Some(reasoning_formats::Kind::Harmony) | None => None,
        };
        let is_harmony = output.tool_format.is_some_and(|format| matches!(format.0.kind, tool_formats::Kind::Harmony))
            || (output.reasoning_format.is_some() && marks.is_none());
        if is_harmony {
            let reader = HarmonyReader::new(tools, output.offered, output.prompt_end);
            return Self { source: Source::Harmony(Box::new(reader)), visible };
        }
        let openers = tool_row.map_or(&[][..], tool_formats::Row::openers);
        let reasoning = marks.map(|marks| ReasoningReader::new(marks, openers, output.prompt_end).into());
        let calls = tool_row.and_then(|row| CallReader::new(row, tools)).map(Box::new);
        Self { source: Source::Layers(Layers { reasoning, calls }), visible }
    }

    /// Whether the model may think before it answers, by its format and its prompt.
    pub fn may_think(&self) -> bool {
        match &self.source {
            Source::Harmony(_) => true,
            Source::Layers(layers) => layers.reasoning.as_ref().is_some_and(|reader| reader.is_open()),
        }
    }

    /// Whether all that came was told: the model does not think, no call is open, and nothing waits for what follows. A
    /// prompt may go on from here.
    pub fn rests(&self) -> bool {
        let source = match &self.source {
            Source::Harmony(reader) => reader.rests(),
            Source::Layers(layers) => {
                layers.reasoning.as_ref().is_none_or(|reader| reader.rests())
                    && layers.calls.as_ref().is_none_or(|reader| reader.rests())
            }
        };
        source && self.visible.rests()
    }

    /// The stop string that was met.
    pub fn stop_met(&self) -> Option<&str> {
        self.visible.stop_met()
    }

    /// Reads the next piece.
    pub fn push(&mut self, text: &str, emit: &mut impl FnMut(Event<'_>)) {
        if self.visible.has_stopped() {
            return;
        }
        let Self { source, visible } = self;
        match source {
            Source::Harmony(reader) => reader.push(text, &mut |told| show(told, visible, emit)),
            Source::Layers(Layers { reasoning, calls }) => match reasoning {
                Some(reasoning) => reasoning.push(text, &mut |part| read_part(part, calls, visible, emit)),
                None => {
                    read_part(Part::Content(text), calls, visible, emit);
                }
            },
        }
    }

    /// The engine has ended: what was held for the sake of more is given out.
    pub fn finish(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        let Self { source, visible } = self;
        match source {
            Source::Harmony(reader) => reader.finish(&mut |told| show(told, visible, emit)),
            Source::Layers(Layers { reasoning, calls }) => {
                if let Some(reasoning) = reasoning {
                    reasoning.finish(&mut |part| read_part(part, calls, visible, emit));
                }
                if let Some(calls) = calls {
                    calls.finish(&mut |piece| visible.piece(piece, emit));
                }
            }
        }
        visible.finish(emit);
    }
}

/// Reads a part of the text, and tells whether it ends inside of a call.
fn read_part(
    part: Part<'_>,
    calls: &mut Option<Box<CallReader>>,
    visible: &mut Visible,
    emit: &mut dyn FnMut(Event<'_>),
) -> bool {
    match (part, calls) {
        (Part::Reasoning(text), _) => visible.reasoning(text, emit),
        (Part::Content(text), Some(calls)) => calls.push(text, &mut |piece| visible.piece(piece, emit)),
        (Part::Content(text), None) => visible.piece(Piece::Text(text), emit),
    }
    visible.is_in_call()
}

fn show(told: Told<'_>, visible: &mut Visible, emit: &mut dyn FnMut(Event<'_>)) {
    match told {
        Told::Part(Part::Reasoning(text)) => visible.reasoning(text, emit),
        Told::Part(Part::Content(text)) => visible.piece(Piece::Text(text), emit),
        Told::Call(piece) => visible.piece(piece, emit),
    }
}

//! Reads calls in any notation. What is pending is kept here, so that a notation only says how far it understands a text.

use std::sync::Arc;

use super::elements::ElementReader;
use super::gemma::GemmaReader;
use super::json::JsonReader;
use super::marker::Pending;
use super::native::NativeReader;
use super::piece::Emit;
use super::python::PythonReader;
use super::tagged::TaggedReader;
use super::tool_formats::{Kind, Row};
use super::tools::Functions;

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct CallReader {
    notation: Notation,
    pending: Pending,
}

/// A way to write calls.
pub(super) trait ReadCalls {
    /// Reads the begin of a text, which is not empty, and gives back how many bytes that was; none if it must see more.
    /// `last`: no more text follows.
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize>;

    /// The engine has ended, and this much of the text was not understood.
    fn end(&mut self, rest: &str, emit: Emit<'_>);

    /// Whether no call is open, and nothing waits.
    fn rests(&self) -> bool;
}

#[derive(Debug, Clone)]
enum Notation {
    Json(JsonReader),
    Native(NativeReader),
    Tagged(TaggedReader),
    Python(PythonReader),
    Gemma(GemmaReader),
    Elements(ElementReader),
}

impl CallReader {
    /// None for a format whose calls are no part of its text.
    pub(super) fn new(row: &'static Row, tools: Arc<Functions>) -> Option<Self> {
        let notation = match &row.kind {
            Kind::Json(notation) => Notation::Json(JsonReader::new(notation, tools)),
            Kind::Native(tokens) => Notation::Native(NativeReader::new(tokens)),
            Kind::Tagged(tags) => Notation::Tagged(TaggedReader::new(tags, tools)),
            Kind::Python(around) => Notation::Python(PythonReader::new(around, tools)),
            Kind::Gemma(markers) => Notation::Gemma(GemmaReader::new(markers, tools)),
            Kind::Elements(elements) => Notation::Elements(ElementReader::new(elements, tools)),
            Kind::Harmony => return None,
        };
        Some(Self { notation, pending: Pending::default() })
    }

    /// Whether all text was understood, and no call is open.
    pub(super) fn rests(&self) -> bool {
        self.pending.is_empty() && self.notation.reader().rests()
    }

    pub(super) fn push(&mut self, text: &str, emit: Emit<'_>) {
        let reader = self.notation.reader_mut();
        self.pending.read(text, |text| read(reader, text, false, emit));
    }

    pub(super) fn finish(&mut self, emit: Emit<'_>) {
        let reader = self.notation.reader_mut();
        self.pending.read("", |text| {
            let length = read(reader, text, true, emit);
            reader.end(&text[length..], emit);
            text.len()
        });
    }
}

impl Notation {
    fn reader(&self) -> &dyn ReadCalls {
        match self {
            Self::Json(reader) => reader,
            Self::Native(reader) => reader,
            Self::Tagged(reader) => reader,
            Self::Python(reader) => reader,
            Self::Gemma(reader) => reader,
            Self::Elements(reader) => reader,
        }
    }

    fn reader_mut(&mut self) -> &mut dyn ReadCalls {
        match self {
            Self::Json(reader) => reader,
            Self::Native(reader) => reader,
            Self::Tagged(reader) => reader,
            Self::Python(reader) => reader,
            Self::Gemma(reader) => reader,
            Self::Elements(reader) => reader,
        }
    }
}

/// Reads as much as can be understood.
fn read(reader: &mut dyn ReadCalls, text: &str, last: bool, emit: Emit<'_>) -> usize {
    let mut length = 0;
    while length < text.len() {
        match reader.step(&text[length..], last, emit) {
            Some(step) => length += step,
            None => break,
        }
    }
    length
}

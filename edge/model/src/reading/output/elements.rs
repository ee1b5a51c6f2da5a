//! Calls whose arguments are elements that are named after them, and may nest:
//! `M<tool_call>M<invoke name="N">M<a>1M</a>M<list>M<item>xM</item>M</list>M</invoke>M</tool_call>`, where a mark `M` stands before
//! each tag.
//!
//! A name that is repeated makes a list of what came before, so that nothing is known of the arguments before the call is
//! complete: they are given out together.

mod object;

use std::sync::Arc;

use super::call_reader::ReadCalls;
use super::marker::{Found, certain, find};
use super::piece::{Emit, Piece};
use super::tools::Functions;

/// How many bytes a name may have with what stands around it.
const MOST_OF_NAME: usize = 256;

/// How many bytes may stand between the begin of a section and its first call.
const MOST_BEFORE_CALL: usize = 1024;

/// How many bytes a call may have. What is beyond them is left out.
const MOST_OF_CALL: usize = 1024 * 1024;

/// The tags of a format.
#[derive(Debug)]
pub(super) struct Elements {
    /// What stands before each tag.
    pub mark: &'static str,
    pub section: &'static str,
    pub section_end: &'static str,
    pub call: &'static str,
    pub call_end: &'static str,
}

impl Elements {
    pub(super) fn all(&self) -> Vec<&'static str> {
        vec![self.mark, self.section, self.section_end, self.call, self.call_end]
    }
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct ElementReader {
    elements: &'static Elements,
    tools: Arc<Functions>,
    state: State,
    /// From the begin of the section up to the begin of its first call.
    raw: String,
    /// The function that is called.
    function: String,
    /// What stands in its call.
    body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// A section has begun; a call must follow.
    Section,
    Name,
    Body,
    /// Behind a call, in its section.
    AfterCall,
}

impl ElementReader {
    pub(super) fn new(elements: &'static Elements, tools: Arc<Functions>) -> Self {
        let (raw, function, body) = Default::default();
        Self { elements, tools, state: State::Text, raw, function, body }
    }
}

impl ReadCalls for ElementReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match self.state {
            State::Text => self.text(text, last, emit),
            State::Section => self.section(text, last, emit),
            State::Name => self.name(text, last, emit),
            State::Body => self.body(text, last, emit),
            State::AfterCall => self.after_call(text, last),
        }
    }

    fn end(&mut self, rest: &str, emit: Emit<'_>) {
        match self.state {
            State::Section | State::Name => {
                self.raw.push_str(rest);
                self.give_up(emit);
            }
            // What is complete of a call that is not.
            State::Body => self.give_arguments(emit),
            State::Text | State::AfterCall => {}
        }
    }

    fn rests(&self) -> bool {
        self.state == State::Text
    }
}

impl ElementReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let section = self.elements.section;
        let at = certain(&[section], text, last);
        if at > 0 {
            emit(Piece::Text(&text[..at]));
            return Some(at);
        }
        if !text.starts_with(section) {
            return None;
        }
        self.raw.clear();
        self.raw.push_str(section);
        self.state = State::Section;
        Some(section.len())
    }

    fn section(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let space = text.len() - text.trim_start().len();
        if space > 0 {
            self.raw.push_str(&text[..space]);
            if self.raw.len() > MOST_BEFORE_CALL {
                self.give_up(emit);
            }
            return Some(space);
        }
        match find(&[self.elements.call], text, last) {
            Found::Marker { at: 0, .. } => Some(self.begin_call()),
            Found::Maybe(0) => None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.give_up(emit);
                Some(0)
            }
        }
    }

    fn begin_call(&mut self) -> usize {
        self.raw.push_str(self.elements.call);
        self.state = State::Name;
        self.elements.call.len()
    }

    fn name(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let end = match find(&[">"], text, last) {
            Found::Marker { at, .. } if at <= MOST_OF_NAME => at,
            Found::Nothing if text.len() <= MOST_OF_NAME && !last => return None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => 0,
        };
        let name = text[..end].trim().trim_matches(['"', '\'']);
        if name.is_empty() {
            self.give_up(emit);
            return Some(0);
        }
        emit(Piece::Begin(name));
        self.function.clear();
        self.function.push_str(name);
        self.raw.clear();
        self.state = State::Body;
        Some(end + 1)
    }

    fn body(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let ends = [self.elements.call_end, self.elements.section_end];
        let at = certain(&ends, text, last);
        if at > 0 {
            let room = text[..at].floor_char_boundary(MOST_OF_CALL.saturating_sub(self.body.len()));
            self.body.push_str(&text[..room]);
            return Some(at);
        }
        let Found::Marker { which, .. } = find(&ends, text, last) else { return None };
        self.give_arguments(emit);
        emit(Piece::End);
        self.state = State::AfterCall;
        Some(if which == 0 { ends[0].len() } else { 0 })
    }

    /// What stands behind a call in its section says nothing.
    fn after_call(&mut self, text: &str, last: bool) -> Option<usize> {
        let markers = [self.elements.section_end, self.elements.call];
        match find(&markers, text, last) {
            Found::Marker { at, which: 0 } => {
                self.state = State::Text;
                Some(at + markers[0].len())
            }
            Found::Marker { at, .. } => {
                self.raw.clear();
                Some(at + self.begin_call())
            }
            Found::Maybe(0) => None,
            Found::Maybe(at) => Some(at),
            Found::Nothing => Some(text.len()),
        }
    }

    fn give_arguments(&mut self, emit: Emit<'_>) {
        let schema = self.tools.schema(&self.function).unwrap_or_default();
        emit(Piece::Arguments(&object::of(&self.body, self.elements.mark, &schema)));
        self.body = String::new();
    }

    fn give_up(&mut self, emit: Emit<'_>) {
        emit(Piece::Malformed(&self.raw));
        self.raw.clear();
        self.state = State::Text;
    }
}

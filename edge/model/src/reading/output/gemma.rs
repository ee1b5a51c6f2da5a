//! Calls as Gemma writes them: `call:N{p:<|"|>text<|"|>,q:1}` between markers, with bare keys and marked strings.

use std::sync::Arc;

use super::arguments::{escaped, quoted, typed};
use super::call_reader::ReadCalls;
use super::marker::{Found, certain, find};
use super::piece::{Emit, Piece};
use super::tools::{Functions, Types};

/// How many bytes a name or a value that is no string may have.
const MOST_OF_WORD: usize = 512;

/// How deep objects and lists may stand in each other.
const MOST_DEPTH: usize = 64;

/// What begins the name.
const CALL: &str = "call:";

/// The markers of a format.
#[derive(Debug)]
pub(super) struct Markers {
    pub open: &'static str,
    pub close: &'static str,
    /// Around a string.
    pub string: &'static str,
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct GemmaReader {
    markers: &'static Markers,
    tools: Arc<Functions>,
    place: Place,
    function: String,
    /// The types of the value that is next.
    types: Types,
    open: Vec<Container>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Header,
    Key,
    Value,
    String,
    AfterValue,
    AfterCall,
}

#[derive(Debug, Clone, Copy)]
struct Container {
    list: bool,
    filled: bool,
}

impl GemmaReader {
    pub(super) fn new(markers: &'static Markers, tools: Arc<Functions>) -> Self {
        Self { markers, tools, place: Place::Text, function: String::new(), types: Types::ANY, open: Vec::new() }
    }
}

impl ReadCalls for GemmaReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match self.place {
            Place::Text => self.text(text, last, emit),
            Place::Header => self.header(text, emit),
            Place::Key => self.key(text, emit),
            Place::Value => self.value(text, last, emit),
            Place::String => self.string(text, emit),
            Place::AfterValue => self.after_value(text, emit),
            Place::AfterCall => self.after_call(text, last, emit),
        }
    }

    fn end(&mut self, rest: &str, emit: Emit<'_>) {
        match self.place {
            Place::Header => self.give_up(rest, emit),
            Place::Value if !self.markers.string.starts_with(rest) => emit(Piece::Arguments(rest)),
            // Half of a marker is for nobody, a sign may be for the client.
            Place::String if rest.len() == 1 => emit(Piece::Arguments(&escaped(rest))),
            _ => {}
        }
    }

    fn rests(&self) -> bool {
        self.place == Place::Text
    }
}

impl GemmaReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let open = self.markers.open;
        match certain(&[open], text, last) {
            0 if text.starts_with(open) => {
                self.place = Place::Header;
                Some(open.len())
            }
            0 => None,
            length => {
                emit(Piece::Text(&text[..length]));
                Some(length)
            }
        }
    }

    fn header(&mut self, text: &str, emit: Emit<'_>) -> Option<usize> {
        let begin = text.len().min(CALL.len());
        let Some(end) = text.find('{') else {
            if text.len() > MOST_OF_WORD || !text.as_bytes().starts_with(&CALL.as_bytes()[..begin]) {
                self.give_up("", emit);
                return Some(0);
            }
            return None;
        };
        let name = text[..end].strip_prefix(CALL).map_or("", str::trim);
        if name.is_empty() || end > MOST_OF_WORD {
            self.give_up("", emit);
            return Some(0);
        }
        emit(Piece::Begin(name));
        emit(Piece::Arguments("{"));
        self.function = name.to_owned();
        self.open = vec![Container { list: false, filled: false }];
        self.place = Place::Key;
        Some(end + 1)
    }

    fn key(&mut self, text: &str, emit: Emit<'_>) -> Option<usize> {
        let trimmed = text.trim_start();
        if trimmed.len() < text.len() {
            return Some(text.len() - trimmed.len());
        }
        if text.starts_with('}') {
            return Some(self.close(emit));
        }
        let Some(end) = text.find(':') else {
            return (text.len() > MOST_OF_WORD).then(|| self.break_off());
        };
        if end > MOST_OF_WORD {
            return Some(self.break_off());
        }
        let key = text[..end].trim();
        let string = self.markers.string;
        let key = key.strip_prefix(string).and_then(|key| key.strip_suffix(string)).unwrap_or(key);
        self.separate(emit);
        emit(Piece::Arguments(&format!("{}: ", quoted(key))));
        self.types = if self.open.len() == 1 { self.tools.types(&self.function, key) } else { Types::ANY };
        self.place = Place::Value;
        Some(end + 1)
    }

    fn value(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let trimmed = text.trim_start();
        if trimmed.len() < text.len() {
            return Some(text.len() - trimmed.len());
        }
        let in_list = self.open.last().is_some_and(|container| container.list);
        if in_list && text.starts_with(']') {
            return Some(self.close(emit));
        }
        let string = self.markers.string;
        let list = match text.as_bytes().first() {
            Some(b'{') => Some(false),
            Some(b'[') => Some(true),
            _ => None,
        };
        if let Some(list) = list {
            if self.open.len() >= MOST_DEPTH {
                return Some(self.break_off());
            }
            self.begin_value(in_list, emit);
            emit(Piece::Arguments(if list { "[" } else { "{" }));
            self.open.push(Container { list, filled: false });
            self.types = Types::ANY;
            self.place = if list { Place::Value } else { Place::Key };
            return Some(1);
        }
        if text.starts_with(string) {
            self.begin_value(in_list, emit);
            emit(Piece::Arguments("\""));
            self.place = Place::String;
            return Some(string.len());
        }
        if !last && string.starts_with(text) {
            return None;
        }
        let Some(end) = text.find([',', '}', ']']) else {
            return (text.len() > MOST_OF_WORD).then(|| self.break_off());
        };
        if end > MOST_OF_WORD {
            return Some(self.break_off());
        }
        self.begin_value(in_list, emit);
        let word = text[..end].trim();
        emit(Piece::Arguments(&if word.is_empty() { "null".into() } else { typed(word, self.types) }));
        self.place = Place::AfterValue;
        Some(end)
    }

    fn string(&mut self, text: &str, emit: Emit<'_>) -> Option<usize> {
        let string = self.markers.string;
        match certain(&[string], text, false) {
            0 if text.starts_with(string) => {
                emit(Piece::Arguments("\""));
                self.place = Place::AfterValue;
                Some(string.len())
            }
            0 => None,
            length => {
                emit(Piece::Arguments(&escaped(&text[..length])));
                Some(length)
            }
        }
    }

    fn after_value(&mut self, text: &str, emit: Emit<'_>) -> Option<usize> {
        let list = self.open.last().is_some_and(|container| container.list);
        match text.as_bytes().first() {
            Some(b' ' | b'\n' | b'\t' | b'\r') => Some(1),
            Some(b',') => {
                self.place = if list { Place::Value } else { Place::Key };
                Some(1)
            }
            Some(b']') if list => Some(self.close(emit)),
            Some(b'}') if !list => Some(self.close(emit)),
            _ => Some(self.break_off()),
        }
    }

    fn after_call(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let space = text.len() - text.trim_start().len();
        let close = self.markers.close;
        match find(&[close], &text[space..], last) {
            Found::Marker { at: 0, .. } => {
                self.place = Place::Text;
                Some(space + close.len())
            }
            Found::Maybe(0) if space == 0 => None,
            _ if space > 0 => {
                emit(Piece::Text(&text[..space]));
                Some(space)
            }
            _ => {
                self.place = Place::Text;
                Some(0)
            }
        }
    }

    /// A value begins, behind another one in a list.
    fn begin_value(&mut self, in_list: bool, emit: Emit<'_>) {
        if in_list {
            self.separate(emit);
        }
    }

    fn separate(&mut self, emit: Emit<'_>) {
        if let Some(container) = self.open.last_mut()
            && std::mem::replace(&mut container.filled, true)
        {
            emit(Piece::Arguments(", "));
        }
    }

    /// Ends the innermost object or list with the sign that is next.
    fn close(&mut self, emit: Emit<'_>) -> usize {
        let list = self.open.pop().is_some_and(|container| container.list);
        emit(Piece::Arguments(if list { "]" } else { "}" }));
        self.place = Place::AfterValue;
        if self.open.is_empty() {
            emit(Piece::End);
            self.place = Place::AfterCall;
        }
        1
    }

    /// The call does not go on like one.
    fn break_off(&mut self) -> usize {
        self.place = Place::Text;
        0
    }

    fn give_up(&mut self, rest: &str, emit: Emit<'_>) {
        emit(Piece::Malformed(self.markers.open));
        if !rest.is_empty() {
            emit(Piece::Malformed(rest));
        }
        self.place = Place::Text;
    }
}

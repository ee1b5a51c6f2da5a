//! Calls that are JSON objects: `{"name": N, "arguments": {..}}`, one or a list, after a marker or bare.
//!
//! A call begins for the client when its name is known and its arguments have begun like an object; they flow from
//! then on, as the model wrote them. Up to there it is held, and what does not fit is plain text.

mod signs;

use std::sync::Arc;

use super::super::nesting::{JsonString, Nesting};
use super::call_reader::ReadCalls;
use super::marker::{Found, find};
use super::notation::{Body, Notation};
use super::piece::{Emit, Piece};
use super::space;
use super::tools::Functions;

/// How many bytes may wait to be understood: a name, the signs around it, members that come before it.
const MOST_HELD: usize = 64 * 1024;

/// How many bytes a name may have that stands before the arguments.
const MOST_OF_NAME: usize = 256;

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct JsonReader {
    notation: &'static Notation,
    /// What ends plain text: what may stand behind calls, then what begins them.
    markers: Arc<[&'static str]>,
    tools: Arc<Functions>,
    place: Place,
    /// The text since the region began or since its last call, as far as it was not given out.
    held: String,
    /// How much of it is the marker.
    marker: usize,
    form: Form,
    call: Call,
    /// The region has a marker.
    marked: bool,
    /// The region has a call.
    calls: bool,
    /// Calls have ended, and what may stand behind them was not met.
    ends: bool,
}

/// What is around a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Object,
    InList,
    /// Its arguments alone, after their name.
    Arguments,
}

/// What is known of a call.
#[derive(Debug, Clone, Default)]
struct Call {
    name: Option<String>,
    /// Arguments that came before their name, or that wait for the end of the call.
    arguments: Option<String>,
    /// It was given out.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Text,
    Body,
    /// The name stands before the arguments.
    Header,
    /// A call or the end of the list.
    Call,
    Key,
    InKey {
        begin: usize,
        string: JsonString,
    },
    Colon(Member),
    Value(Member),
    /// A string that is held.
    InString {
        begin: usize,
        string: JsonString,
        member: Member,
    },
    /// An object or a list that is held.
    InValue {
        begin: usize,
        nesting: Nesting,
        member: Member,
    },
    /// A number or a word.
    InWord,
    /// Behind the first brace of arguments.
    First {
        begin: usize,
    },
    Arguments(Nesting),
    AfterMember,
    /// Behind a call of a list.
    AfterCall,
    /// Behind a call after a marker, where the next one may stand.
    AfterObject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Name,
    Arguments,
    Other,
}

impl JsonReader {
    pub(super) fn new(notation: &'static Notation, tools: Arc<Functions>) -> Self {
        let bare: &[&str] = match notation.body {
            _ if !notation.bare => &[],
            Body::Either => &["{", "["],
            Body::List | Body::NamedList | Body::ListOrName => &["["],
        };
        Self {
            notation,
            markers: notation.close.iter().chain(notation.open).chain(bare).copied().collect(),
            tools,
            place: Place::Text,
            held: String::new(),
            marker: 0,
            form: Form::Object,
            call: Call::default(),
            marked: false,
            calls: false,
            ends: false,
        }
    }
}

impl ReadCalls for JsonReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match self.place {
            Place::Text => self.text(text, last, emit),
            Place::Arguments(nesting) => Some(self.arguments(nesting, text, emit)),
            _ => Some(self.sign(text, emit)),
        }
    }

    fn end(&mut self, _rest: &str, emit: Emit<'_>) {
        match self.place {
            Place::Text | Place::Arguments(_) | Place::AfterCall | Place::AfterObject => {}
            // Nothing but the end of the notation is missing.
            _ if self.call.begun || (self.calls && self.held.trim().is_empty()) => {}
            _ => self.give_up(emit),
        }
    }

    fn rests(&self) -> bool {
        matches!(self.place, Place::Text) && self.held.is_empty()
    }
}

impl JsonReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let notation = self.notation;
        let (at, which) = match find(&self.markers, text, last) {
            Found::Marker { at, which } => (at, Some(which)),
            Found::Maybe(0) => return None,
            Found::Maybe(at) => (at, None),
            Found::Nothing => (text.len(), None),
        };
        for run in space::runs(&text[..at]) {
            self.ends &= run.trim().is_empty();
            if self.ends {
                // It belongs to the notation if the end of that follows.
                space::hold(&mut self.held, run);
            } else {
                self.give_space(emit);
                emit(Piece::Text(run));
            }
        }
        let Some(which) = which else { return Some(at) };
        let marker = self.markers[which];
        if which < notation.close.len() && self.ends {
            self.ends = false;
            self.held.clear();
        } else if notation.open.contains(&marker) {
            self.open(marker);
        } else if which < notation.close.len() {
            self.give_space(emit);
            emit(Piece::Text(marker));
        } else {
            self.open("");
            return Some(at);
        }
        Some(at + marker.len())
    }

    /// White space behind calls was not followed by the end of their notation.
    fn give_space(&mut self, emit: Emit<'_>) {
        if !self.held.is_empty() {
            emit(Piece::Text(&std::mem::take(&mut self.held)));
        }
    }

    fn open(&mut self, marker: &str) {
        self.held.clear();
        self.held.push_str(marker);
        self.marker = marker.len();
        self.marked = !marker.is_empty();
        self.call = Call::default();
        self.calls = false;
        self.place = Place::Body;
    }

    /// Reads one sign of what is held.
    fn sign(&mut self, text: &str, emit: Emit<'_>) -> usize {
        let Some(sign) = text.chars().next() else { return 0 };
        self.held.push(sign);
        match self.next(sign, emit) {
            Some(place) => self.place = place,
            None => {
                self.held.pop();
                self.give_up(emit);
                return 0;
            }
        }
        if self.held.len() > MOST_HELD {
            self.give_up(emit);
        }
        sign.len_utf8()
    }

    /// Gives out a call of which all is known.
    fn give_held_call(&mut self, emit: Emit<'_>) {
        let Call { name: Some(name), arguments: Some(arguments), begun: false } = &self.call else { return };
        emit(Piece::Begin(name));
        emit(Piece::Arguments(arguments));
        self.end_call(emit);
    }

    /// Gives out a call whose arguments begin there.
    fn begin(&mut self, begin: usize, emit: Emit<'_>) -> Place {
        let held = std::mem::take(&mut self.held);
        emit(Piece::Begin(self.call.name.as_deref().unwrap_or_default()));
        emit(Piece::Arguments(&held[begin..]));
        self.call.begun = true;
        let nesting = held[begin..].bytes().try_fold(Nesting::OUTSIDE, Nesting::after);
        nesting.map_or_else(|| self.end_arguments(emit), Place::Arguments)
    }

    /// Gives out the arguments in the text, gives back how long they are.
    fn arguments(&mut self, mut nesting: Nesting, text: &str, emit: Emit<'_>) -> usize {
        for (position, byte) in text.bytes().enumerate() {
            let Some(inside) = nesting.after(byte) else {
                emit(Piece::Arguments(&text[..=position]));
                self.place = self.end_arguments(emit);
                return position + 1;
            };
            nesting = inside;
        }
        emit(Piece::Arguments(text));
        self.place = Place::Arguments(nesting);
        text.len()
    }

    fn end_arguments(&mut self, emit: Emit<'_>) -> Place {
        self.end_call(emit);
        if self.form == Form::Arguments {
            self.end_region();
            return Place::Text;
        }
        Place::AfterMember
    }

    fn end_call(&mut self, emit: Emit<'_>) {
        emit(Piece::End);
        self.call.begun = true;
        self.calls = true;
        self.ends = true;
        self.held.clear();
        self.marker = 0;
    }

    fn end_object(&mut self, emit: Emit<'_>) -> Option<Place> {
        if self.call.arguments.is_none() && self.notation.without_arguments {
            self.call.arguments = Some("{}".to_owned());
        }
        self.give_held_call(emit);
        if !self.call.begun {
            return None;
        }
        self.call = Call::default();
        self.held.clear();
        match self.form {
            Form::InList => Some(Place::AfterCall),
            Form::Object if self.marked => Some(Place::AfterObject),
            Form::Object | Form::Arguments => {
                self.end_region();
                Some(Place::Text)
            }
        }
    }

    fn end_region(&mut self) {
        self.held.clear();
        self.ends = true;
        self.place = Place::Text;
    }

    /// What is held is no call.
    fn give_up(&mut self, emit: Emit<'_>) {
        if matches!(self.place, Place::AfterObject) {
            self.place = Place::Text;
            return;
        }
        let held = std::mem::take(&mut self.held);
        let after_call = self.call.begun || matches!(self.place, Place::AfterCall);
        let shown = if self.notation.hides_marker { held[self.marker..].trim_start() } else { &held };
        if !shown.is_empty() {
            emit(if after_call { Piece::Text(shown) } else { Piece::Malformed(shown) });
        }
        self.marker = 0;
        self.place = Place::Text;
    }
}

//! Calls as Python writes them: `[n(a='x', b=1), m()]`, their arguments as JSON text.
//!
//! A call begins for the client with its first keyword argument, or when it ends without any: arguments without
//! keywords cannot be told in JSON.

use std::sync::Arc;

use super::call_reader::ReadCalls;
use super::literal::{Literal, Read};
use super::marker::{Found, find};
use super::piece::{Emit, Piece};
use super::tools::Functions;

/// How many bytes a call may have up to its first argument.
const MOST_HELD: usize = 1024;

/// What stands around the calls of a format.
#[derive(Debug)]
pub(super) struct Around {
    pub open: &'static [&'static str],
    pub close: &'static [&'static str],
    /// The list may also stand without markers.
    pub bare: bool,
    pub list: List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// In brackets, with commas.
    Brackets,
    /// One in each line.
    Lines,
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct PythonReader {
    around: &'static Around,
    markers: Arc<[&'static str]>,
    tools: Arc<Functions>,
    place: Place,
    /// Since the list began or the last call ended, up to the begin of the next.
    held: String,
    keywords: usize,
    /// Text has come, before which a list needs no marker.
    text: bool,
    /// The list has a marker.
    marked: bool,
    /// The list has a call.
    calls: bool,
    /// Calls have ended, and what may stand behind them was not met.
    ends: bool,
}

#[derive(Debug, Clone)]
enum Place {
    Text,
    /// Before the list.
    Open,
    /// A call may follow.
    Call,
    Name {
        begin: usize,
    },
    /// Between a name and its parenthesis.
    AfterName {
        name: String,
    },
    /// An argument may follow. The name is there until the call has begun.
    Argument {
        name: Option<String>,
    },
    Keyword {
        name: Option<String>,
        keyword: String,
    },
    Value(Literal),
    AfterValue,
    AfterCall,
}

impl PythonReader {
    pub(super) fn new(around: &'static Around, tools: Arc<Functions>) -> Self {
        let bare: &[&str] = if around.bare { &["["] } else { &[] };
        Self {
            around,
            markers: around.close.iter().chain(around.open).chain(bare).copied().collect(),
            tools,
            place: Place::Text,
            held: String::new(),
            keywords: 0,
            text: false,
            marked: false,
            calls: false,
            ends: false,
        }
    }
}

impl ReadCalls for PythonReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match &mut self.place {
            Place::Text => self.text(text, last, emit),
            Place::Value(literal) => match literal.read(text, emit) {
                Read::All => Some(text.len()),
                Read::Value { length } => {
                    self.place = Place::AfterValue;
                    Some(length)
                }
                Read::Malformed { length } => {
                    self.held.clear();
                    self.place = Place::Text;
                    Some(length)
                }
            },
            _ => Some(self.sign(text, emit)),
        }
    }

    fn end(&mut self, _rest: &str, emit: Emit<'_>) {
        match &mut self.place {
            Place::Value(literal) => literal.cut_off(emit),
            Place::Open | Place::Call | Place::Name { .. } | Place::AfterName { .. } => self.give_up(emit),
            Place::Argument { name: Some(_) } | Place::Keyword { name: Some(_), .. } => self.give_up(emit),
            Place::Text
            | Place::Argument { name: None }
            | Place::Keyword { name: None, .. }
            | Place::AfterValue
            | Place::AfterCall => {}
        }
    }

    fn rests(&self) -> bool {
        matches!(self.place, Place::Text) && self.held.is_empty()
    }
}

impl PythonReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let (at, which) = match find(&self.markers, text, last) {
            Found::Marker { at, which } => (at, Some(which)),
            Found::Maybe(0) => return None,
            Found::Maybe(at) => (at, None),
            Found::Nothing => (text.len(), None),
        };
        if at > 0 {
            let space = text[..at].trim().is_empty();
            self.ends &= space;
            self.text |= !space;
            emit(Piece::Text(&text[..at]));
        }
        let Some(which) = which else { return Some(at) };
        let marker = self.markers[which];
        if which < self.around.close.len() {
            if !std::mem::take(&mut self.ends) {
                emit(Piece::Text(marker));
            }
            return Some(at + marker.len());
        }
        self.marked = self.around.open.contains(&marker);
        self.held.clear();
        self.calls = false;
        self.place = Place::Open;
        if !self.marked {
            return Some(at);
        }
        self.held.push_str(marker);
        if self.around.list == List::Lines {
            self.place = Place::Call;
        }
        Some(at + marker.len())
    }

    /// Reads one sign outside of values.
    fn sign(&mut self, text: &str, emit: Emit<'_>) -> usize {
        let Some(sign) = text.chars().next() else { return 0 };
        self.held.push(sign);
        let place = std::mem::replace(&mut self.place, Place::Text);
        match self.next(place, sign, emit) {
            Some(place) if self.held.len() <= MOST_HELD => self.place = place,
            _ => {
                self.held.pop();
                self.give_up(emit);
                return 0;
            }
        }
        sign.len_utf8()
    }

    /// What may come after this sign; nothing if it may not come here.
    fn next(&mut self, place: Place, sign: char, emit: Emit<'_>) -> Option<Place> {
        let lines = self.around.list == List::Lines;
        let begins_name = sign == '_' || sign.is_alphabetic();
        match (place, sign) {
            (Place::Name { begin }, sign) if sign == '_' || sign == '.' || sign == '-' || sign.is_alphanumeric() => {
                Some(Place::Name { begin })
            }
            (Place::Name { begin }, sign) => {
                let name = self.held[begin..self.held.len() - sign.len_utf8()].to_owned();
                // In the middle of a text, a list is only a call if it can be meant as one.
                let known = self.marked || !self.text || self.tools.offers(&name);
                let place = known.then_some(Place::AfterName { name })?;
                self.next(place, sign, emit)
            }
            (Place::Keyword { name, mut keyword }, sign) if sign == '_' || sign.is_alphanumeric() => {
                keyword.push(sign);
                Some(Place::Keyword { name, keyword })
            }
            (place, ' ' | '\t' | '\n' | '\r') => Some(place),
            (Place::Open, '[') => Some(Place::Call),
            (Place::Call, ']') if !lines && self.calls => Some(self.end_list()),
            (Place::Call, _) if begins_name => Some(Place::Name { begin: self.held.len() - sign.len_utf8() }),
            (Place::AfterName { name }, '(') => {
                self.keywords = 0;
                Some(Place::Argument { name: Some(name) })
            }
            (Place::Argument { name }, ')') => {
                if let Some(name) = name {
                    emit(Piece::Begin(&name));
                }
                Some(self.end_call(emit))
            }
            (Place::Argument { name }, _) if begins_name => Some(Place::Keyword { name, keyword: sign.to_string() }),
            (Place::Keyword { name, keyword }, '=') => {
                if let Some(name) = name {
                    emit(Piece::Begin(&name));
                }
                let begin = if self.keywords == 0 { "{" } else { ", " };
                emit(Piece::Arguments(&format!("{begin}\"{keyword}\": ")));
                self.keywords += 1;
                self.held.clear();
                Some(Place::Value(Literal::new()))
            }
            (Place::AfterValue, ',') => {
                self.held.clear();
                Some(Place::Argument { name: None })
            }
            (Place::AfterValue, ')') => Some(self.end_call(emit)),
            (Place::AfterCall, ',') => Some(Place::Call),
            (Place::AfterCall, ']') if !lines => Some(self.end_list()),
            (Place::AfterCall, _) if lines && begins_name => {
                Some(Place::Name { begin: self.held.len() - sign.len_utf8() })
            }
            _ => None,
        }
    }

    fn end_call(&mut self, emit: Emit<'_>) -> Place {
        emit(Piece::Arguments(if self.keywords == 0 { "{}" } else { "}" }));
        emit(Piece::End);
        self.held.clear();
        self.calls = true;
        self.ends = true;
        Place::AfterCall
    }

    fn end_list(&mut self) -> Place {
        self.held.clear();
        Place::Text
    }

    /// What is held is no call.
    fn give_up(&mut self, emit: Emit<'_>) {
        let held = std::mem::take(&mut self.held);
        self.text |= !held.trim().is_empty();
        if !held.is_empty() {
            emit(if self.calls { Piece::Text(&held) } else { Piece::Malformed(&held) });
        }
        self.place = Place::Text;
    }
}

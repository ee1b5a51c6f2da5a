//! Calls that are JSON objects: `{"name": N, "arguments": {..}}`, one or a list, after a marker or bare.
//!
//! A call begins for the client when its name is known and its arguments have begun like an object; they flow from
//! then on, as the model wrote them. Up to there it is held, and what does not fit is plain text.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::super::nesting::{JsonString, Nesting};
use super::call_reader::ReadCalls;
use super::marker::{Found, find};
use super::notation::{Body, Notation, Trust};
use super::piece::{Emit, Piece};
use super::space;
use super::tools::Tools;

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
    tools: Arc<Tools>,
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
    pub(super) fn new(notation: &'static Notation, tools: Arc<Tools>) -> Self {
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
    fn read(&mut self, text: &str, last: bool, emit: Emit<'_>) -> usize {
        let mut length = 0;
        while length < text.len() {
            let rest = &text[length..];
            let step = match self.place {
                Place::Text => self.text(rest, last, emit),
                Place::Arguments(nesting) => Some(self.arguments(nesting, rest, emit)),
                _ => Some(self.sign(rest, emit)),
            };
            match step {
                Some(step) => length += step,
                None => break,
            }
        }
        length
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

    /// What may come after this sign; nothing if it may not come here.
    fn next(&mut self, sign: char, emit: Emit<'_>) -> Option<Place> {
        // No byte of a longer character is one of JSON's signs.
        let byte = u8::try_from(sign).ok().filter(u8::is_ascii).unwrap_or(b'?');
        let last = self.held.len() - sign.len_utf8();
        let body = self.notation.body;
        match (self.place, byte) {
            (Place::InKey { begin, string }, _) => match string.after(byte) {
                Some(string) => Some(Place::InKey { begin, string }),
                None => self.member(begin).map(Place::Colon),
            },
            (Place::InString { begin, string, member }, _) => match string.after(byte) {
                Some(string) => Some(Place::InString { begin, string, member }),
                None => self.end_string(begin, member, emit),
            },
            (Place::InValue { begin, nesting, member }, _) => match nesting.after(byte) {
                Some(nesting) => Some(Place::InValue { begin, nesting, member }),
                None if member == Member::Arguments => self.hold_arguments(self.held[begin..].to_owned()),
                None => Some(Place::AfterMember),
            },
            (Place::InWord, b',' | b'}') => {
                self.place = Place::AfterMember;
                self.next(sign, emit)
            }
            (Place::InWord, b'"' | b'{' | b'[' | b']' | b':') => None,
            (Place::InWord, _) => Some(Place::InWord),
            (Place::Header, b'{') => {
                self.call.name = Some(header_name(&self.held[self.marker..last])?.to_owned());
                self.form = Form::Arguments;
                Some(Place::First { begin: last })
            }
            (Place::Header, b'[' | b']' | b'_' | b'-' | b'.') => self.header(),
            (Place::Header, _) if byte.is_ascii_alphanumeric() => self.header(),
            (place, b' ' | b'\t' | b'\n' | b'\r') if !matches!(place, Place::Header) => Some(place),
            (Place::Body, b'[') => {
                self.form = Form::InList;
                Some(Place::Call)
            }
            (Place::Body, b'{') if body == Body::Either => {
                self.form = Form::Object;
                Some(Place::Key)
            }
            (Place::Body, _) if body == Body::ListOrName && (byte.is_ascii_alphanumeric() || byte == b'_') => {
                Some(Place::Header)
            }
            (Place::Call | Place::AfterObject, b'{') => Some(Place::Key),
            (Place::Call, b']') if !self.calls && self.marked => {
                emit(Piece::NoCalls);
                self.end_region();
                Some(Place::Text)
            }
            (Place::Key, b'"') => Some(Place::InKey { begin: last, string: JsonString::OPEN }),
            (Place::Colon(member), b':') => Some(Place::Value(member)),
            (Place::Value(Member::Arguments), b'{') if self.call.name.is_some() && self.trusts_form() => {
                Some(Place::First { begin: last })
            }
            (Place::Value(member), b'"') => Some(Place::InString { begin: last, string: JsonString::OPEN, member }),
            (Place::Value(Member::Name), _) => None,
            (Place::Value(member), b'{' | b'[') if member == Member::Other || byte == b'{' => {
                Nesting::OUTSIDE.after(byte).map(|nesting| Place::InValue { begin: last, nesting, member })
            }
            (Place::Value(Member::Arguments), b'n') => {
                self.call.arguments = Some("{}".to_owned());
                Some(Place::InWord)
            }
            (Place::Value(Member::Other), b',' | b'}' | b']' | b':') | (Place::Value(Member::Arguments), _) => None,
            (Place::Value(Member::Other), _) => Some(Place::InWord),
            (Place::First { begin }, b'"' | b'}') => Some(self.begin(begin, emit)),
            (Place::AfterMember, b',') => Some(Place::Key),
            (Place::AfterMember | Place::Key, b'}') => self.end_object(emit),
            (Place::AfterCall, b',') => Some(Place::Call),
            (Place::AfterCall, b']') => {
                self.end_region();
                Some(Place::Text)
            }
            _ => None,
        }
    }

    fn header(&self) -> Option<Place> {
        (self.held.len() - self.marker <= MOST_OF_NAME).then_some(Place::Header)
    }

    fn trusts_form(&self) -> bool {
        self.notation.trust == Trust::Form
    }

    /// The key that begins there and ends here.
    fn member(&mut self, begin: usize) -> Option<Member> {
        let key: String = serde_json::from_str(&self.held[begin..]).ok()?;
        if self.notation.body == Body::NamedList && self.call.name.is_none() {
            self.call.name = Some(key).filter(|name| !name.is_empty());
            return self.call.name.is_some().then_some(Member::Arguments);
        }
        let arguments = self.call.begun || self.call.arguments.is_some();
        Some(match key.as_str() {
            key if key == self.notation.name && self.call.name.is_none() => Member::Name,
            "arguments" | "parameters" if !arguments => Member::Arguments,
            _ => Member::Other,
        })
    }

    fn end_string(&mut self, begin: usize, member: Member, emit: Emit<'_>) -> Option<Place> {
        if member == Member::Other {
            return Some(Place::AfterMember);
        }
        let string: String = serde_json::from_str(&self.held[begin..]).ok()?;
        if member == Member::Arguments {
            return self.hold_arguments(string);
        }
        if string.is_empty() || !(self.trusts_form() || self.tools.offers(&string)) {
            return None;
        }
        self.call.name = Some(string);
        if self.trusts_form() {
            self.give_held_call(emit);
        }
        Some(Place::AfterMember)
    }

    /// Arguments that came whole and may be looked at.
    fn hold_arguments(&mut self, arguments: String) -> Option<Place> {
        let valid = arguments.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(&arguments).is_ok();
        self.call.arguments = Some(arguments).filter(|_| valid);
        self.call.arguments.is_some().then_some(Place::AfterMember)
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

/// The name before arguments: `N`, `N[ARGS]`, `N[CALL_ID]id[ARGS]`.
fn header_name(header: &str) -> Option<&str> {
    let header = header.trim();
    let Some((name, notes)) = header.split_once('[') else { return Some(header) };
    let known = notes == "ARGS]" || (notes.starts_with("CALL_ID]") && notes.ends_with("[ARGS]"));
    (known && !name.is_empty()).then_some(name)
}

//! Calls whose parameters stand in tags of their own: `<function=N><parameter=P>value</parameter></function>`.

use std::sync::Arc;

use super::arguments::{Arguments, Form};
use super::call_reader::ReadCalls;
use super::marker::{Found, certain, find};
use super::piece::{Emit, Piece};
use super::tools::{Functions, Types};

/// How many bytes a name may have with what stands around it.
const MOST_OF_NAME: usize = 256;

/// How many bytes may stand between the begin of a section and its first call.
const MOST_BEFORE_CALL: usize = 1024;

/// The tags of a format.
#[derive(Debug)]
pub(super) struct Tags {
    /// What begins a section of calls. A call may also begin without one.
    pub section: &'static [&'static str],
    pub section_end: &'static str,
    /// What may stand before a call and says nothing.
    pub noise: &'static [&'static str],
    pub call: &'static str,
    /// Without one, the name ends where the first parameter begins, or with the call.
    pub call_name_end: Option<&'static str>,
    pub call_end: &'static str,
    pub parameter: &'static str,
    pub parameter_name_end: &'static str,
    /// What stands between the name and the value.
    pub value: Option<&'static str>,
    pub value_end: &'static str,
    /// A value ends where the next parameter begins, too: the models that write like this forget the end.
    pub lenient: bool,
    pub form: Form,
    pub typing: Typing,
    /// Names of parameters are written as attributes of XML are: `&amp;` and `&quot;` stand for what they name.
    pub escaped: bool,
}

impl Tags {
    pub(super) fn all(&self) -> Vec<&'static str> {
        let ends =
            [self.section_end, self.call, self.call_end, self.parameter, self.parameter_name_end, self.value_end];
        let options = self.call_name_end.into_iter().chain(self.value);
        self.section.iter().chain(self.noise).copied().chain(ends).chain(options).collect()
    }
}

/// Where the type of a value is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    /// In the tool's schema.
    Schema,
    /// In the tag: it is a string where this stands, else it is JSON.
    Tag(&'static str),
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct TaggedReader {
    tags: &'static Tags,
    /// What begins calls: a call, then sections.
    openers: Arc<[&'static str]>,
    tools: Arc<Functions>,
    state: State,
    /// From the begin of the section up to the begin of its first call.
    raw: String,
    /// The function that is called.
    function: String,
    /// The parameter whose value is next, and what may be its value.
    parameter: (String, Types),
    arguments: Arguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// A section has begun; a call must follow.
    Section,
    /// The name of a call.
    Name,
    /// Between the parameters of a call.
    Call,
    Parameter,
    /// Between the name of a parameter and its value.
    BeforeValue,
    Value,
    /// Behind a call, in its section.
    AfterCall,
}

impl TaggedReader {
    pub(super) fn new(tags: &'static Tags, tools: Arc<Functions>) -> Self {
        Self {
            tags,
            openers: std::iter::once(&tags.call).chain(tags.section).copied().collect(),
            tools,
            state: State::Text,
            raw: String::new(),
            function: String::new(),
            parameter: (String::new(), Types::ANY),
            arguments: Arguments::default(),
        }
    }
}

impl ReadCalls for TaggedReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match self.state {
            State::Text => self.text(text, last, emit),
            State::Section => self.section(text, last, emit),
            State::Name => self.name(text, last, emit),
            State::Call => self.call(text, last, emit),
            State::Parameter => self.parameter(text, last, emit),
            State::BeforeValue => self.before_value(text, last, emit),
            State::Value => self.value(text, emit),
            State::AfterCall => self.after_call(text, last, emit),
        }
    }

    fn end(&mut self, rest: &str, emit: Emit<'_>) {
        match self.state {
            State::Section | State::Name => {
                self.raw.push_str(rest);
                self.give_up(emit);
            }
            State::Value => {
                // Half of a marker is for nobody, a sign may be for the client.
                if rest.len() == 1 {
                    self.arguments.text(rest, emit);
                }
                self.arguments.cut_off(emit);
            }
            // No value is left open, so that only the end of the notation is missing.
            State::Call | State::Parameter | State::BeforeValue => {
                self.arguments.end(emit);
                emit(Piece::End);
            }
            State::Text | State::AfterCall => {}
        }
    }

    fn rests(&self) -> bool {
        self.state == State::Text
    }
}

impl TaggedReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match find(&self.openers, text, last) {
            Found::Marker { at, which } => {
                if at > 0 {
                    emit(Piece::Text(&text[..at]));
                }
                let opener = self.openers[which];
                self.raw.clear();
                self.raw.push_str(opener);
                self.state = if which == 0 { State::Name } else { State::Section };
                Some(at + opener.len())
            }
            Found::Maybe(0) => None,
            Found::Maybe(at) => {
                emit(Piece::Text(&text[..at]));
                Some(at)
            }
            Found::Nothing => {
                emit(Piece::Text(text));
                Some(text.len())
            }
        }
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
        let tags = self.tags;
        let mut markers = vec![tags.call];
        markers.extend(tags.noise);
        match find(&markers, text, last) {
            Found::Marker { at: 0, which } => {
                self.raw.push_str(markers[which]);
                if which == 0 {
                    self.state = State::Name;
                } else if self.raw.len() > MOST_BEFORE_CALL {
                    self.give_up(emit);
                }
                Some(markers[which].len())
            }
            Found::Maybe(0) => None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.give_up(emit);
                Some(0)
            }
        }
    }

    fn name(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let mut markers = vec![tags.parameter, tags.call_end];
        markers.extend(tags.call_name_end);
        let (end, length) = match find(&markers, text, last) {
            Found::Marker { at, which: 2 } => (at, at + markers[2].len()),
            Found::Marker { at, .. } => (at, at),
            Found::Maybe(at) if at <= MOST_OF_NAME => return None,
            Found::Nothing if text.len() <= MOST_OF_NAME => return None,
            Found::Maybe(_) | Found::Nothing => (0, 0),
        };
        let name = named(&text[..end]);
        if name.is_empty() || end > MOST_OF_NAME {
            self.give_up(emit);
            return Some(0);
        }
        emit(Piece::Begin(name));
        self.function.clear();
        self.function.push_str(name);
        self.raw.clear();
        self.state = State::Call;
        Some(length)
    }

    fn call(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let markers = [tags.parameter, tags.call_end, tags.section_end, tags.call];
        match find(&markers, text, last) {
            Found::Marker { at, which: 0 } => {
                self.state = State::Parameter;
                Some(at + tags.parameter.len())
            }
            Found::Marker { at, which } => {
                self.arguments.end(emit);
                emit(Piece::End);
                self.state = State::AfterCall;
                Some(if which == 1 { at + tags.call_end.len() } else { at })
            }
            Found::Maybe(0) => None,
            Found::Maybe(at) => Some(at),
            Found::Nothing => Some(text.len()),
        }
    }

    fn parameter(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let header = match find(&[tags.parameter_name_end], text, last) {
            Found::Marker { at, .. } if at <= MOST_OF_NAME => &text[..at],
            Found::Maybe(at) if at <= MOST_OF_NAME => return None,
            Found::Nothing if text.len() <= MOST_OF_NAME => return None,
            // No parameter has such a name; what follows is read as if it were not there.
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.state = State::Call;
                return Some(0);
            }
        };
        let name = match tags.typing {
            Typing::Schema => named(header),
            Typing::Tag(_) => quoted_part(header),
        };
        let types = match tags.typing {
            Typing::Schema => self.tools.types(&self.function, name),
            Typing::Tag(string) if header.contains(string) => Types::STRING,
            Typing::Tag(_) => Types::ANY,
        };
        let name = if tags.escaped { name.replace("&quot;", "\"").replace("&amp;", "&") } else { name.to_owned() };
        self.parameter = (name, types);
        if tags.value.is_some() {
            self.state = State::BeforeValue;
        } else {
            self.begin_value(emit);
        }
        Some(header.len() + tags.parameter_name_end.len())
    }

    fn begin_value(&mut self, emit: Emit<'_>) {
        let (name, types) = &self.parameter;
        self.arguments.begin(name, *types, self.tags.form, emit);
        self.state = State::Value;
    }

    fn before_value(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let value = tags.value?;
        match find(&[value, tags.parameter, tags.call_end], text, last) {
            Found::Marker { at, which: 0 } => {
                self.begin_value(emit);
                Some(at + value.len())
            }
            Found::Marker { at, .. } => {
                self.state = State::Call;
                Some(at)
            }
            Found::Maybe(0) => None,
            Found::Maybe(at) => Some(at),
            Found::Nothing => Some(text.len()),
        }
    }

    fn value(&mut self, text: &str, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let all = [tags.value_end, tags.parameter, tags.call_end];
        let markers = if tags.lenient { &all[..] } else { &all[..1] };
        let end = certain(markers, text, false);
        if end > 0 {
            self.arguments.text(&text[..end], emit);
            return Some(end);
        }
        let Found::Marker { which, .. } = find(markers, text, false) else { return None };
        self.arguments.end_value(emit);
        self.state = State::Call;
        Some(if which == 0 { tags.value_end.len() } else { 0 })
    }

    fn after_call(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tags = self.tags;
        let space = text.len() - text.trim_start().len();
        let mut markers = vec![tags.section_end, tags.call];
        markers.extend(tags.noise);
        markers.extend(tags.section);
        match find(&markers, &text[space..], last) {
            Found::Marker { at: 0, which } => match which {
                0 => {
                    self.state = State::Text;
                    Some(space + tags.section_end.len())
                }
                1 => {
                    self.raw.clear();
                    self.raw.push_str(tags.call);
                    self.state = State::Name;
                    Some(space + tags.call.len())
                }
                _ => Some(space + markers[which].len()),
            },
            Found::Maybe(0) if space == 0 => None,
            _ if space == text.len() => {
                emit(Piece::Text(text));
                Some(space)
            }
            Found::Maybe(0) => {
                emit(Piece::Text(&text[..space]));
                Some(space)
            }
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.state = State::Text;
                Some(0)
            }
        }
    }

    fn give_up(&mut self, emit: Emit<'_>) {
        emit(Piece::Malformed(&self.raw));
        self.raw.clear();
        self.state = State::Text;
    }
}

/// The name that a tag begins with: in quotes, behind which attributes may follow, or without.
fn named(header: &str) -> &str {
    let header = header.trim();
    let quote = header.chars().next().filter(|sign| matches!(sign, '"' | '\''));
    match quote.and_then(|quote| header[1..].split_once(quote)) {
        Some((name, _)) => name,
        None => header.trim_matches(['"', '\'']),
    }
}

/// What stands between the first two quotes.
fn quoted_part(header: &str) -> &str {
    header.split('"').nth(1).unwrap_or_default()
}

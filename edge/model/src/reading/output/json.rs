//! Calls that are JSON objects: `{"name": N, "arguments": {..}}`, one or a list, after a marker or bare.
//!
//! A call begins for the client when its name is known and its arguments have begun like an object; they flow from
//! then on, as the model wrote them. Up to there it is held, and what does not fit is plain text.

use std::ops::Range;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::super::nesting::{JsonString, Nesting};
use super::marker::{Found, Pending, find};
use super::piece::{Emit, Piece};
use super::tools::Tools;

/// How many bytes may wait to be understood: a name, the signs around it, members that come before it.
const MOST_HELD: usize = 64 * 1024;

/// How a format writes its calls.
#[derive(Debug)]
pub(super) struct Notation {
    /// What begins calls.
    pub open: &'static [&'static str],
    /// What may stand behind them.
    pub close: &'static [&'static str],
    pub body: Body,
    /// Calls also begin without a marker, wherever their JSON does.
    pub bare: bool,
    /// Text that follows the marker and is no call stands without it.
    pub hides_marker: bool,
    /// A call needs no arguments.
    pub without_arguments: bool,
    pub trust: Trust,
}

/// What stands behind the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Call,
    List,
    Either,
    /// A list of `{N: {..}}`.
    NamedList,
    /// A list, or `N{..}`, or `N[ARGS]{..}`.
    ListOrName,
}

/// What is taken for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// What begins like one.
    Form,
    /// Only what is valid to its end and names a function that was offered. Where nothing else tells a call from JSON
    /// that is meant for people, the call waits for its end.
    Offered,
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct JsonReader {
    notation: &'static Notation,
    tools: Arc<Tools>,
    pending: Pending,
    place: Place,
    /// Whether calls stand in a list here.
    in_list: bool,
    /// The end of calls was met, and what may stand behind them was not.
    ends: bool,
    /// The text since the region began, as far as it was not given out.
    held: String,
    /// How much of it is the marker.
    marker: usize,
    name: Option<String>,
    /// Arguments that came before their name, or that wait for the end of the call.
    arguments: Option<Range<usize>>,
    /// The call has begun for the client.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Text,
    Body,
    /// The name stands before the arguments, which begin with a brace.
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
    InName {
        begin: usize,
        string: JsonString,
    },
    /// Arguments as JSON text in a string.
    InText {
        begin: usize,
        string: JsonString,
    },
    /// A value that is held: arguments, or one that says nothing here.
    InValue {
        begin: usize,
        nesting: Nesting,
        member: Member,
    },
    /// A string, number or word that says nothing here.
    InOther {
        string: Option<JsonString>,
    },
    /// Behind the first brace of arguments.
    First,
    Arguments(Nesting),
    AfterMember,
    AfterCall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Name,
    Arguments,
    Other,
}

impl JsonReader {
    pub(super) fn new(notation: &'static Notation, tools: Arc<Tools>) -> Self {
        Self {
            notation,
            tools,
            pending: Pending::default(),
            place: Place::Text,
            in_list: false,
            ends: false,
            held: String::new(),
            marker: 0,
            name: None,
            arguments: None,
            begun: false,
        }
    }

    pub(super) fn push(&mut self, text: &str, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read(text, |text| self.read(text, false, emit));
        self.pending = pending;
    }

    pub(super) fn finish(&mut self, emit: Emit<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.read("", |text| {
            self.read(text, true, emit);
            text.len()
        });
        match self.place {
            Place::Text | Place::Arguments(_) => {}
            _ if self.begun => {}
            // Nothing but the end of the notation is missing.
            Place::Call | Place::AfterCall if self.held.is_empty() => {}
            _ => self.give_up(emit),
        }
    }

    /// Reads as much as can be understood.
    fn read(&mut self, text: &str, last: bool, emit: Emit<'_>) -> usize {
        let mut length = 0;
        while length < text.len() {
            let rest = &text[length..];
            let step = match self.place {
                Place::Text => self.text(rest, last, emit),
                Place::Arguments(nesting) => self.arguments(nesting, rest, emit),
                _ => self.sign(rest, emit),
            };
            if step == 0 && matches!(self.place, Place::Text) && self.held.is_empty() {
                match find_any(self.notation, rest, last) {
                    Found::Maybe(0) => break,
                    _ => continue,
                }
            }
            length += step;
        }
        length
    }
}

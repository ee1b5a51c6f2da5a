//! Forced calls: what the model wrote under [`Forced::constraint`], read as it comes.
//!
//! A call begins for the client when its name is complete, and its arguments flow from then on, as the
//! model wrote them. An engine that did not keep to the constraint is not trusted to mean calls: from
//! the first sign that does not fit, the text is plain text, and what was held before it too. So is an answer in a form
//! of its own, where the model had the choice.

use std::ops::Range;
use std::sync::Arc;

use super::nesting::{JsonString, Nesting};
use super::{Event, Forced, StopReader};

/// How many bytes may wait to be understood: a name, the signs around it, arguments that came before
/// their name. Under the constraint some hundred do.
const MOST_HELD: usize = 64 * 1024;

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub struct CallsReader {
    form: Form,
    place: Place,
    known: Known,
    /// The text since the last event, where it is not part of an event.
    held: String,
    /// Reads plain text.
    stops: StopReader,
}

/// What the model was made to write.
#[derive(Debug, Clone)]
enum Form {
    /// The arguments of this function.
    Arguments(Arc<str>),
    /// A list of calls of these functions.
    Calls(Arc<[String]>),
}

/// What may come next.
#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
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
    HeldArguments {
        begin: usize,
        nesting: Nesting,
    },
    Arguments(Nesting),
    AfterMember,
    AfterCall,
    /// White space.
    End,
    /// Anything: the constraint was not kept.
    Text,
}

#[derive(Debug, Clone, Copy)]
enum Member {
    Name,
    Parameters,
}

/// What is known of the call that is being read.
#[derive(Debug, Clone)]
enum Known {
    Nothing,
    /// Its arguments, which are held; nothing was given out.
    Arguments(Range<usize>),
    /// Its name; it has begun.
    Name,
    Both,
}

impl CallsReader {
    /// Plain text ends at these stop strings.
    pub fn new(forced: &Forced<'_>, stops: StopReader) -> Self {
        let form = match forced {
            Forced::Named(function) => Form::Arguments(function.name.into()),
            Forced::Required { functions, .. } => {
                Form::Calls(functions.iter().map(|function| function.name.to_owned()).collect())
            }
        };
        Self { form, place: Place::Start, known: Known::Nothing, held: String::new(), stops }
    }

    /// Reads the next piece.
    pub fn push(&mut self, mut text: &str, emit: &mut impl FnMut(Event<'_>)) {
        while let Some(sign) = text.chars().next() {
            text = match (self.place, sign) {
                (Place::Text, _) => {
                    self.stops.tell(text, emit);
                    return;
                }
                (Place::Arguments(nesting), _) => self.arguments(nesting, text, emit),
                (Place::Start, '{') if let Form::Arguments(name) = &self.form => {
                    emit(Event::CallBegin { name });
                    self.begin_arguments();
                    text
                }
                (Place::Value(Member::Parameters), '{') if matches!(self.known, Known::Name) => {
                    self.begin_arguments();
                    text
                }
                (..) => {
                    self.hold(sign, emit);
                    &text[sign.len_utf8()..]
                }
            };
        }
    }

    /// The engine has ended. A call that has begun stays as it is, one that has not begun was none.
    pub fn finish(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        self.held = String::new();
        self.stops.tell_rest(emit);
    }

    /// The stop string at which plain text ended, if it did.
    pub fn stop_met(&self) -> Option<&str> {
        self.stops.met()
    }

    fn begin_arguments(&mut self) {
        self.held.clear();
        self.known = Known::Name;
        self.place = Place::Arguments(Nesting::OUTSIDE);
    }

    /// Gives out the arguments in the text, gives back what follows them.
    fn arguments<'t>(&mut self, mut nesting: Nesting, text: &'t str, emit: &mut impl FnMut(Event<'_>)) -> &'t str {
        let mut length = 0;
        for byte in text.bytes() {
            length += 1;
            match nesting.after(byte) {
                Some(inside) => nesting = inside,
                None => return self.end_arguments(text.split_at(length), emit),
            }
        }
        emit(Event::CallArguments(text));
        self.place = Place::Arguments(nesting);
        ""
    }

    fn end_arguments<'t>(
        &mut self,
        (arguments, rest): (&'t str, &'t str),
        emit: &mut impl FnMut(Event<'_>),
    ) -> &'t str {
        emit(Event::CallArguments(arguments));
        self.place = match self.form {
            Form::Arguments(_) => {
                self.known = Known::Nothing;
                emit(Event::CallEnd);
                Place::End
            }
            Form::Calls(_) => {
                self.known = Known::Both;
                Place::AfterMember
            }
        };
        rest
    }

    fn hold(&mut self, sign: char, emit: &mut impl FnMut(Event<'_>)) {
        self.held.push(sign);
        match self.next(sign, emit) {
            Some(place) => self.place = place,
            None => self.give_up(emit),
        }
        if self.held.len() > MOST_HELD {
            // Small models may go on with white space without an end, which is nothing to show.
            if self.held.bytes().all(|byte| byte.is_ascii_whitespace()) {
                self.held.clear();
            } else {
                self.give_up(emit);
            }
        }
    }

    /// What may come after this sign; nothing if it may not come here.
    fn next(&mut self, sign: char, emit: &mut impl FnMut(Event<'_>)) -> Option<Place> {
        // No byte of a longer character is one of JSON's signs.
        let byte = u8::try_from(sign).unwrap_or(u8::MAX);
        let last = self.held.len() - 1;
        match (self.place, byte) {
            (Place::InKey { begin, string }, _) => match string.after(byte) {
                Some(string) => Some(Place::InKey { begin, string }),
                None => self.member(begin).map(Place::Colon),
            },
            (Place::InName { begin, string }, _) => match string.after(byte) {
                Some(string) => Some(Place::InName { begin, string }),
                None => self.begin_call(begin, emit),
            },
            (Place::HeldArguments { begin, nesting }, _) => match nesting.after(byte) {
                Some(nesting) => Some(Place::HeldArguments { begin, nesting }),
                None => {
                    self.known = Known::Arguments(begin..last + 1);
                    Some(Place::AfterMember)
                }
            },
            (place, b' ' | b'\t' | b'\n' | b'\r') => Some(place),
            (Place::Start, b'[') if matches!(self.form, Form::Calls(_)) => Some(Place::Call),
            (Place::Call, b'{') => Some(Place::Key),
            (Place::Key, b'"') => Some(Place::InKey { begin: last, string: JsonString::OPEN }),
            (Place::Colon(member), b':') => Some(Place::Value(member)),
            (Place::Value(Member::Name), b'"') => Some(Place::InName { begin: last, string: JsonString::OPEN }),
            (Place::Value(Member::Parameters), b'{') => {
                Nesting::OUTSIDE.after(byte).map(|nesting| Place::HeldArguments { begin: last, nesting })
            }
            (Place::AfterMember, b',') => Some(Place::Key),
            (Place::AfterMember, b'}') => self.end_call(emit),
            (Place::AfterCall, b',') => Some(Place::Call),
            (Place::AfterCall, b']') => {
                self.held.clear();
                Some(Place::End)
            }
            _ => None,
        }
    }

    /// The key that begins there and ends here, if the call lacks it.
    fn member(&self, begin: usize) -> Option<Member> {
        match (string(&self.held[begin..])?.as_str(), &self.known) {
            ("name", Known::Nothing | Known::Arguments(_)) => Some(Member::Name),
            ("parameters", Known::Nothing | Known::Name) => Some(Member::Parameters),
            _ => None,
        }
    }

    /// The name that begins there and ends here was read.
    fn begin_call(&mut self, begin: usize, emit: &mut impl FnMut(Event<'_>)) -> Option<Place> {
        let name = string(&self.held[begin..])?;
        let Form::Calls(offered) = &self.form else { return None };
        if !offered.contains(&name) {
            return None;
        }
        emit(Event::CallBegin { name: &name });
        self.known = match &self.known {
            Known::Arguments(range) => {
                emit(Event::CallArguments(&self.held[range.clone()]));
                Known::Both
            }
            Known::Nothing | Known::Name | Known::Both => Known::Name,
        };
        self.held.clear();
        Some(Place::AfterMember)
    }

    fn end_call(&mut self, emit: &mut impl FnMut(Event<'_>)) -> Option<Place> {
        match self.known {
            Known::Both => {}
            // Clients read the arguments as JSON, which no text at all is not.
            Known::Name => emit(Event::CallArguments("{}")),
            Known::Nothing | Known::Arguments(_) => return None,
        }
        emit(Event::CallEnd);
        self.known = Known::Nothing;
        self.held.clear();
        Some(Place::AfterCall)
    }

    fn give_up(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        if matches!(self.known, Known::Both) {
            emit(Event::CallEnd);
        }
        self.stops.tell(&std::mem::take(&mut self.held), emit);
        self.place = Place::Text;
    }
}

fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

//! What each sign of a call may be followed by, and what its members say.

use serde::de::IgnoredAny;

use super::super::super::nesting::{JsonString, Nesting};
use super::super::notation::{Body, Trust};
use super::super::piece::{Emit, Piece};
use super::{Form, JsonReader, MOST_OF_NAME, Member, Place};

impl JsonReader {
    /// What may come after this sign; nothing if it may not come here.
    pub(super) fn next(&mut self, sign: char, emit: Emit<'_>) -> Option<Place> {
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
}

/// The name before arguments: `N`, `N[ARGS]`, `N[CALL_ID]id[ARGS]`.
fn header_name(header: &str) -> Option<&str> {
    let header = header.trim();
    let Some((name, notes)) = header.split_once('[') else { return Some(header) };
    let known = notes == "ARGS]" || (notes.starts_with("CALL_ID]") && notes.ends_with("[ARGS]"));
    (known && !name.is_empty()).then_some(name)
}

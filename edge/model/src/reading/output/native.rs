//! Calls whose name stands in a header of special tokens before bare JSON arguments:
//! `<|tool_call_begin|>functions.N:0<|tool_call_argument_begin|>{..}<|tool_call_end|>`.
//!
//! The arguments end with a token that cannot stand in them, so they flow without a look at what they say.

use super::super::nesting::Nesting;
use super::call_reader::ReadCalls;
use super::marker::{Found, certain, find};
use super::piece::{Emit, Piece};

/// How many bytes a header may have.
const MOST_OF_HEADER: usize = 512;

/// The tokens of a format.
#[derive(Debug)]
pub(super) struct Tokens {
    pub section: &'static str,
    pub section_end: &'static str,
    pub call: &'static str,
    /// What ends the header.
    pub arguments: &'static str,
    /// What ends the call; several, as a fence may belong to it.
    pub call_end: &'static [&'static str],
    /// The name in a header.
    pub name: fn(&str) -> &str,
}

impl Tokens {
    pub(super) fn all(&self) -> Vec<&'static str> {
        let single = [self.section, self.section_end, self.call, self.arguments];
        single.iter().chain(self.call_end).copied().collect()
    }
}

/// Reads the calls of one choice.
#[derive(Debug, Clone)]
pub(super) struct NativeReader {
    tokens: &'static Tokens,
    state: State,
    /// From the begin of the section up to the begin of its first call.
    raw: String,
    /// Where the arguments are; nowhere before them and behind them.
    nesting: Option<Nesting>,
    /// The call has arguments.
    arguments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Section,
    Header,
    Arguments,
    AfterCall,
}

impl NativeReader {
    pub(super) fn new(tokens: &'static Tokens) -> Self {
        Self { tokens, state: State::Text, raw: String::new(), nesting: None, arguments: false }
    }
}

impl ReadCalls for NativeReader {
    fn step(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        match self.state {
            State::Text => self.text(text, last, emit),
            State::Section => self.section(text, last, emit),
            State::Header => self.header(text, last, emit),
            State::Arguments => self.arguments(text, last, emit),
            State::AfterCall => self.after_call(text, last),
        }
    }

    fn end(&mut self, rest: &str, emit: Emit<'_>) {
        match self.state {
            State::Section | State::Header => {
                self.raw.push_str(rest);
                self.give_up(emit);
            }
            State::Arguments if self.arguments && self.nesting.is_none() => emit(Piece::End),
            State::Text | State::Arguments | State::AfterCall => {}
        }
    }

    fn rests(&self) -> bool {
        self.state == State::Text
    }
}

impl NativeReader {
    fn text(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let markers = [self.tokens.section, self.tokens.call];
        let at = certain(&markers, text, last);
        if at > 0 {
            emit(Piece::Text(&text[..at]));
            return Some(at);
        }
        let Found::Marker { which, .. } = find(&markers, text, last) else { return None };
        self.raw.clear();
        self.raw.push_str(markers[which]);
        self.state = if which == 0 { State::Section } else { State::Header };
        Some(markers[which].len())
    }

    fn section(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let space = text.len() - text.trim_start().len();
        if space > 0 {
            self.raw.push_str(&text[..space]);
            if self.raw.len() > MOST_OF_HEADER {
                self.give_up(emit);
            }
            return Some(space);
        }
        let markers = [self.tokens.call, self.tokens.section_end];
        match find(&markers, text, last) {
            Found::Marker { at: 0, which: 0 } => {
                self.raw.push_str(self.tokens.call);
                self.state = State::Header;
                Some(self.tokens.call.len())
            }
            Found::Marker { at: 0, .. } => {
                emit(Piece::NoCalls);
                self.state = State::Text;
                Some(self.tokens.section_end.len())
            }
            Found::Maybe(0) => None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.give_up(emit);
                Some(0)
            }
        }
    }

    fn header(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tokens = self.tokens;
        match find(&[tokens.arguments, tokens.call, tokens.section_end], text, last) {
            Found::Marker { at, which: 0 } if at <= MOST_OF_HEADER && !(tokens.name)(&text[..at]).is_empty() => {
                emit(Piece::Begin((tokens.name)(&text[..at])));
                self.raw.clear();
                self.nesting = Some(Nesting::OUTSIDE);
                self.arguments = false;
                self.state = State::Arguments;
                Some(at + tokens.arguments.len())
            }
            Found::Maybe(at) if at <= MOST_OF_HEADER => None,
            Found::Nothing if text.len() <= MOST_OF_HEADER => None,
            Found::Marker { .. } | Found::Maybe(_) | Found::Nothing => {
                self.give_up(emit);
                Some(0)
            }
        }
    }

    fn arguments(&mut self, text: &str, last: bool, emit: Emit<'_>) -> Option<usize> {
        let tokens = self.tokens;
        let mut markers = vec![tokens.section_end, tokens.call];
        markers.extend(tokens.call_end);
        let found = find(&markers, text, false);
        let end = match found {
            Found::Marker { at, .. } | Found::Maybe(at) => at,
            Found::Nothing => text.len(),
        };
        if end > 0 {
            self.give_arguments(&text[..end], emit);
            return Some(end);
        }
        match found {
            Found::Marker { which, .. } => {
                if !self.arguments {
                    emit(Piece::Arguments("{}"));
                }
                emit(Piece::End);
                self.state = State::AfterCall;
                Some(if which < 2 { 0 } else { markers[which].len() })
            }
            // The end of the notation has begun, of which nothing is for the client.
            _ if last && self.arguments && self.nesting.is_none() => Some(text.len()),
            _ if last => {
                self.give_arguments(text, emit);
                Some(text.len())
            }
            _ => None,
        }
    }

    fn give_arguments(&mut self, text: &str, emit: Emit<'_>) {
        let text = if self.arguments { text } else { text.trim_start() };
        if text.is_empty() {
            return;
        }
        self.arguments = true;
        emit(Piece::Arguments(text));
        self.nesting = self.nesting.and_then(|nesting| text.bytes().try_fold(nesting, Nesting::after));
    }

    fn after_call(&mut self, text: &str, last: bool) -> Option<usize> {
        let tokens = self.tokens;
        let markers = [tokens.section_end, tokens.call];
        match find(&markers, text, last) {
            Found::Marker { at, which: 0 } => {
                self.state = State::Text;
                Some(at + tokens.section_end.len())
            }
            Found::Marker { at, .. } => {
                self.raw.clear();
                self.raw.push_str(tokens.call);
                self.state = State::Header;
                Some(at + tokens.call.len())
            }
            Found::Maybe(0) => None,
            Found::Maybe(at) => Some(at),
            Found::Nothing => Some(text.len()),
        }
    }

    fn give_up(&mut self, emit: Emit<'_>) {
        emit(Piece::Malformed(&self.raw));
        self.raw.clear();
        self.state = State::Text;
    }
}

/// `functions.N:0`.
pub(super) fn kimi_name(header: &str) -> &str {
    let header = header.trim();
    let name = header.rsplit_once(':').map_or(header, |(name, _)| name);
    name.strip_prefix("functions.").unwrap_or(name)
}

/// `function<｜tool▁sep｜>N`.
pub(super) fn deepseek_name(header: &str) -> &str {
    header.rsplit_once("<｜tool▁sep｜>").map_or(header, |(_, name)| name).trim()
}

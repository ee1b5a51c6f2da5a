//! A Python literal as JSON text, as it comes.

use super::arguments::{escaped, number, quoted};
use super::piece::{Emit, Piece};

/// How deep lists and dictionaries may stand in each other.
const MOST_DEPTH: usize = 64;

/// How many bytes a number or a word may have.
const MOST_OF_WORD: usize = 256;

/// Reads one literal.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    open: Vec<Container>,
    place: Place,
    /// A number, a word, or an escape that is not complete.
    held: String,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// All of the text, and the value may go on.
    All,
    /// The value ended there.
    Value { length: usize },
    /// No value goes on like this.
    Malformed { length: usize },
}

#[derive(Debug, Clone, Copy)]
struct Container {
    kind: Kind,
    /// It has a value.
    filled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Tuple,
    Keys,
    Values,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// A value may begin.
    Value,
    Word,
    /// Behind a first quote: a string, an empty one, or one in three quotes.
    Quote(char),
    /// In a string. `run`: so many quotes of three have come.
    String {
        quote: char,
        triple: bool,
        run: usize,
    },
    Escape {
        quote: char,
        triple: bool,
    },
    /// Behind a quote that ends the string, unless a word goes on behind it, as in `'it's'`.
    Closing {
        quote: char,
    },
    AfterValue,
}

impl Literal {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), place: Place::Value, held: String::new() }
    }

    /// Reads the next piece.
    pub(super) fn read(&mut self, text: &str, emit: Emit<'_>) -> Read {
        let mut length = 0;
        while let Some(sign) = text[length..].chars().next() {
            if let Place::String { quote, triple, run: 0 } = self.place {
                let plain = |c: char| c != quote && c != '\\';
                let run = text[length..].find(|c| !plain(c)).unwrap_or(text.len() - length);
                if run > 0 {
                    emit(Piece::Arguments(&escaped(&text[length..][..run])));
                    length += run;
                    self.place = Place::String { quote, triple, run: 0 };
                    continue;
                }
            }
            match self.sign(sign, emit) {
                Step::Next => length += sign.len_utf8(),
                Step::Again => {}
                Step::Malformed => return Read::Malformed { length },
            }
            if matches!(self.place, Place::AfterValue) && self.open.is_empty() {
                return Read::Value { length };
            }
        }
        Read::All
    }

    /// The engine has ended inside of the value.
    pub(super) fn cut_off(&mut self, emit: Emit<'_>) {
        match self.place {
            Place::Word if !self.held.is_empty() => emit(Piece::Arguments(&self.held)),
            Place::Closing { .. } => emit(Piece::Arguments("\"")),
            _ => {}
        }
    }

    fn sign(&mut self, sign: char, emit: Emit<'_>) -> Step {
        match self.place {
            Place::Value => self.value(sign, emit),
            Place::Word => {
                if sign.is_alphanumeric() || matches!(sign, '_' | '.' | '+' | '-') {
                    self.held.push(sign);
                    return if self.held.len() > MOST_OF_WORD { Step::Malformed } else { Step::Next };
                }
                let word = std::mem::take(&mut self.held);
                emit(Piece::Arguments(&self.word(&word)));
                self.place = Place::AfterValue;
                Step::Again
            }
            Place::Quote(quote) if sign == quote => {
                self.place = Place::String { quote, triple: false, run: 1 };
                Step::Next
            }
            Place::Quote(quote) => {
                self.place = Place::String { quote, triple: false, run: 0 };
                Step::Again
            }
            // Two quotes have come.
            Place::String { quote, triple: false, run: 1 } => {
                if sign == quote {
                    self.place = Place::String { quote, triple: true, run: 0 };
                    return Step::Next;
                }
                self.end_string(emit);
                Step::Again
            }
            Place::String { quote, triple: false, .. } if sign == quote => {
                self.place = Place::Closing { quote };
                Step::Next
            }
            Place::Closing { quote } => {
                if sign.is_alphanumeric() {
                    emit(Piece::Arguments(&escaped(quote.encode_utf8(&mut [0; 4]))));
                    self.place = Place::String { quote, triple: false, run: 0 };
                } else {
                    self.end_string(emit);
                }
                Step::Again
            }
            Place::String { quote, triple: true, run } if sign == quote => {
                self.place = Place::String { quote, triple: true, run: run + 1 };
                if run == 2 {
                    self.end_string(emit);
                }
                Step::Next
            }
            Place::String { quote, triple, run } => {
                for _ in 0..run {
                    emit(Piece::Arguments(&escaped(quote.encode_utf8(&mut [0; 4]))));
                }
                if sign == '\\' {
                    self.place = Place::Escape { quote, triple };
                    return Step::Next;
                }
                self.place = Place::String { quote, triple, run: 0 };
                Step::Again
            }
            Place::Escape { quote, triple } => {
                self.held.push(sign);
                if let Some(text) = unescaped(&self.held) {
                    if !text.is_empty() {
                        emit(Piece::Arguments(&text));
                    }
                    self.held.clear();
                    self.place = Place::String { quote, triple, run: 0 };
                }
                Step::Next
            }
            Place::AfterValue => self.after_value(sign, emit),
        }
    }

    fn value(&mut self, sign: char, emit: Emit<'_>) -> Step {
        if sign.is_whitespace() {
            return Step::Next;
        }
        if let Some(container) = self.open.last()
            && container.kind != Kind::Values
            && closes(container.kind, sign)
        {
            return self.close(emit);
        }
        if let Some(container) = self.open.last_mut()
            && std::mem::replace(&mut container.filled, true)
            && container.kind != Kind::Values
        {
            emit(Piece::Arguments(", "));
        }
        let kind = match sign {
            '\'' | '"' => {
                emit(Piece::Arguments("\""));
                self.place = Place::Quote(sign);
                return Step::Next;
            }
            _ if self.open.last().is_some_and(|container| container.kind == Kind::Keys)
                && matches!(sign, '[' | '{' | '(') =>
            {
                return Step::Malformed;
            }
            '[' => Kind::List,
            '(' => Kind::Tuple,
            '{' => Kind::Keys,
            _ if sign.is_alphanumeric() || matches!(sign, '-' | '+' | '.' | '_') => {
                self.place = Place::Word;
                return Step::Again;
            }
            _ => return Step::Malformed,
        };
        if self.open.len() >= MOST_DEPTH {
            return Step::Malformed;
        }
        emit(Piece::Arguments(if kind == Kind::Keys { "{" } else { "[" }));
        self.open.push(Container { kind, filled: false });
        Step::Next
    }

    fn after_value(&mut self, sign: char, emit: Emit<'_>) -> Step {
        if sign.is_whitespace() {
            return Step::Next;
        }
        let Some(container) = self.open.last_mut() else { return Step::Malformed };
        match (container.kind, sign) {
            (Kind::Keys, ':') => {
                emit(Piece::Arguments(": "));
                container.kind = Kind::Values;
                self.place = Place::Value;
                Step::Next
            }
            (Kind::Keys, _) => Step::Malformed,
            (kind, ',') => {
                if kind == Kind::Values {
                    container.kind = Kind::Keys;
                }
                self.place = Place::Value;
                Step::Next
            }
            (kind, sign) if closes(kind, sign) => self.close(emit),
            _ => Step::Malformed,
        }
    }

    fn close(&mut self, emit: Emit<'_>) -> Step {
        if let Some(container) = self.open.pop() {
            let list = matches!(container.kind, Kind::List | Kind::Tuple);
            emit(Piece::Arguments(if list { "]" } else { "}" }));
        }
        self.place = Place::AfterValue;
        Step::Next
    }

    fn end_string(&mut self, emit: Emit<'_>) {
        emit(Piece::Arguments("\""));
        self.place = Place::AfterValue;
    }

    /// A number or a word as JSON; one that JSON does not know is a string.
    fn word(&self, word: &str) -> String {
        if self.open.last().is_some_and(|container| container.kind == Kind::Keys) {
            return quoted(word);
        }
        match word {
            "True" | "true" => "true".to_owned(),
            "False" | "false" => "false".to_owned(),
            "None" | "null" => "null".to_owned(),
            _ => match number(&word.replace('_', "")) {
                Some(number) => number.into_owned(),
                None => quoted(word),
            },
        }
    }
}

enum Step {
    Next,
    /// The same sign again, at another place.
    Again,
    Malformed,
}

fn closes(kind: Kind, sign: char) -> bool {
    match kind {
        Kind::List => sign == ']',
        Kind::Tuple => sign == ')',
        Kind::Keys | Kind::Values => sign == '}',
    }
}

/// What an escape stands for, in a JSON string; nothing while more of it must come.
fn unescaped(escape: &str) -> Option<String> {
    let mut signs = escape.chars();
    let digits = match signs.next()? {
        'n' => return Some("\\n".to_owned()),
        't' => return Some("\\t".to_owned()),
        'r' => return Some("\\r".to_owned()),
        'b' => return Some("\\b".to_owned()),
        'f' => return Some("\\f".to_owned()),
        '0' => return Some("\\u0000".to_owned()),
        // A line that goes on.
        '\n' => return Some(String::new()),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        quoted @ ('\\' | '\'' | '"') => return Some(escaped(quoted.encode_utf8(&mut [0; 4])).into_owned()),
        other => return Some(format!("\\\\{}", escaped(other.encode_utf8(&mut [0; 4])))),
    };
    let code = signs.as_str();
    if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(format!("\\\\{}", escaped(escape)));
    }
    if code.len() < digits {
        return None;
    }
    let number = u32::from_str_radix(code, 16).unwrap_or_default();
    match char::from_u32(number) {
        Some(sign) => Some(escaped(sign.encode_utf8(&mut [0; 4])).into_owned()),
        // One half of a pair, which JSON joins.
        None if number <= 0xffff => Some(format!("\\u{number:04x}")),
        None => Some("\\ufffd".to_owned()),
    }
}

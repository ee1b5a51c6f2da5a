//! `pattern` as ECMA-262 means it (the `u` flag, unanchored search), read into a set of whole strings.
//!
//! Engines read patterns in dialects of their own; what could be read in two ways is refused here.

use super::budget::Budget;
use super::error::SchemaError;
use super::regex::Regex;

/// Levels of groups in a pattern.
const MAX_GROUPS: usize = 50;

/// The most a part may be repeated.
const MAX_REPEAT: u32 = 10_000;

/// Ways through a pattern whose groups hold `^` or `$`.
const MAX_WAYS: usize = 256;

const DIGITS: [(u32, u32); 1] = [(0x30, 0x39)];
const WORD: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];
/// White space and line ends (ECMA-262, 12.2 and 12.3).
const SPACE: [(u32, u32); 10] = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
];
const LINE_ENDS: [(u32, u32); 3] = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)];

/// The sets of strings that a pattern is found in all of: one, and one for each `(?=..)` at its start.
pub(super) fn read(pattern: &str, budget: &mut Budget, path: &str) -> Result<Vec<Regex>, SchemaError> {
    let mut reader = Reader { rest: pattern.chars().peekable(), groups: 0 };
    reader.conditions(budget, path).map_err(|fault| match fault {
        Fault::Malformed => {
            SchemaError::Invalid { path: path.to_owned(), reason: "this is no regular expression of ECMA-262".into() }
        }
        Fault::Unsupported(reason) => SchemaError::Unsupported { path: path.to_owned(), reason },
        Fault::Costly(error) => error,
    })
}

/// The same where only one set can be used.
pub(super) fn read_one(pattern: &str, budget: &mut Budget, path: &str) -> Result<Regex, SchemaError> {
    let mut conditions = read(pattern, budget, path)?;
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(SchemaError::Unsupported { path: path.to_owned(), reason: "names can be told by one pattern only" }),
    }
}

enum Fault {
    Malformed,
    Unsupported(&'static str),
    Costly(SchemaError),
}

const LOOK: Fault = Fault::Unsupported("look-around, back references and word boundaries are not regular");
const ODD_ANCHOR: Fault = Fault::Unsupported("`^` belongs at the start and `$` at the end");
const ODD_ESCAPE: Fault = Fault::Unsupported("this escape means different things to different readers");

/// A pattern with its anchors still in it.
#[derive(Clone)]
enum Node {
    Start,
    End,
    Set(Regex),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
}

impl Node {
    fn set(&self) -> Option<&Regex> {
        match self {
            Self::Set(set) => Some(set),
            _ => None,
        }
    }
}

struct Reader<'p> {
    rest: std::iter::Peekable<std::str::Chars<'p>>,
    groups: usize,
}

impl Reader<'_> {
    /// Reads all of it. What looks ahead at the very start says something of all that follows.
    fn conditions(&mut self, budget: &mut Budget, path: &str) -> Result<Vec<Regex>, Fault> {
        let mut conditions = Vec::new();
        let anchored = self.rest.peek() == Some(&'^');
        let mut ahead = self.rest.clone();
        if anchored {
            ahead.next();
        }
        while let (Some('('), Some('?'), Some('=')) = (ahead.next(), ahead.next(), ahead.next()) {
            self.rest = ahead;
            let looked_at = self.alternatives()?;
            conditions.push(whole(&Node::Sequence(vec![Node::Start, looked_at]), budget, path)?);
            if self.rest.next() != Some(')') || matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
                return Err(Fault::Malformed);
            }
            ahead = self.rest.clone();
        }
        if conditions.is_empty() {
            let node = self.alternatives()?;
            return match self.rest.next() {
                None => Ok(vec![whole(&node, budget, path)?]),
                Some(_) => Err(Fault::Malformed),
            };
        }
        let rest = self.sequence()?;
        conditions.push(whole(&Node::Sequence(vec![Node::Start, rest]), budget, path)?);
        match self.rest.next() {
            None if anchored => Ok(conditions),
            None => floating(conditions, budget, path),
            // The conditions would belong to the first alternative only.
            Some('|') => Err(LOOK),
            Some(_) => Err(Fault::Malformed),
        }
    }

    fn alternatives(&mut self) -> Result<Node, Fault> {
        let mut options = vec![self.sequence()?];
        while self.rest.next_if_eq(&'|').is_some() {
            options.push(self.sequence()?);
        }
        if options.len() == 1 {
            return Ok(options.remove(0));
        }
        match options.iter().map(Node::set).collect::<Option<Vec<_>>>() {
            Some(sets) => Ok(Node::Set(Regex::either(sets.into_iter().cloned().collect()))),
            None => Ok(Node::Either(options)),
        }
    }

    fn sequence(&mut self) -> Result<Node, Fault> {
        let mut parts = Vec::new();
        while let Some(next) = self.rest.peek().copied() {
            if matches!(next, '|' | ')') {
                break;
            }
            self.rest.next();
            let atom = match next {
                '^' => Node::Start,
                '$' => Node::End,
                '(' => self.group()?,
                '[' => Node::Set(self.class()?),
                '.' => Node::Set(Regex::class(&LINE_ENDS, true)),
                '\\' => Node::Set(self.escape(false)?),
                '*' | '+' | '?' => return Err(Fault::Malformed),
                plain => Node::Set(Regex::character(plain)),
            };
            parts.push(self.repeated(atom)?);
        }
        match parts.iter().map(Node::set).collect::<Option<Vec<_>>>() {
            Some(sets) => Ok(Node::Set(Regex::sequence(sets.into_iter().cloned().collect()))),
            None => Ok(Node::Sequence(parts)),
        }
    }

    fn group(&mut self) -> Result<Node, Fault> {
        self.groups += 1;
        if self.groups > MAX_GROUPS {
            return Err(Fault::Unsupported("its groups are nested too deeply"));
        }
        if self.rest.next_if_eq(&'?').is_some() {
            let named = self.rest.next_if_eq(&'P').is_some();
            match self.rest.next() {
                Some(':') if !named => {}
                Some('<') if !matches!(self.rest.peek(), Some('=' | '!')) => {
                    for letter in self.rest.by_ref() {
                        match letter {
                            '>' => break,
                            _ if letter.is_alphanumeric() || letter == '_' => {}
                            _ => return Err(Fault::Malformed),
                        }
                    }
                }
                Some('=' | '!' | '<') => return Err(LOOK),
                _ => return Err(Fault::Unsupported("flags and other extensions are not known")),
            }
        }
        let inner = self.alternatives()?;
        self.groups -= 1;
        if self.rest.next() == Some(')') { Ok(inner) } else { Err(Fault::Malformed) }
    }

    fn repeated(&mut self, atom: Node) -> Result<Node, Fault> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.bounds()? {
                Some(bounds) => bounds,
                None => return Ok(atom),
            },
            _ => return Ok(atom),
        };
        self.rest.next();
        // A lazy one takes the same strings.
        self.rest.next_if_eq(&'?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?')) {
            return Err(Fault::Malformed);
        }
        match atom {
            Node::Set(set) => Ok(Node::Set(Regex::repeat(set, least, most))),
            _ => Err(ODD_ANCHOR),
        }
    }

    /// Reads up to the closing brace, which stays; a brace that bounds nothing is a character.
    fn bounds(&mut self) -> Result<Option<(u32, Option<u32>)>, Fault> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let mut text = String::new();
        while let Some(next) = ahead.next_if(|next| next.is_ascii_digit() || *next == ',') {
            text.push(next);
        }
        if ahead.peek() != Some(&'}') || text.is_empty() {
            return Ok(None);
        }
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) if number <= MAX_REPEAT => Ok(number),
            _ => Err(Fault::Unsupported("it repeats a part too often")),
        };
        let bounds = match text.split_once(',') {
            None => (number(&text)?, Some(number(&text)?)),
            Some(("", _)) => return Err(Fault::Unsupported("`{,n}` means different things to different readers")),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) if !most.contains(',') => (number(least)?, Some(number(most)?)),
            Some(_) => return Err(Fault::Malformed),
        };
        if bounds.1.is_some_and(|most| most < bounds.0) {
            return Err(Fault::Malformed);
        }
        self.rest = ahead;
        Ok(Some(bounds))
    }

    fn class(&mut self) -> Result<Regex, Fault> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let first = match self.rest.next().ok_or(Fault::Malformed)? {
                ']' => break,
                '[' if self.rest.peek() == Some(&':') => return Err(ODD_ESCAPE),
                '\\' => self.escape(true)?,
                plain => Regex::character(plain),
            };
            let Regex::Class(first) = first else { return Err(Fault::Malformed) };
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('-') || matches!(ahead.peek(), Some(']') | None) {
                ranges.extend_from_slice(&first);
                continue;
            }
            self.rest = ahead;
            let last = match self.rest.next().ok_or(Fault::Malformed)? {
                '\\' => self.escape(true)?,
                plain => Regex::character(plain),
            };
            let Regex::Class(last) = last else { return Err(Fault::Malformed) };
            match (&*first, &*last) {
                ([(low, same)], [(high, also)]) if low == same && high == also && low <= high => {
                    ranges.push((*low, *high));
                }
                _ => return Err(Fault::Malformed),
            }
        }
        Ok(Regex::class(&ranges, negated))
    }

    fn escape(&mut self, in_class: bool) -> Result<Regex, Fault> {
        let next = self.rest.next().ok_or(Fault::Malformed)?;
        let character = match next {
            'd' => return Ok(Regex::class(&DIGITS, false)),
            'D' => return Ok(Regex::class(&DIGITS, true)),
            'w' => return Ok(Regex::class(&WORD, false)),
            'W' => return Ok(Regex::class(&WORD, true)),
            's' => return Ok(Regex::class(&SPACE, false)),
            'S' => return Ok(Regex::class(&SPACE, true)),
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'b' if in_class => '\u{8}',
            'b' | 'B' | 'k' | '1'..='9' => return Err(LOOK),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => '\0',
            'c' => match self.rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => char::from(u8::try_from(letter).unwrap_or(0) % 32),
                _ => return Err(Fault::Malformed),
            },
            'x' => self.hex(2).and_then(char::from_u32).ok_or(Fault::Malformed)?,
            'u' => self.unicode().ok_or(Fault::Malformed)?,
            'p' | 'P' => return Err(Fault::Unsupported("Unicode properties are not known; list the characters")),
            letter if letter.is_alphanumeric() => return Err(ODD_ESCAPE),
            sign => sign,
        };
        Ok(Regex::character(character))
    }

    fn unicode(&mut self) -> Option<char> {
        if self.rest.next_if_eq(&'{').is_some() {
            let digits: String = std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit)).take(8).collect();
            return match self.rest.next() {
                Some('}') => char::from_u32(u32::from_str_radix(&digits, 16).ok()?),
                _ => None,
            };
        }
        let high = self.hex(4)?;
        if !(0xD800..0xDC00).contains(&high) {
            return char::from_u32(high);
        }
        let low = match (self.rest.next(), self.rest.next()) {
            (Some('\\'), Some('u')) => self.hex(4)?,
            _ => return None,
        };
        if !(0xDC00..0xE000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00))
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + self.rest.next()?.to_digit(16)?;
        }
        Some(code)
    }
}

/// Conditions that have to hold together from some place on: known if one of them says the others.
fn floating(conditions: Vec<Regex>, budget: &mut Budget, path: &str) -> Result<Vec<Regex>, Fault> {
    for strictest in &conditions {
        let mut says_all = true;
        for other in &conditions {
            says_all &= strictest.is_within(other, budget, path).unwrap_or(false);
        }
        if says_all {
            return Ok(vec![Regex::sequence(vec![Regex::all(), strictest.clone()])]);
        }
    }
    Err(LOOK)
}

/// The whole strings in which an anchored or floating pattern is found.
fn whole(node: &Node, budget: &mut Budget, path: &str) -> Result<Regex, Fault> {
    let mut options = Vec::new();
    for way in ways(node, budget, path)? {
        let mut parts = Vec::new();
        let (mut starts, mut ends) = (false, false);
        for node in way {
            match node {
                Node::Start if parts.is_empty() && !ends => starts = true,
                Node::End => ends = true,
                Node::Set(_) if ends => return Err(ODD_ANCHOR),
                Node::Set(set) => parts.push(set),
                _ => return Err(ODD_ANCHOR),
            }
        }
        let mut all = Vec::new();
        if !starts {
            all.push(Regex::all());
        }
        all.extend(parts);
        if !ends {
            all.push(Regex::all());
        }
        options.push(Regex::sequence(all));
    }
    Ok(Regex::either(options))
}

/// Every way through the alternatives that hold anchors.
fn ways(node: &Node, budget: &mut Budget, path: &str) -> Result<Vec<Vec<Node>>, Fault> {
    let mut found = Vec::new();
    match node {
        Node::Start | Node::End | Node::Set(_) => found.push(vec![node.clone()]),
        Node::Either(options) => {
            for option in options {
                found.extend(ways(option, budget, path)?);
            }
        }
        Node::Sequence(parts) => {
            found.push(Vec::new());
            for part in parts {
                let next = ways(part, budget, path)?;
                if found.len() * next.len() > MAX_WAYS {
                    return Err(ODD_ANCHOR);
                }
                let made: usize = next.iter().map(|next| found.len() * next.len()).sum();
                let copied = found.iter().map(Vec::len).sum::<usize>() * next.len().saturating_sub(1);
                budget.spend(made + copied, path).map_err(Fault::Costly)?;
                if let [only] = &next[..] {
                    found.iter_mut().for_each(|way| way.extend_from_slice(only));
                } else {
                    found = found.iter().flat_map(|way| next.iter().map(|part| [&way[..], part].concat())).collect();
                }
            }
        }
    }
    if found.len() > MAX_WAYS { Err(ODD_ANCHOR) } else { Ok(found) }
}

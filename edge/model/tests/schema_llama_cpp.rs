//! Patterns as llama.cpp's own converter reads them (`_pattern_to_rule` in `common/json-schema-to-grammar.cpp`): what
//! is written for it must be the same set of strings there, under llguidance, and in the client's schema.

mod schema_decoder;

use std::collections::BTreeSet;

use cloudach_model::schema::{Dialect, translate};
use proptest::prelude::*;
use schema_decoder::Decoder;
use serde_json::{Value, json};

/// Patterns, strings that they take, and strings that they do not.
const PATTERNS: [(&str, &[&str], &[&str]); 17] = [
    ("^INV-?[0-9]+$", &["INV-1", "INV12"], &["-1", "1", "INV", "INV--1"]),
    ("^v[.]{1,3}$", &["v.", "v..."], &["v", "v.v.", "v...."]),
    ("^[0-9]{2}/[0-9]{2}$", &["12/34"], &["1234", "12-34", "12//34"]),
    ("^[a-z0-9._-]+$", &["a-b_c.9", "-", "."], &["", "A", "a b", "a,b"]),
    ("^(/[a-z]{1,8}){1,3}$", &["/a", "/usr/local/bin"], &["", "a", "/", "/a/b/c/d"]),
    ("^[A-Z]{2}-[0-9]+$", &["AB-1"], &["AB1", "AB--1", "A-1"]),
    (r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$", &["2024-02-29", "2024-02-29T12:30"], &["2024-2-29", "2024-02-29T"]),
    (r"^\d+(\.\d{1,2})?$", &["1", "1.25"], &["1.", "1.255", ".5", "1x25"]),
    (r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$", &["a.b+c@d-e.org"], &["a@b", "@b.org", "a@b.o", "a b@c.org"]),
    (r"^\+?[0-9 ()/-]{3,}$", &["+49 (30) 1/2-3", "123"], &["++49 1", "+", "12"]),
    (r"^(\$[0-9]+|\([0-9]+\))$", &["$1", "(12)"], &["1", "(1", "$1)"]),
    (r"^\^{2}[\^_]?[\]\[]*$", &["^^", "^^^", "^^_][["], &["^", "^^a", "^^__"]),
    (r"^[*]+[?]?\|\{\}$", &["*|{}", "**?|{}"], &["|{}", "*|{", "*??|{}"]),
    ("^é?ü{2}[à-ý]$", &["éüüà", "üüý"], &["üà", "éüü", "éüüz"]),
    ("^a(|b|-{2})c$", &["ac", "abc", "a--c"], &["a-c", "abbc"]),
    ("^(a?b?){2}$", &["", "ab", "ba", "abab"], &["aaa"]),
    ("^[#-/]+[&~]?$", &["#-/", "&&~"], &["", "a", "0", "\"", "~"]),
];

#[test]
fn patterns_are_read_as_they_are_meant() {
    let decoder = Decoder::new();
    for (pattern, valid, invalid) in PATTERNS {
        let schema = json!({"type": "string", "pattern": pattern});
        let meant = jsonschema::validator_for(&schema).unwrap();
        let written = translate(&schema, Dialect::LlamaCpp).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let read = read(pattern_of(&written)).unwrap_or_else(|reason| panic!("{written}: {reason}"));
        let mut follower = decoder.follow(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        for (text, right) in valid.iter().map(|text| (*text, true)).chain(invalid.iter().map(|text| (*text, false))) {
            let value = Value::from(text);
            assert_eq!(meant.is_valid(&value), right, "the case is wrong: {pattern} {text}");
            assert_eq!(takes(&read, text), right, "{written} {text}");
            assert_eq!(follower.takes_value(&value), (right, right), "{written} {text}");
        }
        assert_eq!(translate(&written, Dialect::LlamaCpp).as_ref(), Ok(&written), "{pattern}");
    }
}

/// What this file's reader is for: escapes that llama.cpp does not know, and such as it takes for a part of the text
/// before them.
#[test]
fn llama_cpp_misreads_escaped_signs() {
    for unknown in [r"^(INV\-?)$", r"^([0-9]{2}\/[0-9]{2})$", r"^([\-\.0-9_a-z]+)$", r"^(\d)$", "^(.)$", "^((a?)*)$"] {
        assert!(read(unknown).is_err(), "{unknown}");
    }
    let misread = read(r"^(v\.{1,3})$").unwrap();
    assert!(takes(&misread, "v.v.") && !takes(&misread, "v.."));
    let split = read("^(é?)$").unwrap();
    assert!(!takes(&split, ""));
}

/// Parts of patterns, with strings that they take.
const PARTS: [(&str, &[&str]); 20] = [
    ("a", &["a"]),
    ("-", &["-"]),
    ("/", &["/"]),
    ("é", &["é"]),
    (r"\.", &["."]),
    (r"\^", &["^"]),
    (r"\$", &["$"]),
    (r"\[", &["["]),
    ("[]]", &[]),
    (r"\{", &["{"]),
    ("[a-c._-]", &["b", ".", "-"]),
    (r"[+\-/]", &["+", "-", "/"]),
    (r"[\^_]", &["^", "_"]),
    (r"[\]\[^-]", &["[", "]", "^", "-"]),
    ("[ -!#-[]", &[" ", "-", "]"]),
    ("[à-ü]", &["é", "ü"]),
    ("(a|-)", &["a", "-"]),
    ("(a.?|é[.])", &["a", "é."]),
    ("([ab]?-)", &["-", "a-"]),
    ("(a?|[.])", &["", "a", "."]),
];
const OFTEN: [&str; 6] = ["", "?", "*", "+", "{2}", "{1,3}"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_patterns_are_read_alike(
        parts in prop::collection::vec((prop::sample::select(&PARTS[..]), prop::sample::select(&OFTEN[..])), 1..5),
        choices in prop::collection::vec(prop::collection::vec((0..4usize, 0..4usize), 4), 12),
    ) {
        let pattern: String = parts.iter().map(|((part, _), often)| format!("{part}{often}")).collect();
        let schema = json!({"type": "string", "pattern": format!("^{pattern}$")});
        let Ok(meant) = jsonschema::validator_for(&schema) else { return Ok(()) };
        for dialect in [Dialect::LlamaCpp, Dialect::Vllm] {
            let Ok(written) = translate(&schema, dialect) else { continue };
            let again = jsonschema::validator_for(&written).unwrap();
            let mut follower = Decoder::new().follow(&written).map_err(TestCaseError::fail)?;
            let read = match dialect {
                Dialect::LlamaCpp => Some(read(pattern_of(&written)).map_err(|reason| TestCaseError::fail(format!("{written}: {reason}")))?),
                Dialect::Vllm => None,
            };
            for choice in &choices {
                let text: String = parts.iter().zip(choice).map(|(((_, texts), _), (which, often))| {
                    texts.get(which % texts.len().max(1)).unwrap_or(&"").repeat(*often)
                }).collect();
                let value = Value::from(text.as_str());
                let right = meant.is_valid(&value);
                prop_assert_eq!(again.is_valid(&value), right, "{} became {} for {}", schema, written, text);
                prop_assert_eq!(follower.takes_value(&value), (right, right), "{} became {} for {}", schema, written, text);
                if let Some(read) = &read {
                    prop_assert_eq!(takes(read, &text), right, "{} became {} for {}", schema, written, text);
                }
            }
        }
    }
}

fn pattern_of(schema: &Value) -> &str {
    schema["pattern"].as_str().unwrap_or_else(|| panic!("{schema} has no pattern"))
}

/// A part of a grammar. Text is bytes: the converter cuts it between any two of them.
enum Piece {
    Text(Vec<u8>),
    Class { ranges: Vec<(u32, u32)>, negated: bool },
    Group(Vec<Vec<Piece>>),
    Repeat(Box<Piece>, u32, Option<u32>),
}

/// Reads a pattern as the converter does, or says why it takes any string instead, or writes no sound grammar.
fn read(pattern: &str) -> Result<Piece, String> {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).ok_or("not anchored")?;
    let mut reader = Reader { text: inner.as_bytes(), at: 0, depth: 0 };
    let read = reader.alternatives()?;
    if reader.depth == 0 { Ok(Piece::Group(read)) } else { Err("unbalanced parentheses".into()) }
}

struct Reader<'p> {
    text: &'p [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn alternatives(&mut self) -> Result<Vec<Vec<Piece>>, String> {
        let mut all = vec![Vec::new()];
        while let Some(next) = self.peek(0) {
            let sequence: &mut Vec<Piece> = all.last_mut().expect("there is always one");
            match next {
                b'(' if self.peek(1) == Some(b'?') => return Err("group syntax".into()),
                b'(' => {
                    self.at += 1;
                    self.depth += 1;
                    if self.depth > 100 {
                        return Err("nested too deeply".into());
                    }
                    sequence.push(Piece::Group(self.alternatives()?));
                }
                b')' => {
                    self.at += 1;
                    self.depth = self.depth.checked_sub(1).ok_or("unbalanced parentheses")?;
                    return Ok(all);
                }
                b'[' => sequence.push(self.class()?),
                b'|' => {
                    self.at += 1;
                    all.push(Vec::new());
                }
                b'*' | b'+' | b'?' | b'{' => {
                    let last = sequence.pop().ok_or("nothing to repeat")?;
                    let (least, most) = self.bounds()?;
                    if most.is_none() && ends(&last, "", &BTreeSet::from([0])).contains(&0) {
                        return Err("left recursion".into());
                    }
                    sequence.push(Piece::Repeat(last.into(), least, most));
                }
                // `.` is all but line ends to the converter, quotes and backslashes with them.
                b'.' | b'^' | b'$' | b']' | b'}' => return Err(format!("`{}` as it is", char::from(next))),
                _ => sequence.push(self.text()?),
            }
        }
        Ok(all)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn text(&mut self) -> Result<Piece, String> {
        let is_special = |byte: u8| b"|.()[]{}*+?^$".contains(&byte);
        let mut text = Vec::new();
        while let Some(next) = self.peek(0) {
            let after = self.peek(1);
            if next == b'\\' && after.is_some_and(|after| b"^$.[]()|{}*+?".contains(&after)) {
                text.extend(after);
                self.at += 2;
            } else if next == b'\\' {
                text.extend_from_slice(self.escape()?.to_string().as_bytes());
            } else if !is_special(next)
                && (text.is_empty() || after.is_none_or(|after| after == b'.' || !is_special(after)))
            {
                text.push(next);
                self.at += 1;
            } else {
                break;
            }
        }
        Ok(Piece::Text(text))
    }

    /// Those that each version knows; `\-` is not among them.
    fn escape(&mut self) -> Result<char, String> {
        let kind = self.peek(1).ok_or("a backslash at the end")?;
        let digits = match kind {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b't' | b'r' | b'n' | b'\\' | b'"' | b'[' | b']' => 0,
            _ => return Err(format!(r"the escape \{}", char::from(kind))),
        };
        let code = self.text.get(self.at + 2..self.at + 2 + digits).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.ok_or("a short escape")?;
        self.at += 2 + digits;
        match kind {
            b't' => Ok('\t'),
            b'r' => Ok('\r'),
            b'n' => Ok('\n'),
            _ if digits == 0 => Ok(char::from(kind)),
            _ => u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or("no character".into()),
        }
    }

    fn class(&mut self) -> Result<Piece, String> {
        self.at += 1;
        let negated = self.peek(0) == Some(b'^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        while self.peek(0).ok_or("an open class")? != b']' {
            let first = self.character()?;
            let mut last = first;
            if self.peek(0) == Some(b'-') && self.peek(1) != Some(b']') {
                self.at += 1;
                last = self.character()?;
            }
            ranges.push((first.into(), last.into()));
        }
        self.at += 1;
        if ranges.is_empty() { Err("an empty class".into()) } else { Ok(Piece::Class { ranges, negated }) }
    }

    fn character(&mut self) -> Result<char, String> {
        if self.peek(0) == Some(b'\\') {
            return self.escape();
        }
        let rest = std::str::from_utf8(&self.text[self.at..]).map_err(|error| error.to_string())?;
        let next = rest.chars().next().ok_or("an open class")?;
        self.at += next.len_utf8();
        Ok(next)
    }

    fn bounds(&mut self) -> Result<(u32, Option<u32>), String> {
        let sign = self.text[self.at];
        self.at += 1;
        match sign {
            b'*' => return Ok((0, None)),
            b'+' => return Ok((1, None)),
            b'?' => return Ok((0, Some(1))),
            _ => {}
        }
        let length = self.text[self.at..].iter().position(|byte| *byte == b'}').ok_or("an open brace")?;
        let inside = std::str::from_utf8(&self.text[self.at..self.at + length]).map_err(|error| error.to_string())?;
        self.at += length + 1;
        let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        match inside.split_once(',') {
            None => Ok((number(inside)?, Some(number(inside)?))),
            Some((least, "")) => Ok((number(least)?, None)),
            Some((least, most)) => Ok((number(least)?, Some(number(most)?))),
        }
    }
}

/// Whether the grammar takes a string as it stands in JSON.
fn takes(piece: &Piece, text: &str) -> bool {
    let json = Value::from(text).to_string();
    let inside = &json[1..json.len() - 1];
    ends(piece, inside, &BTreeSet::from([0])).contains(&inside.len())
}

/// Where a part may end that begins in one of these places.
fn ends(piece: &Piece, text: &str, starts: &BTreeSet<usize>) -> BTreeSet<usize> {
    match piece {
        Piece::Text(part) => {
            let here = starts.iter().filter(|start| text.as_bytes()[**start..].starts_with(part));
            here.map(|start| start + part.len()).collect()
        }
        Piece::Class { ranges, negated } => {
            let next = |start: &usize| text.get(*start..)?.chars().next().map(|next| (*start, next));
            let is_in = |next: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&next.into()));
            let here = starts.iter().filter_map(next).filter(|(_, next)| is_in(*next) != *negated);
            here.map(|(start, next)| start + next.len_utf8()).collect()
        }
        Piece::Group(options) => {
            let along = |option: &Vec<Piece>| option.iter().fold(starts.clone(), |from, part| ends(part, text, &from));
            options.iter().flat_map(along).collect()
        }
        Piece::Repeat(inner, least, most) => {
            let mut here = starts.clone();
            for _ in 0..*least {
                here = ends(inner, text, &here);
            }
            let mut found = here.clone();
            for _ in *least..most.unwrap_or(u32::MAX) {
                here = ends(inner, text, &here);
                if here.is_subset(&found) {
                    break;
                }
                found.extend(&here);
            }
            found
        }
    }
}

//! Regular expressions over whole strings, as sets that can be compared and written down again.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::rc::Rc;

use super::budget::Budget;
use super::error::SchemaError;

/// The ranges of characters that text can have: surrogates are none.
const CHARACTERS: [(u32, u32); 2] = [(0, 0xD7FF), (0xE000, 0x10_FFFF)];

/// The largest expression that is compared with another one, in nodes.
const MOST_NODES: usize = 20_000;

/// Strings that a pattern may leave out, in bytes together and each. A pattern nests as deeply as they are long.
const MOST_LEFT_OUT: usize = 2_000;
const LONGEST_LEFT_OUT: usize = 200;

/// The most pairs of states that are looked at to compare two expressions.
const MOST_STATES: usize = 2_000;

/// A set of strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Regex {
    /// One character of these ranges, in order and apart from each other. Without any: no string at all.
    Class(Rc<[(u32, u32)]>),
    /// One after the other. Without any: the empty string.
    Sequence(Rc<[Regex]>),
    /// Any of these, at least two.
    Either(Rc<[Regex]>),
    /// At least so often, at most so often.
    Repeat(Rc<Regex>, u32, Option<u32>),
}

impl Regex {
    pub(super) fn class(ranges: &[(u32, u32)], negated: bool) -> Self {
        let ranges = merged(ranges);
        Self::Class(if negated { outside(&ranges).into() } else { ranges.into() })
    }

    pub(super) fn character(character: char) -> Self {
        Self::Class([(character.into(), character.into())].into())
    }

    pub(super) fn empty() -> Self {
        Self::Sequence([].into())
    }

    pub(super) fn literal(text: &str) -> Self {
        Self::sequence(text.chars().map(Self::character).collect())
    }

    pub(super) fn all() -> Self {
        Self::repeat(Self::Class(CHARACTERS.into()), 0, None)
    }

    pub(super) fn sequence(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Class(ranges) if ranges.is_empty() => return Self::nothing(),
                Self::Sequence(inner) => flat.extend(inner.iter().cloned()),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 {
            return flat.remove(0);
        }
        Self::Sequence(flat.into())
    }

    pub(super) fn either(options: Vec<Self>) -> Self {
        let mut flat = BTreeSet::new();
        let mut ranges = Vec::new();
        for option in options {
            match option {
                Self::Class(class) => ranges.extend_from_slice(&class),
                Self::Either(inner) => flat.extend(inner.iter().cloned()),
                other => {
                    flat.insert(other);
                }
            }
        }
        if flat.contains(&Self::all()) {
            return Self::all();
        }
        if !ranges.is_empty() {
            flat.insert(Self::Class(merged(&ranges).into()));
        }
        let mut flat: Vec<Self> = flat.into_iter().collect();
        match flat.len() {
            0 => Self::nothing(),
            1 => flat.remove(0),
            _ => Self::Either(flat.into()),
        }
    }

    pub(super) fn repeat(inner: Self, least: u32, most: Option<u32>) -> Self {
        match (&inner, least, most) {
            (_, _, Some(0)) => Self::empty(),
            (_, 1, Some(1)) => inner,
            (Self::Sequence(parts), ..) if parts.is_empty() => inner,
            (Self::Class(ranges), 0, _) if ranges.is_empty() => Self::empty(),
            (Self::Class(ranges), ..) if ranges.is_empty() => inner,
            _ => Self::Repeat(inner.into(), least, most),
        }
    }

    /// All strings but these, unless they are too long or too many to keep in a pattern.
    pub(super) fn none_of(texts: &BTreeSet<Rc<str>>) -> Option<Self> {
        let together: usize = texts.iter().map(|text| text.len()).sum();
        if together > MOST_LEFT_OUT || texts.iter().any(|text| text.len() > LONGEST_LEFT_OUT) {
            return None;
        }
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        Some(none_of(&texts, 0))
    }

    /// The same as a pattern that JSON Schema validators and engines read alike: anchored, plain groups only.
    pub(super) fn pattern(&self) -> String {
        let mut text = String::from("^(");
        self.write(&mut text);
        text.push_str(")$");
        text
    }

    pub(super) fn matches(&self, text: &str, budget: &mut Budget, path: &str) -> Result<bool, SchemaError> {
        let mut rest = self.clone();
        for character in text.chars() {
            budget.spend(rest.checked_size(path)?.max(rest.steps()), path)?;
            rest = rest.after(character.into());
        }
        Ok(rest.takes_empty())
    }

    /// Whether no string is in both.
    pub(super) fn is_apart_from(&self, other: &Self, budget: &mut Budget, path: &str) -> Result<bool, SchemaError> {
        are_apart(vec![self.clone(), other.clone()], budget, path)
    }

    /// Whether each string of this is in the other one.
    pub(super) fn is_within(&self, other: &Self, budget: &mut Budget, path: &str) -> Result<bool, SchemaError> {
        let only_first = |rests: &[Self]| rests[0].takes_empty() && !rests[1].takes_empty();
        let is_lost = |rests: &[Self]| rests[0].is_nothing();
        Ok(!some_string(vec![self.clone(), other.clone()], only_first, is_lost, budget, path)?)
    }

    /// Whether each class keeps to characters that JSON strings hold without an escape, and nothing that may be empty
    /// is repeated without end, where grammars of llama.cpp's recurse without end.
    pub(super) fn is_plain(&self) -> bool {
        let needs_escape = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)];
        match self {
            Self::Class(ranges) => {
                ranges.iter().all(|(first, last)| needs_escape.iter().all(|(low, high)| last < low || first > high))
            }
            Self::Sequence(parts) | Self::Either(parts) => parts.iter().all(Self::is_plain),
            Self::Repeat(inner, _, most) => inner.is_plain() && (most.is_some() || !inner.takes_empty()),
        }
    }

    /// Whether it is plain that no string is in it.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::nothing()
    }

    fn nothing() -> Self {
        Self::Class([].into())
    }

    fn takes_empty(&self) -> bool {
        match self {
            Self::Class(_) => false,
            Self::Sequence(parts) => parts.iter().all(Self::takes_empty),
            Self::Either(parts) => parts.iter().any(Self::takes_empty),
            Self::Repeat(inner, least, _) => *least == 0 || inner.takes_empty(),
        }
    }

    /// What may follow once this character was read (Brzozowski's derivative).
    fn after(&self, character: u32) -> Self {
        match self {
            Self::Class(ranges) => {
                let inside = ranges.iter().any(|(first, last)| (*first..=*last).contains(&character));
                if inside { Self::empty() } else { Self::nothing() }
            }
            Self::Sequence(parts) => {
                let mut options = Vec::new();
                for (position, part) in parts.iter().enumerate() {
                    let mut rest = vec![part.after(character)];
                    rest.extend_from_slice(&parts[position + 1..]);
                    options.push(Self::sequence(rest));
                    if !part.takes_empty() {
                        break;
                    }
                }
                Self::either(options)
            }
            Self::Either(parts) => Self::either(parts.iter().map(|part| part.after(character)).collect()),
            Self::Repeat(inner, least, most) => {
                let rest = Self::repeat((**inner).clone(), least.saturating_sub(1), most.map(|most| most - 1));
                Self::sequence(vec![inner.after(character), rest])
            }
        }
    }

    /// What `after` makes at most, in parts: a sequence goes on behind each part that may be empty.
    fn steps(&self) -> usize {
        match self {
            Self::Class(_) => 1,
            Self::Sequence(parts) => {
                let mut steps = 1;
                for (position, part) in parts.iter().enumerate() {
                    steps += part.steps() + parts.len() - position;
                    if !part.takes_empty() {
                        break;
                    }
                }
                steps
            }
            Self::Either(parts) => 1 + parts.iter().map(Self::steps).sum::<usize>(),
            Self::Repeat(inner, ..) => 1 + inner.steps(),
        }
    }

    fn class_starts(&self, starts: &mut BTreeSet<u32>) {
        match self {
            Self::Class(ranges) => {
                for (first, last) in ranges.iter() {
                    starts.insert(*first);
                    starts.insert(last + 1);
                }
            }
            Self::Sequence(parts) | Self::Either(parts) => parts.iter().for_each(|part| part.class_starts(starts)),
            Self::Repeat(inner, ..) => inner.class_starts(starts),
        }
    }

    fn checked_size(&self, path: &str) -> Result<usize, SchemaError> {
        match self.size() {
            size if size <= MOST_NODES => Ok(size),
            _ => Err(SchemaError::TooLarge { path: path.to_owned(), reason: "its patterns are too long to compare" }),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Class(_) => 1,
            Self::Sequence(parts) | Self::Either(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Repeat(inner, ..) => 1 + inner.size(),
        }
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Class(ranges) => write_class(ranges, text),
            Self::Sequence(parts) => {
                for part in parts.iter() {
                    part.write_atom(matches!(part, Self::Either(_)), text);
                }
            }
            Self::Either(parts) => {
                for (position, part) in parts.iter().enumerate() {
                    if position > 0 {
                        text.push('|');
                    }
                    part.write(text);
                }
            }
            Self::Repeat(inner, least, most) => {
                inner.write_atom(!matches!(**inner, Self::Class(_)), text);
                match (least, most) {
                    (0, None) => text.push('*'),
                    (1, None) => text.push('+'),
                    (0, Some(1)) => text.push('?'),
                    (least, None) => put(text, format_args!("{{{least},}}")),
                    (least, Some(most)) if least == most => put(text, format_args!("{{{least}}}")),
                    (least, Some(most)) => put(text, format_args!("{{{least},{most}}}")),
                }
            }
        }
    }

    fn write_atom(&self, grouped: bool, text: &mut String) {
        if grouped {
            text.push('(');
        }
        self.write(text);
        if grouped {
            text.push(')');
        }
    }
}

/// Whether no string is in all of these.
pub(super) fn are_apart(all: Vec<Regex>, budget: &mut Budget, path: &str) -> Result<bool, SchemaError> {
    let in_all = |rests: &[Regex]| rests.iter().all(Regex::takes_empty);
    let is_lost = |rests: &[Regex]| rests.iter().any(Regex::is_nothing);
    Ok(!some_string(all, in_all, is_lost, budget, path)?)
}

/// Whether some string leads to where `is_end` holds for what then remains of each expression, and not past where
/// `is_lost` does.
fn some_string(
    all: Vec<Regex>,
    is_end: fn(&[Regex]) -> bool,
    is_lost: fn(&[Regex]) -> bool,
    budget: &mut Budget,
    path: &str,
) -> Result<bool, SchemaError> {
    let mut seen = HashSet::new();
    let mut open = vec![all];
    while let Some(rests) = open.pop() {
        if is_lost(&rests) || seen.contains(&rests) {
            continue;
        }
        if is_end(&rests) {
            return Ok(true);
        }
        if seen.len() > MOST_STATES {
            return Err(SchemaError::TooLarge { path: path.to_owned(), reason: "its patterns are hard to compare" });
        }
        let mut starts = BTreeSet::from([0]);
        let mut work = 0;
        for rest in &rests {
            work += rest.checked_size(path)?.max(rest.steps());
            rest.class_starts(&mut starts);
        }
        budget.spend(work * starts.len(), path)?;
        for character in starts {
            open.push(rests.iter().map(|rest| rest.after(character)).collect());
        }
        seen.insert(rests);
    }
    Ok(false)
}

/// All strings but these, which are in order and have their first `from` bytes behind them.
fn none_of(texts: &[&str], from: usize) -> Regex {
    let mut options = Vec::new();
    let mut starts = Vec::new();
    let mut rest = texts;
    let empty_taken = rest.first().is_some_and(|text| text.len() == from);
    if empty_taken {
        rest = &rest[1..];
    }
    while let Some(first) = rest.first().and_then(|text| text[from..].chars().next()) {
        let same = rest.iter().take_while(|text| text[from..].starts_with(first)).count();
        starts.push((first.into(), first.into()));
        options.push(Regex::sequence(vec![Regex::character(first), none_of(&rest[..same], from + first.len_utf8())]));
        rest = &rest[same..];
    }
    options.push(Regex::sequence(vec![Regex::class(&starts, true), Regex::all()]));
    let nonempty = Regex::either(options);
    if empty_taken { nonempty } else { Regex::repeat(nonempty, 0, Some(1)) }
}

fn merged(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn outside(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut outside = Vec::new();
    for (low, high) in CHARACTERS {
        let mut next = low;
        for (first, last) in ranges.iter().filter(|(first, last)| *last >= low && *first <= high) {
            if *first > next {
                outside.push((next, first - 1));
            }
            next = next.max(last + 1);
        }
        if next <= high {
            outside.push((next, high));
        }
    }
    outside
}

fn write_class(ranges: &[(u32, u32)], text: &mut String) {
    if ranges == CHARACTERS {
        return text.push_str(r"[\s\S]");
    }
    if let [(only, last)] = ranges
        && only == last
        && let Some(plain) = char::from_u32(*only).filter(|plain| is_literal(*plain))
    {
        return text.push(plain);
    }
    // The rest of all characters is told by what is missing.
    let rest = ranges.last().is_some_and(|(_, last)| *last == CHARACTERS[1].1).then(|| outside(ranges));
    text.push_str(if rest.is_some() { "[^" } else { "[" });
    for (first, last) in rest.as_deref().unwrap_or(ranges) {
        write_in_class(*first, text);
        if last > first {
            if *last > first + 1 {
                text.push('-');
            }
            write_in_class(*last, text);
        }
    }
    text.push(']');
}

/// Whether a character stands for itself outside of classes, also before a `?` or the like. All others are a class of
/// their own: llama.cpp's own converter takes an escape for a part of the text before it, or knows it not at all, and
/// repeats the last byte only of a character that is longer.
fn is_literal(character: char) -> bool {
    character.is_ascii_alphanumeric() || " !\"#%&',-/:;<=>@_`~".contains(character)
}

/// In classes all readers know `\x..` and `\u....`, but each has signs of its own that it lets a backslash precede.
fn write_in_class(code: u32, text: &mut String) {
    match char::from_u32(code) {
        Some('\\' | '[' | ']' | '^' | '-') => put(text, format_args!(r"\x{code:02x}")),
        Some(control) if control.is_ascii_control() => put(text, format_args!(r"\x{code:02x}")),
        Some(plain) if !plain.is_control() => text.push(plain),
        _ => put(text, format_args!(r"\u{code:04x}")),
    }
}

fn put(text: &mut String, written: std::fmt::Arguments<'_>) {
    text.write_fmt(written).expect("memory takes all of it");
}

//! Cuts text into the pieces that tokens are made in. Each encoding has a pattern for that, a regular expression that looks ahead;
//! here it is written out, alternative by alternative, in their order. The tests hold it against the pattern itself.

use super::class::{BLOCK, Class};

const LETTER: Class = Class::UPPER.or(Class::LOWER).or(Class::OTHER_LETTER);
const WHITE: Class = Class::SPACE.or(Class::NEWLINE);
/// `[^\s\p{L}\p{N}]`
const SIGN: Class = Class::MARK.or(Class::REST);
/// `[^\r\n\p{L}\p{N}]`
const PREFIX: Class = Class::SPACE.or(SIGN);
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
const HEAD: Class = Class::UPPER.or(Class::OTHER_LETTER).or(Class::MARK);
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
const TAIL: Class = Class::LOWER.or(Class::OTHER_LETTER).or(Class::MARK);

/// The end of the piece that begins at `at`, which is the start of a character. Never `at` itself.
pub(super) type Split = fn(text: &str, at: usize) -> usize;

/// `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`
pub(super) fn cl100k_base(text: &str, at: usize) -> usize {
    let Some((first, second)) = look(text, at) else { return at };
    if let Some(end) = contraction(text, at) {
        return end;
    }
    let letters = if first.is(PREFIX) { second } else { at };
    let end = run(text, letters, LETTER);
    if end > letters {
        return end;
    }
    if first.is(Class::NUMBER) {
        return number(text, at);
    }
    let signs = after_space(text, at);
    let end = run(text, signs, SIGN);
    if end > signs {
        return run(text, end, Class::NEWLINE);
    }
    let white = White::at(text, at);
    if white.end == text.len() { white.end } else { white.newlines.unwrap_or(white.but_one()) }
}

/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
/// `|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
/// `|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
pub(super) fn o200k_base(text: &str, at: usize) -> usize {
    let Some((first, second)) = look(text, at) else { return at };
    // Each of the two is tried with a character before it, then without; marks can be either.
    let with = first.is(PREFIX).then_some(second);
    let without = first.is(HEAD.or(TAIL)).then_some(at);
    let ways = || with.into_iter().chain(without);
    let word =
        ways().find_map(|begin| with_tail(text, begin)).or_else(|| ways().find_map(|begin| with_head(text, begin)));
    if let Some(end) = word {
        return contraction(text, end).unwrap_or(end);
    }
    if first.is(Class::NUMBER) {
        return number(text, at);
    }
    let signs = after_space(text, at);
    let end = run(text, signs, SIGN);
    if end > signs {
        let more = text.as_bytes()[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n' | b'/'));
        return end + more.count();
    }
    let white = White::at(text, at);
    white.newlines.unwrap_or(if white.end == text.len() { white.end } else { white.but_one() })
}

/// `[HEAD]*[TAIL]+`: what is both is left to the head, but for the last character if there is no tail else.
fn with_tail(text: &str, begin: usize) -> Option<usize> {
    let (mut at, mut both) = (begin, None);
    while let Some((class, next)) = look(text, at)
        && class.is(HEAD)
    {
        at = next;
        if class.is(TAIL) {
            both = Some(next);
        }
    }
    let end = run(text, at, TAIL);
    if end > at { Some(end) } else { both }
}

/// `[HEAD]+[TAIL]*`
fn with_head(text: &str, begin: usize) -> Option<usize> {
    let end = run(text, begin, HEAD);
    (end > begin).then(|| run(text, end, TAIL))
}

/// `'(?i:[sdmt]|ll|ve|re)`
fn contraction(text: &str, at: usize) -> Option<usize> {
    let letters = text.as_bytes()[at..].strip_prefix(b"'")?;
    let length = match letters {
        [b's' | b'S' | b'd' | b'D' | b'm' | b'M' | b't' | b'T', ..] => 1,
        [b'l' | b'L', b'l' | b'L', ..] | [b'v' | b'V' | b'r' | b'R', b'e' | b'E', ..] => 2,
        // The long s is a small one of `S`.
        letters if letters.starts_with("ſ".as_bytes()) => "ſ".len(),
        _ => return None,
    };
    Some(at + 1 + length)
}

/// `\p{N}{1,3}`
fn number(text: &str, at: usize) -> usize {
    (0..3).fold(at, |at, _| match look(text, at) {
        Some((Class::NUMBER, next)) => next,
        _ => at,
    })
}

/// ` ?`
fn after_space(text: &str, at: usize) -> usize {
    if text.as_bytes()[at] == b' ' { at + 1 } else { at }
}

/// A run of white space.
struct White {
    end: usize,
    /// Where its last character begins, if it has two.
    last: Option<usize>,
    /// `\s*[\r\n]+`: the end of its last `\r` or `\n`.
    newlines: Option<usize>,
}

impl White {
    fn at(text: &str, begin: usize) -> Self {
        let mut white = Self { end: begin, last: None, newlines: None };
        while let Some((class, next)) = look(text, white.end)
            && class.is(WHITE)
        {
            if class == Class::NEWLINE {
                white.newlines = Some(next);
            }
            white.last = (white.end > begin).then_some(white.end);
            white.end = next;
        }
        white
    }

    /// `\s+(?!\S)|\s`, where something follows: it gets the last one.
    fn but_one(&self) -> usize {
        self.last.unwrap_or(self.end)
    }
}

/// The end of the characters from `at` on that are of these classes.
fn run(text: &str, mut at: usize, classes: Class) -> usize {
    while let Some((class, next)) = look(text, at)
        && class.is(classes)
    {
        at = next;
    }
    at
}

/// The class of the character that begins at `at`, and its end. None: the text ends there.
fn look(text: &str, at: usize) -> Option<(Class, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte.is_ascii() {
        return Some((class(byte.into()), at + 1));
    }
    let character = text.get(at..)?.chars().next()?;
    Some((class(character), at + character.len_utf8()))
}

fn class(character: char) -> Class {
    static INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.index"));
    static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.blocks"));
    let character = character as usize;
    let block = INDEX[character / BLOCK] as usize;
    Class::from_bits(BLOCKS[block * BLOCK + character % BLOCK])
}

#[cfg(test)]
mod tests;

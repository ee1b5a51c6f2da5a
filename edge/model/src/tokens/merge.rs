//! Byte-pair encoding: of the bytes of a piece, two neighbours that are a token together become it, the token of the smallest id
//! first and of equal ones the first in the text, until there are none.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::vocabulary::Vocabulary;

/// Pieces of so many bytes are merged from a heap. Shorter ones are looked through for each merge, which is faster for them.
const LONG: usize = 100;

/// No token: greater than all ids.
const NONE: u32 = u32::MAX;

/// Counts the tokens of pieces, with memory that is used again for the next one.
#[derive(Debug)]
pub(super) struct Merge {
    vocabulary: &'static Vocabulary,
    /// Of a short piece.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    begin: usize,
    /// The token that it is together with the next one.
    merged: u32,
}

/// A part of a long piece, at the place of its first byte.
#[derive(Debug, Clone, Copy)]
struct Link {
    previous: usize,
    next: usize,
    merged: u32,
}

impl Merge {
    pub(super) fn new(vocabulary: &'static Vocabulary) -> Self {
        Self { vocabulary, parts: Vec::new() }
    }

    /// How many tokens a piece is. A long one takes up to 56 bytes for each of its own meanwhile.
    pub(super) fn count(&mut self, piece: &[u8]) -> u64 {
        match piece.len() {
            // Every byte is a token.
            length @ 0..=1 => length as u64,
            _ if self.vocabulary.id(piece).is_some() => 1,
            length if length < LONG => self.short(piece),
            _ => long(self.vocabulary, piece),
        }
    }

    fn short(&mut self, piece: &[u8]) -> u64 {
        let token = |begin, end| token(self.vocabulary, piece, begin, end);
        let parts = &mut self.parts;
        parts.clear();
        parts.extend((0..piece.len()).map(|begin| Part { begin, merged: token(begin, begin + 2) }));
        while let Some(left) = least(parts) {
            parts.remove(left + 1);
            // The two that have another neighbour now.
            for at in left.saturating_sub(1)..=left {
                let behind = |at: usize| parts.get(at).map_or(piece.len(), |part| part.begin);
                parts[at].merged = if at + 1 < parts.len() { token(parts[at].begin, behind(at + 2)) } else { NONE };
            }
        }
        parts.len() as u64
    }
}

/// The part that is merged with its next one first.
fn least(parts: &[Part]) -> Option<usize> {
    let (at, part) = parts.iter().enumerate().min_by_key(|(_, part)| part.merged)?;
    (part.merged != NONE).then_some(at)
}

fn long(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    let token = |begin, end| token(vocabulary, piece, begin, end);
    let mut links: Vec<Link> = (0..piece.len())
        .map(|at| Link { previous: at.saturating_sub(1), next: at + 1, merged: token(at, at + 2) })
        .collect();
    let merges = links.iter().enumerate().filter(|(_, link)| link.merged != NONE);
    let mut merges: BinaryHeap<_> = merges.map(|(at, link)| Reverse(Noted::new(link.merged, at))).collect();
    let mut parts = links.len() as u64;
    while let Some(Reverse(noted)) = merges.pop() {
        let left = noted.at();
        // One that is not as it was when this was noted.
        if links[left].merged != noted.merged() {
            continue;
        }
        parts -= 1;
        let right = links[left].next;
        let next = links[right].next;
        links[left].next = next;
        links[right].merged = NONE;
        if let Some(link) = links.get_mut(next) {
            link.previous = left;
        }
        // The two that have another neighbour now. Before the first there is none but itself.
        for at in [links[left].previous, left] {
            let end = links.get(links[at].next).map_or(usize::MAX, |neighbour| neighbour.next);
            let merged = token(at, end);
            links[at].merged = merged;
            if merged != NONE {
                merges.push(Reverse(Noted::new(merged, at)));
            }
        }
    }
    parts
}

/// A merge that may be made: the token, and below it, in 40 bits, where its left part begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Noted(u64);

impl Noted {
    fn new(merged: u32, at: usize) -> Self {
        Self(u64::from(merged) << 40 | at as u64)
    }

    fn at(self) -> usize {
        (self.0 & ((1 << 40) - 1)) as usize
    }

    fn merged(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// The token of these bytes of a piece, or [`NONE`].
fn token(vocabulary: &Vocabulary, piece: &[u8], begin: usize, end: usize) -> u32 {
    piece.get(begin..end).and_then(|bytes| vocabulary.id(bytes)).unwrap_or(NONE)
}

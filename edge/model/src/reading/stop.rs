//! Stop strings: the text ends before the first of them, and only what may still become one waits.

use std::sync::Arc;

use super::Event;

/// Finds the stop string that is complete first; of several that end together, the longest.
///
/// Holds back exactly the longest end of the text that is a proper beginning of a stop string. That end
/// is a beginning of the stop string, too, so it is not stored. The work for each byte is constant for
/// each stop string, taken over the whole text.
#[derive(Debug, Clone)]
pub struct StopReader {
    stops: Arc<[Stop]>,
    /// For each stop string, how many bytes of its beginning the text ends with.
    matched: Box<[usize]>,
    keep: bool,
    /// The place of the stop string that was met.
    met: Option<usize>,
    /// What was held and what was shown after it, in one piece.
    joined: String,
}

/// What a piece of text lets the client see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a> {
    pub text: &'a str,
    /// A stop string was met, now or before: nothing more will be shown.
    pub stopped: bool,
}

impl StopReader {
    /// Takes time and 9 bytes of memory for each byte of the stop strings; clones share the memory.
    /// Empty ones stop nothing. `keep`: the stop text is shown, so nothing ever waits.
    pub fn new(stops: &[String], keep: bool) -> Self {
        let stops: Arc<[Stop]> = stops.iter().filter(|stop| !stop.is_empty()).map(|stop| Stop::new(stop)).collect();
        let matched = vec![0; stops.len()].into();
        Self { stops, matched, keep, met: None, joined: String::new() }
    }

    /// Reads the next piece. After a stop string, everything is dropped.
    pub fn push<'a>(&'a mut self, text: &'a str) -> Shown<'a> {
        if self.has_stopped() {
            return Shown { text: "", stopped: true };
        }
        let (holder, held) = self.held();
        let found = self.advance(text.as_bytes());
        self.met = found.as_ref().map(|found| found.stop);
        let (read, hidden) = match found {
            Some(Found { end, length, .. }) => (held + end, if self.keep { 0 } else { length }),
            None => (held + text.len(), self.held().1),
        };
        // Stop strings and text are whole characters, so a beginning of the one that stands in the other
        // begins and, where a piece ends, ends with a whole character.
        let shown = read - hidden;
        let text = if held == 0 {
            &text[..shown]
        } else if shown <= held {
            &self.stops[holder].text[..shown]
        } else {
            self.joined.clear();
            self.joined.push_str(&self.stops[holder].text[..held]);
            self.joined.push_str(&text[..shown - held]);
            &self.joined
        };
        Shown { text, stopped: self.met.is_some() }
    }

    /// The engine has ended for a reason of its own: what was held is text.
    pub fn finish(&mut self) -> &str {
        let (holder, held) = self.held();
        self.matched.fill(0);
        self.stops.get(holder).map_or("", |stop| &stop.text[..held])
    }

    /// Tells what [`StopReader::push`] shows, and once that a stop string was met.
    pub(super) fn tell(&mut self, text: &str, emit: &mut impl FnMut(Event<'_>)) {
        if self.has_stopped() {
            return;
        }
        let shown = self.push(text);
        if !shown.text.is_empty() {
            emit(Event::Text(shown.text));
        }
        if shown.stopped {
            emit(Event::Stopped);
        }
    }

    /// Tells what [`StopReader::finish`] shows.
    pub(super) fn tell_rest(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        let text = self.finish();
        if !text.is_empty() {
            emit(Event::Text(text));
        }
    }

    /// Whether a stop string was met.
    pub fn has_stopped(&self) -> bool {
        self.met.is_some()
    }

    /// The stop string that was met.
    pub fn met(&self) -> Option<&str> {
        self.met.map(|place| &*self.stops[place].text)
    }

    /// Whether text waits that may become a stop string.
    pub fn holds(&self) -> bool {
        self.held().1 > 0
    }

    /// How many bytes are held, and the stop string that they begin.
    fn held(&self) -> (usize, usize) {
        if self.keep || self.has_stopped() {
            return (0, 0);
        }
        let longest = self.matched.iter().copied().enumerate().max_by_key(|(_, matched)| *matched);
        longest.unwrap_or_default()
    }

    fn advance(&mut self, text: &[u8]) -> Option<Found> {
        for (position, byte) in text.iter().enumerate() {
            let (mut stop, mut length) = (0, 0);
            for (place, (known, matched)) in self.stops.iter().zip(&mut self.matched).enumerate() {
                *matched = known.matched(*matched, *byte);
                if *matched == known.text.len() && *matched > length {
                    (stop, length) = (place, *matched);
                }
            }
            if length > 0 {
                return Some(Found { end: position + 1, length, stop });
            }
        }
        None
    }
}

struct Found {
    /// Where in the piece it ends.
    end: usize,
    length: usize,
    /// Its place among the stop strings.
    stop: usize,
}

/// A stop string as Knuth, Morris and Pratt read it.
#[derive(Debug)]
struct Stop {
    text: Box<str>,
    /// For each beginning of it, how many bytes of its end are a shorter beginning.
    borders: Box<[usize]>,
}

impl Stop {
    fn new(text: &str) -> Self {
        let mut stop = Self { text: text.into(), borders: vec![0; text.len()].into() };
        let mut matched = 0;
        for (position, byte) in text.bytes().enumerate().skip(1) {
            matched = stop.matched(matched, byte);
            stop.borders[position] = matched;
        }
        stop
    }

    /// How much of the beginning is matched with one more byte; before, it was not the whole.
    fn matched(&self, mut before: usize, byte: u8) -> usize {
        let text = self.text.as_bytes();
        while before > 0 && text[before] != byte {
            before = self.borders[before - 1];
        }
        before + usize::from(text[before] == byte)
    }
}

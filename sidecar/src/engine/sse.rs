//! Reads server-sent events from bytes as they come, wherever the network cut them. No I/O, no JSON.

use bytes::{Buf, Bytes};
use memchr::memchr;

/// What a parser keeps of its buffers after a large event, in bytes.
const KEPT: usize = 16 * 1024;

/// An event is bigger than it may be. In bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the engine is larger than {0} bytes")]
pub(crate) struct EventTooLarge(pub(crate) usize);

/// Cuts a stream of bytes into events and gives their data.
#[derive(Debug)]
pub(crate) struct SseParser {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event so far.
    data: Vec<u8>,
    has_data: bool,
    /// `data` was given out and is to be emptied.
    given: bool,
    limit: usize,
}

impl SseParser {
    /// `limit`: the largest event, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { line: Vec::new(), data: Vec::new(), has_data: false, given: false, limit }
    }

    /// Consumes `bytes` up to the end of the next event and gives its data; none when they are used up.
    pub(crate) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<&[u8]>, EventTooLarge> {
        if self.given {
            self.forget();
        }
        while let Some(end) = memchr(b'\n', bytes) {
            let line = bytes.split_to(end);
            bytes.advance(1);
            let complete = if self.line.is_empty() {
                self.take_line(&line)?
            } else {
                self.hold(&line)?;
                let mut whole = std::mem::take(&mut self.line);
                let complete = self.take_line(&whole)?;
                whole.clear();
                whole.shrink_to(KEPT);
                self.line = whole;
                complete
            };
            if complete {
                self.given = true;
                return Ok(Some(&self.data));
            }
        }
        let rest = std::mem::take(bytes);
        self.hold(&rest)?;
        Ok(None)
    }

    /// Takes a line without its end; true when it completes an event.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, EventTooLarge> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(self.has_data);
        }
        // Comments, and fields that engines use for nothing: event, id, retry.
        let Some(value) = line.strip_prefix(b"data:") else { return Ok(false) };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if self.data.len() + value.len() > self.limit {
            return Err(EventTooLarge(self.limit));
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(false)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + bytes.len() > self.limit {
            return Err(EventTooLarge(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn forget(&mut self) {
        self.data.clear();
        self.data.shrink_to(KEPT);
        self.has_data = false;
        self.given = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "data: {\"text\":\"日本\"}\n\n: keep-alive\n\nevent: x\r\ndata:no space\r\n\r\ndata: two\ndata: \
                          lines 🦀\n\ndata:\n\n\n\ndata: [DONE]\n\ndata: cut off";
    const EVENTS: [&str; 5] = ["{\"text\":\"日本\"}", "no space", "two\nlines 🦀", "", "[DONE]"];

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::new(1000);
        let mut events = Vec::new();
        for piece in pieces {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(data) = parser.next(&mut bytes).unwrap() {
                events.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        events
    }

    #[test]
    fn events_are_cut_out() {
        assert_eq!(parse(&[STREAM.as_bytes()]), EVENTS);
    }

    #[test]
    fn any_two_pieces_give_the_same_events() {
        for cut in 0..=STREAM.len() {
            let (head, tail) = STREAM.as_bytes().split_at(cut);
            assert_eq!(parse(&[head, tail]), EVENTS, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_events(sizes in prop::collection::vec(1..7_usize, 200)) {
            let mut rest = STREAM.as_bytes();
            let mut pieces = Vec::new();
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(parse(&pieces), EVENTS);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut parser = SseParser::new(64);
            for piece in pieces {
                let mut bytes = Bytes::from(piece);
                while let Ok(Some(data)) = parser.next(&mut bytes) {
                    prop_assert!(data.len() <= 64 + 64);
                }
            }
        }
    }

    #[test]
    fn events_are_bounded() {
        let endless: Vec<u8> = b"data: ".iter().copied().chain(std::iter::repeat_n(b'x', 2000)).collect();
        assert_eq!(SseParser::new(1000).next(&mut Bytes::from(endless)), Err(EventTooLarge(1000)));
        let many_lines = "data: 0123456789\n".repeat(200);
        assert_eq!(SseParser::new(1000).next(&mut Bytes::from(many_lines)), Err(EventTooLarge(1000)));
    }
}

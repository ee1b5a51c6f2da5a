//! Server-sent events inside an HTTP chunk, written into one buffer that is used for a stream's whole life.

use crate::orders::WireStyle;

/// Room for the size line of an HTTP chunk, `ffffffff\r\n`.
const SIZE_LINE: usize = 10;

/// The events that leave together.
#[derive(Debug)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    style: WireStyle,
    chunked: bool,
    /// Padding for the next event.
    padding: usize,
}

impl Events {
    /// `chunked` frames them as HTTP/1.1 does; otherwise the connection's end is the stream's.
    pub(crate) fn new(style: WireStyle, chunked: bool) -> Self {
        Self { bytes: vec![0; SIZE_LINE], style, chunked, padding: 0 }
    }

    /// Adds an event whose data `write` appends.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(if self.style.no_space { b"data:" } else { b"data: " });
        write(&mut self.bytes);
        let padding = std::mem::take(&mut self.padding);
        if padding > 0 {
            pad(&mut self.bytes, padding);
        }
        self.bytes.extend_from_slice(if self.style.crlf { b"\r\n\r\n" } else { b"\n\n" });
    }

    /// Makes the next event bigger by so many bytes.
    pub(crate) fn pad_next(&mut self, padding: usize) {
        self.padding = padding;
    }

    /// The bytes to send for the events added since the last call of `clear`.
    pub(crate) fn frame(&mut self) -> &[u8] {
        let size = self.bytes.len() - SIZE_LINE;
        if size == 0 || !self.chunked {
            return &self.bytes[SIZE_LINE..];
        }
        let line = format!("{size:x}\r\n");
        let start = SIZE_LINE - line.len();
        self.bytes[start..SIZE_LINE].copy_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        &self.bytes[start..]
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(SIZE_LINE);
        self.bytes.shrink_to(MAX_KEPT);
    }

    /// What ends the stream on the wire.
    pub(crate) fn last(&self) -> &'static [u8] {
        if self.chunked { b"0\r\n\r\n" } else { b"" }
    }
}

/// Adds a field nobody knows to the JSON object at the end of `bytes`.
pub(crate) fn pad(bytes: &mut Vec<u8>, padding: usize) {
    if bytes.pop_if(|last| *last == b'}').is_some() {
        bytes.extend_from_slice(b",\"padding\":\"");
        bytes.resize(bytes.len() + padding, b'x');
        bytes.extend_from_slice(b"\"}");
    }
}

/// What an idle stream may keep of its buffer.
const MAX_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(style: WireStyle, chunked: bool) -> String {
        let mut events = Events::new(style, chunked);
        events.push(|bytes| bytes.extend_from_slice(b"{}"));
        String::from_utf8(events.frame().to_vec()).unwrap()
    }

    #[test]
    fn events_are_framed_as_ordered() {
        assert_eq!(frame(WireStyle::default(), true), "a\r\ndata: {}\n\n\r\n");
        assert_eq!(frame(WireStyle::default(), false), "data: {}\n\n");
        let style = WireStyle { crlf: true, no_space: true, split: None };
        assert_eq!(frame(style, true), "b\r\ndata:{}\r\n\r\n\r\n");
    }

    #[test]
    fn padding_stays_json() {
        let mut bytes = br#"{"a":1}"#.to_vec();
        pad(&mut bytes, 3);
        assert_eq!(bytes, br#"{"a":1,"padding":"xxx"}"#);
    }
}

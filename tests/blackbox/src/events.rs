//! Server-sent events, read as strictly as the strictest client does.

use std::io;

use serde_json::Value;

use crate::connection::{Head, Reading};

/// One thing between two blank lines.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Json(Value),
    /// `data: [DONE]`
    Done,
    /// A line that begins with a colon: says only that the stream lives.
    Comment(String),
}

/// A stream of events. Dropping it closes its connection.
#[derive(Debug)]
pub struct Events {
    reading: Reading,
    buffer: Vec<u8>,
}

impl Events {
    /// The events of an answer's body.
    pub fn of(reading: Reading) -> Self {
        Self { reading, buffer: Vec::new() }
    }

    /// The answer's head.
    pub fn head(&self) -> &Head {
        &self.reading.head
    }

    /// The next event, or `None` at the proper end of the body.
    ///
    /// # Errors
    /// When the connection ends before the body does, or nothing comes for too long.
    ///
    /// # Panics
    /// When what comes is no event.
    pub fn event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("events are UTF-8");
                return Ok(Some(Event::parse(&event[..end])));
            }
            match self.reading.bytes()? {
                Some(bytes) => self.buffer.extend(bytes),
                None => {
                    let left = String::from_utf8_lossy(&self.buffer);
                    assert!(left.is_empty(), "the last event is not closed by a blank line: {left}");
                    return Ok(None);
                }
            }
        }
    }

    /// The next chunk, comments passed over.
    ///
    /// # Panics
    /// When the stream ends or breaks instead.
    pub fn chunk(&mut self) -> Value {
        loop {
            match self.event() {
                Ok(Some(Event::Json(chunk))) => return chunk,
                Ok(Some(Event::Comment(_))) => {}
                other => panic!("a chunk was expected, not {other:?}"),
            }
        }
    }

    /// All events up to the proper end of the body.
    ///
    /// # Panics
    /// When the body has no proper end.
    pub fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event().unwrap_or_else(|error| panic!("{error} after {:?}", events.last())) {
            events.push(event);
        }
        events
    }

    /// All chunks of a stream that ends with one `[DONE]` and has no comments.
    ///
    /// # Panics
    /// When it is not so.
    pub fn chunks(self) -> Vec<Value> {
        let mut events = self.rest();
        assert_eq!(events.pop(), Some(Event::Done), "the end after {} events", events.len());
        events
            .into_iter()
            .map(|event| match event {
                Event::Json(chunk) => chunk,
                other => panic!("{other:?} is no chunk"),
            })
            .collect()
    }

    /// The connection, which may still be open.
    pub fn into_reading(self) -> Reading {
        self.reading
    }
}

impl Event {
    fn parse(text: &str) -> Self {
        assert!(!text.contains('\r'), "carriage return in {text:?}");
        // Typed events bear their type twice.
        if let Some((kind, data)) = text.strip_prefix("event: ").and_then(|event| event.split_once('\n')) {
            let event = Self::parse(data);
            assert!(matches!(&event, Self::Json(data) if data["type"] == kind), "typed alike: {text:?}");
            return event;
        }
        assert!(!text.contains('\n'), "an event of one line each: {text:?}");
        if let Some(comment) = text.strip_prefix(':') {
            return Self::Comment(comment.to_owned());
        }
        let data = text.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {text:?}"));
        if data == "[DONE]" {
            return Self::Done;
        }
        Self::Json(serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")))
    }
}

//! One step of a request, from its beginning until it is dropped.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    KeyValue, Value,
    trace::{Event, SpanId, SpanKind, Status},
};

use super::{Context, Trace, names, recorder::Shared};

/// The most that is kept of a text, in bytes: error messages may quote what clients wrote.
const TEXT_BYTES: usize = 512;

/// The most events of one span. Stalls come again and again; what is beyond is counted.
const EVENTS: usize = 32;

/// A step that runs, or nothing where there is no trace: one pointer either way. A step that is dropped before it was
/// [ended](Span::end) was broken off, and says so.
#[derive(Debug, Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    trace: Trace,
    record: Record,
    ended: bool,
}

/// What is known of a span.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub id: SpanId,
    pub parent: SpanId,
    /// The parent is another process's.
    pub parent_is_remote: bool,
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub start: SystemTime,
    /// When it ended. Until then, none.
    pub end: Option<SystemTime>,
    pub attributes: Vec<KeyValue>,
    pub events: Vec<Event>,
    pub events_dropped: u32,
    pub status: Status,
}

impl Record {
    pub fn begin(id: SpanId, parent: SpanId, name: Cow<'static, str>, kind: SpanKind) -> Self {
        Self {
            id,
            parent,
            parent_is_remote: false,
            name,
            kind,
            start: SystemTime::now(),
            end: None,
            attributes: Vec::new(),
            events: Vec::new(),
            events_dropped: 0,
            status: Status::Unset,
        }
    }

    /// The last value of a key is the one that holds.
    pub fn set(&mut self, key: &'static str, value: Value) {
        match self.attributes.iter_mut().find(|held| held.key.as_str() == key) {
            Some(held) => held.value = value,
            None => self.attributes.push(KeyValue::new(key, value)),
        }
    }

    pub fn event(&mut self, name: &'static str, attributes: Vec<KeyValue>) {
        if self.events.len() < EVENTS {
            self.events.push(Event::new(name, SystemTime::now(), attributes, 0));
        } else {
            self.events_dropped += 1;
        }
    }

    pub fn fail(&mut self, kind: &str, message: &str) {
        self.set(names::ERROR_TYPE, kind.to_owned().into());
        self.status = Status::error(shorten(message).to_owned());
    }
}

/// What of a text is kept.
pub(super) fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}

impl Span {
    pub(super) fn open(shared: &Trace, parent: &Shared, name: Cow<'static, str>, kind: SpanKind) -> Self {
        let record = Record::begin(parent.new_id(), parent.root_id(), name, kind);
        Self(Some(Box::new(Open { trace: shared.clone(), record, ended: false })))
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What the next process is told of it.
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().and_then(|open| open.trace.context_of(open.record.id))
    }

    /// Says something of it. Use [`Span::is_on`] where the value costs something to make.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.record.set(key, value.into());
        }
    }

    /// The same, in other words where it is not there.
    pub fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let (true, Some(value)) = (self.is_on(), value) {
            self.set(key, value);
        }
    }

    /// A text of somebody else's: what is too long is cut.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        if self.is_on() {
            self.set(key, shorten(text).to_owned());
        }
    }

    /// Something happens now.
    pub fn event(&mut self, name: &'static str, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if let Some(open) = &mut self.0 {
            open.record.event(name, attributes());
        }
    }

    /// It has failed, in one of few ways, as is explained for people.
    pub fn fail(&mut self, kind: &str, message: &str) {
        if let Some(open) = &mut self.0 {
            open.record.fail(kind, message);
        }
    }

    /// Its request is kept, see [`Trace::keep`].
    pub fn keep(&self, why: &'static str) {
        if let Some(open) = &self.0 {
            open.trace.keep(why);
        }
    }

    /// It has come to its end.
    pub fn end(mut self) {
        if let Some(open) = &mut self.0 {
            open.ended = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { trace, mut record, ended } = *open;
        record.end = Some(SystemTime::now());
        if !ended && record.status == Status::Unset {
            record.set(names::BROKEN_OFF, true.into());
        }
        trace.close(record);
    }
}

//! The events of a response's stream: each bears its type twice and its number once, and those of text are padded.

use serde::Serialize;

use crate::json;
use crate::obfuscation::Obfuscation;

/// Writes them, one after the other.
#[derive(Debug)]
pub(crate) struct Events {
    /// The number of the next one.
    number: u64,
    /// Those up to this one have been read already.
    after: Option<u64>,
    padding: Option<Obfuscation>,
}

impl Events {
    pub(crate) fn new(padding: Option<u64>, after: Option<u64>) -> Self {
        Self { number: 0, after, padding: padding.map(Obfuscation::new) }
    }

    /// Appends an event with the fields that `fields` appends, each with a comma before it.
    pub(crate) fn write(&mut self, kind: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
        if let Some(number) = self.next() {
            write(kind, number, out, fields);
            out.extend_from_slice(b"}\n\n");
        }
    }

    /// Appends an event of text, which is padded.
    pub(crate) fn delta(&mut self, kind: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
        let Some(number) = self.next() else {
            if let Some(padding) = &mut self.padding {
                padding.skip();
            }
            return;
        };
        let start = write(kind, number, out, fields);
        if let Some(padding) = &mut self.padding {
            padding.write(start, out);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// The next number; `None` where its event has been read already.
    fn next(&mut self) -> Option<u64> {
        let number = self.number;
        self.number += 1;
        self.after.is_none_or(|after| number > after).then_some(number)
    }
}

/// Leaves the event open. Returns where its data starts.
fn write(kind: &str, number: u64, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) -> usize {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
    let start = out.len();
    out.extend_from_slice(b"data: {\"type\":");
    json::write(out, kind);
    fields(out);
    out.extend_from_slice(b",\"sequence_number\":");
    json::write(out, &number);
    start
}

/// Where a part of an item is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) item: &'a str,
    pub(crate) index: usize,
}

impl Place<'_> {
    /// Of an item.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        write_field("item_id", self.item, out);
        write_field("output_index", &self.index, out);
    }

    /// Of the one part that items of text have.
    pub(crate) fn write_part(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"content_index\":0");
        self.write(out);
    }
}

/// Appends a field with the comma before it.
pub(crate) fn write_field<T: Serialize + ?Sized>(name: &str, value: &T, out: &mut Vec<u8>) {
    crate::responses::echo::field(name, value, out);
}

//! The spans that this process remembers of late, for whoever has no collector at hand: bounded in bytes, the oldest
//! forgotten first. Texts of conversations are not among them.

use std::{collections::VecDeque, mem::size_of, sync::Arc};

use opentelemetry::{
    Array, KeyValue, Value,
    trace::{Status, TraceId},
};
use parking_lot::Mutex;

use super::{names, span::Record};

/// What allocators and the queue's spare room add to each span, in bytes, on the safe side.
const BESIDE: usize = 64;

/// The spans of late of all services of this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    /// In bytes. 0: nothing is remembered.
    most: usize,
    held: usize,
    spans: VecDeque<Kept>,
}

/// A span that is remembered.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub trace_id: TraceId,
    pub service: Arc<str>,
    pub record: Record,
    bytes: usize,
}

impl Recent {
    /// From now on so many bytes are remembered.
    pub(super) fn hold(&self, bytes: usize) {
        self.0.lock().most = bytes;
    }

    /// Whether anything is.
    pub fn is_on(&self) -> bool {
        self.0.lock().most > 0
    }

    /// Remembers a span that is over, in place of the oldest where there is no room.
    pub(super) fn remember(&self, trace_id: TraceId, service: &Arc<str>, mut record: Record) {
        record.attributes.retain(|attribute| !names::TEXTS.contains(&attribute.key.as_str()));
        let bytes = size_of::<Kept>() + BESIDE + bytes_of(&record);
        let kept = Kept { trace_id, service: service.clone(), record, bytes };
        let mut forgotten = Vec::new();
        {
            let ring = &mut *self.0.lock();
            if bytes > ring.most {
                return;
            }
            while ring.held + bytes > ring.most {
                let Some(oldest) = ring.spans.pop_front() else { break };
                ring.held -= oldest.bytes;
                forgotten.push(oldest);
            }
            ring.held += bytes;
            ring.spans.push_back(kept);
        }
        // Freed when nobody waits for the lock.
        drop(forgotten);
    }

    /// The spans of one trace, or of the trace of one request, as they ended; of many the last `most`.
    pub(super) fn of(&self, id: &str, most: usize) -> Vec<Kept> {
        let ring = self.0.lock();
        let trace_id = TraceId::from_hex(id).ok().filter(|_| id.len() == 32);
        let trace_id = trace_id.or_else(|| {
            let is_it = |attribute: &KeyValue| {
                attribute.key.as_str() == names::REQUEST_ID
                    && matches!(&attribute.value, Value::String(text) if text.as_str() == id)
            };
            let root = ring.spans.iter().rev().find(|kept| kept.record.attributes.iter().any(is_it));
            root.map(|root| root.trace_id)
        });
        let Some(trace_id) = trace_id else { return Vec::new() };
        let mut spans: Vec<_> =
            ring.spans.iter().rev().filter(|kept| kept.trace_id == trace_id).take(most).cloned().collect();
        drop(ring);
        spans.reverse();
        spans
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let ring = self.0.lock();
        (ring.spans.len(), ring.held)
    }
}

/// What it has on the heap, nearly.
fn bytes_of(record: &Record) -> usize {
    let attributes = |list: &[KeyValue]| size_of_val(list) + list.iter().map(|one| heap(&one.value)).sum::<usize>();
    let events: usize = record.events.iter().map(|event| size_of_val(event) + attributes(&event.attributes)).sum();
    let message = match &record.status {
        Status::Error { description } => description.len(),
        Status::Ok | Status::Unset => 0,
    };
    record.name.len() + attributes(&record.attributes) + events + message
}

fn heap(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts.iter().map(|text| size_of_val(text) + text.as_str().len()).sum(),
        Value::Array(Array::Bool(list)) => size_of_val(list.as_slice()),
        Value::Array(Array::I64(list)) => size_of_val(list.as_slice()),
        Value::Array(Array::F64(list)) => size_of_val(list.as_slice()),
        _ => 0,
    }
}

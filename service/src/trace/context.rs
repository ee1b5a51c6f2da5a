//! W3C trace context: which trace a request belongs to, and which span it comes from. What comes from outside is believed
//! only where it is well-formed.

use std::{fmt, str::FromStr};

use opentelemetry::trace::{SpanId, TraceId, TraceState};

/// The most that is taken of a `tracestate`, in bytes: as much as the recommendation asks that everybody passes on.
const STATE_BYTES: usize = 512;

/// The bit of a `traceparent`'s flags that says: sampled.
const SAMPLED: u8 = 1;

/// The trace of a request and the span that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Whoever began the trace wants it.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`. None: it is not one.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut fields = traceparent.split('-');
        let [version, trace_id, span_id, flags] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
        let is_hex = |field: &str, length: usize| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let well_formed =
            is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2) && version != "ff";
        // What later versions add stands behind what this one knows.
        if !well_formed || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & SAMPLED != 0;
        (trace_id != TraceId::INVALID && span_id != SpanId::INVALID).then_some(Self { trace_id, span_id, sampled })
    }
}

/// As a `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// What others have noted of the trace: passed on as it came.
#[derive(Debug, Clone, Default)]
pub struct State(pub(super) TraceState);

impl State {
    /// Reads a `tracestate`. What is too long or no list of keys and values is none.
    pub fn parse(tracestate: &str) -> Self {
        let fits =
            (1..=STATE_BYTES).contains(&tracestate.len()) && tracestate.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let list =
            || tracestate.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect::<Vec<_>>().join(",");
        Self(fits.then(list).and_then(|list| TraceState::from_str(&list).ok()).unwrap_or_default())
    }

    /// As a `tracestate`; empty where there is none.
    pub fn header(&self) -> String {
        self.0.header()
    }
}

/// The trace's id in a `traceparent` that was written or checked by [`Context`]. None: it is empty.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.get(3..35)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn well_formed_parents_are_read() {
        let context = Context::parse(PARENT).unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert!(context.sampled);
        assert_eq!(trace_id(PARENT), Some("0af7651916cd43dd8448eb211c80319c"));
        let unsampled = PARENT.replace("-01", "-00");
        assert!(!Context::parse(&unsampled).unwrap().sampled);
        // Flags and fields of versions to come.
        assert!(Context::parse(&PARENT.replace("-01", "-ff")).unwrap().sampled);
        assert_eq!(Context::parse(&format!("{}-more", PARENT.replacen("00", "cc", 1))), Some(context));
    }

    #[test]
    fn others_are_none() {
        let wrong = [
            String::new(),
            "00".to_owned(),
            PARENT.to_uppercase(),
            PARENT.replacen("00", "ff", 1),
            format!("{PARENT}-more"),
            format!(" {PARENT}"),
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            PARENT.replace("b7ad6b7169203331", "b7ad6b716920333"),
            PARENT.replace("b7ad6b7169203331", "+7ad6b7169203331"),
            PARENT.replace("-01", "-1"),
            PARENT.replace("-01", "-zz"),
            PARENT.replace('-', "_"),
        ];
        for text in wrong {
            assert_eq!(Context::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn states_are_lists_or_none() {
        for (came, passed_on) in [
            ("vendor=1", "vendor=1"),
            ("a=1, b@c=2 ,", "a=1,b@c=2"),
            ("", ""),
            ("no list", ""),
            ("A=1", ""),
            ("a=\u{fc}ber", ""),
            (&format!("a={}", "x".repeat(600)), ""),
        ] {
            assert_eq!(State::parse(came).header(), passed_on, "{came}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_is_written_alike(text in "[0-9a-f-]{50,60}|.{0,70}") {
            if let Some(context) = Context::parse(&text) {
                prop_assert_eq!(Context::parse(&context.to_string()), Some(context));
            }
            let state = State::parse(&text).header();
            prop_assert_eq!(State::parse(&state).header(), state);
            let _ = trace_id(&text);
        }
    }
}

//! A line of the log as JSON, put together in one buffer. Every request has such a line, and tracing-subscriber's own, which hands
//! each of its hundred pieces through four layers of writers, was an eighth of the instructions that an edge spent on an answer.

use std::{
    cell::RefCell,
    fmt::{self, Debug, Write as _},
    time::{Duration, UNIX_EPOCH},
};

use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The target of events that the crate `log` makes: their own names are in their fields.
const LOG: &str = "log";

/// The seconds of a time that is written down: `2026-01-31T12:59:59`.
const SECONDS: usize = 19;

/// Writes what happens outside of spans, as all of ours does, and leaves the rest to `usual`, which writes the same: an object with
/// `timestamp`, `level`, the fields, and `target`.
#[derive(Debug)]
pub struct Json<T> {
    pub usual: T,
}

impl<S, N, T> FormatEvent<S, N> for Json<T>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    T: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if context.lookup_current().is_some() || metadata.target() == LOG {
            return self.usual.format_event(context, writer, event);
        }
        LINE.with(|line| {
            // It is in use where what formats itself logs.
            let Ok(mut line) = line.try_borrow_mut() else { return self.usual.format_event(context, writer, event) };
            line.begin()?;
            line.field("level", metadata.level().as_str());
            event.record(&mut *line);
            line.field("target", metadata.target());
            line.bytes.extend_from_slice(b"}\n");
            let written = writer.write_str(str::from_utf8(&line.bytes).map_err(|_| fmt::Error)?);
            line.bytes.shrink_to(KEPT);
            written
        })
    }
}

fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Room that is kept for the next line, in bytes.
const KEPT: usize = 4096;

thread_local! {
    static LINE: RefCell<Line> = RefCell::default();
}

/// The line that is being written, and what the next one has in common with it.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// What formats itself, before it is escaped.
    scratch: String,
    /// The second since 1970 that `text` tells.
    second: u64,
    /// It, and what a time begins with: `{"timestamp":"2026-01-31T12:59:59`.
    text: String,
}

impl Line {
    fn begin(&mut self) -> fmt::Result {
        self.bytes.clear();
        let mut now = since_1970();
        while self.second != now.as_secs() {
            self.tell_second(now)?;
            now = since_1970();
        }
        self.bytes.extend_from_slice(self.text.as_bytes());
        let mut micros = *b".000000Z\"";
        let mut rest = now.subsec_micros();
        for digit in micros[1..7].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        self.bytes.extend_from_slice(&micros);
        Ok(())
    }

    /// Tells the second that it is, unless another one begins meanwhile.
    fn tell_second(&mut self, now: Duration) -> fmt::Result {
        self.text.clear();
        self.text.push_str("{\"timestamp\":\"");
        let begins = self.text.len();
        SystemTime.format_time(&mut Writer::new(&mut self.text))?;
        self.text.truncate(begins + SECONDS);
        self.second = if since_1970().as_secs() == now.as_secs() { now.as_secs() } else { 0 };
        Ok(())
    }

    fn field(&mut self, name: &str, value: impl Serialize) {
        self.bytes.push(b',');
        self.json(name);
        self.bytes.push(b':');
        self.json(value);
    }

    fn json(&mut self, value: impl Serialize) {
        let begins = self.bytes.len();
        if serde_json::to_writer(&mut self.bytes, &value).is_err() {
            self.bytes.truncate(begins);
            self.bytes.extend_from_slice(b"null");
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        // What fails to tell of itself has told what it could.
        let _ = write!(text, "{value:?}");
        self.field(field.name(), &text);
        text.shrink_to(KEPT);
        self.scratch = text;
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use serde_json::Value;
    use tracing::{Level, debug, error, info, warn};
    use tracing_subscriber::fmt::{MakeWriter, fmt};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Written {
        /// Without their times, and these.
        fn lines(&self) -> (Vec<String>, Vec<String>) {
            let text = String::from_utf8(self.0.lock().clone()).unwrap();
            let split = |line: &str| {
                let read: Value = serde_json::from_str(line).unwrap();
                let time = read["timestamp"].as_str().unwrap().to_owned();
                (line.replace(&time, ""), time)
            };
            text.lines().map(split).unzip()
        }
    }

    /// Logs while it is told of.
    struct Talks;

    impl Debug for Talks {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("within");
            formatter.write_str("talks \"much\"")
        }
    }

    fn talk() {
        let none: Option<u64> = None;
        info!(
            count = 7_u64,
            below = -7,
            share = 0.25,
            whole = 3.0,
            no_number = f64::NAN,
            is = true,
            text = "a \"quoted\"\n\u{1} line \u{1F600} \\",
            none,
            some = Some("thing"),
            large = u128::MAX,
            shown = %"as it is",
            debugged = ?["x", "y"],
            "a message of {} words",
            5
        );
        info!(target: "usage", "no fields");
        warn!(code = 5);
        error!(talks = ?Talks, "and goes on");
        debug!("not told");
        tracing::info_span!("around", of = "something").in_scope(|| info!(inside = 1, "in a span"));
    }

    #[test]
    fn lines_are_as_tracing_subscriber_writes_them() {
        let (usual, ours) = (Written::default(), Written::default());
        let logs = || fmt().json().flatten_event(true).with_max_level(Level::INFO);
        tracing::subscriber::with_default(logs().with_writer(usual.clone()).finish(), talk);
        let subscriber = logs().map_event_format(|usual| Json { usual }).with_writer(ours.clone()).finish();
        tracing::subscriber::with_default(subscriber, talk);
        let ((usual, times), (ours, our_times)) = (usual.lines(), ours.lines());
        assert_eq!(ours, usual);
        assert!(ours.len() >= 5, "{ours:?}");
        assert!(our_times.iter().zip(&times).all(|(ours, usual)| ours.len() == usual.len() && ours > usual));
    }

    #[test]
    fn times_go_on_over_seconds() {
        let mut line = Line::default();
        let begun = since_1970();
        let mut before = String::new();
        while since_1970() < begun + Duration::from_millis(1100) {
            line.begin().unwrap();
            let now = String::from_utf8(line.bytes.clone()).unwrap();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
        assert_eq!(line.second, line.second.max(begun.as_secs() + 1));
    }
}

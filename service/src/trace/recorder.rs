//! The spans of one request, and the decision at its end whether they are sent.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    Context, Recent, Span, State, TraceMetrics,
    metrics::Fate,
    names,
    ratio::is_sampled,
    shown,
    span::{Record, shorten},
};

/// The most spans that are held for one request until it is over. A chat has about ten; one with 128 choices has as many
/// again. What is beyond is counted.
const HELD: usize = 256;

/// By what spans are told to be ours.
const SCOPE: &str = "cloudach";

/// Begins the traces of a process. Clones share it; an empty one records nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(pub(super) Option<Arc<Recorder>>);

/// What all traces of a process share.
#[derive(Debug)]
pub(super) struct Recorder {
    /// To the collector. None: there is none.
    pub out: Option<mpsc::Sender<SpanData>>,
    /// What is remembered here, and under which service's name. None: nothing is.
    pub recent: Option<(Recent, Arc<str>)>,
    pub metrics: TraceMetrics,
    /// Traces whose id is below are sampled, see [`super::ratio`].
    pub bound: u64,
    /// Whoever sent a request says whether it is sampled, where it says anything.
    pub follow: bool,
    pub slow: Duration,
    pub slow_first_token: Duration,
    pub stall: Duration,
}

impl Tracer {
    /// One that records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What is shown on the admin address: the spans that are remembered.
    pub fn routes(&self) -> axum::Router {
        let recent = self.0.as_ref().and_then(|recorder| recorder.recent.as_ref());
        shown::routes(recent.map(|(recent, _)| recent.clone()).unwrap_or_default())
    }

    /// Begins what a request does in this process, as part of the trace that it came with, if it did.
    pub fn begin(
        &self,
        kind: SpanKind,
        parent: Option<Context>,
        state: &State,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Trace {
        let Some(recorder) = &self.0 else { return Trace(None) };
        let ids = RandomIdGenerator::default();
        let trace_id = parent.map_or_else(|| ids.new_trace_id(), |parent| parent.trace_id);
        let sampled = match parent.filter(|_| recorder.follow) {
            Some(parent) => parent.sampled,
            None => is_sampled(trace_id, recorder.bound),
        };
        let parent_id = parent.map_or(SpanId::INVALID, |parent| parent.span_id);
        let mut root = Record::begin(ids.new_span_id(), parent_id, name(), kind);
        root.parent_is_remote = parent.is_some();
        Trace(Some(Arc::new(Shared {
            recorder: recorder.clone(),
            trace_id,
            root_id: root.id,
            sampled,
            state: state.clone(),
            held: Mutex::new(Held { root, children: Vec::new(), first_token: None, last_token: None, kept: None }),
        })))
    }
}

/// What a request does in this process: a span of its own, and those of its steps. Clones share it, and it is over when
/// the last of them and the last step have been dropped. One pointer; nothing where traces are off.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Shared>>);

#[derive(Debug)]
pub(super) struct Shared {
    recorder: Arc<Recorder>,
    trace_id: TraceId,
    root_id: SpanId,
    sampled: bool,
    state: State,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    root: Record,
    /// Of a request that is not sampled, until it is over.
    children: Vec<Record>,
    first_token: Option<SystemTime>,
    /// Looked at with each event of an engine, to find stalls.
    last_token: Option<std::time::Instant>,
    /// Why the request is kept although it is not sampled.
    kept: Option<&'static str>,
}

impl Shared {
    pub fn new_id(&self) -> SpanId {
        RandomIdGenerator::default().new_span_id()
    }

    pub fn root_id(&self) -> SpanId {
        self.root_id
    }

    /// The record as it is sent.
    fn data(&self, record: Record) -> SpanData {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let mut events = SpanEvents::default();
        (events.events, events.dropped_count) = (record.events, record.events_dropped);
        SpanData {
            span_context: SpanContext::new(self.trace_id, record.id, flags, false, self.state.0.clone()),
            parent_span_id: record.parent,
            parent_span_is_remote: record.parent_is_remote,
            span_kind: record.kind,
            name: record.name,
            start_time: record.start,
            end_time: record.end.unwrap_or(record.start),
            attributes: record.attributes,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: record.status,
            instrumentation_scope: InstrumentationScope::builder(SCOPE)
                .with_version(env!("CARGO_PKG_VERSION"))
                .with_schema_url(names::SCHEMA)
                .build(),
        }
    }

    /// It is over: remembers it, where anything is remembered. None: that was all that is done with it.
    fn remember(&self, record: Record) -> Option<Record> {
        let Some((recent, service)) = &self.recorder.recent else { return Some(record) };
        if self.recorder.out.is_none() {
            recent.remember(self.trace_id, service, record);
            return None;
        }
        recent.remember(self.trace_id, service, record.clone());
        Some(record)
    }

    fn send(&self, record: Record) {
        let Some(out) = &self.recorder.out else { return };
        if out.try_send(self.data(record)).is_err() {
            self.recorder.metrics.count(Fate::QueueFull, 1);
        }
    }
}

impl Trace {
    /// No trace.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a step.
    pub fn step(&self, name: &'static str) -> Span {
        self.span(name, SpanKind::Internal)
    }

    /// Begins a step that another process is asked for.
    pub fn call(&self, name: &'static str) -> Span {
        self.span(name, SpanKind::Client)
    }

    fn span(&self, name: &'static str, kind: SpanKind) -> Span {
        match &self.0 {
            Some(shared) => Span::open(self, shared, Cow::Borrowed(name), kind),
            None => Span::default(),
        }
    }

    /// What the next process is told of it.
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().and_then(|shared| self.context_of(shared.root_id))
    }

    pub(super) fn context_of(&self, span_id: SpanId) -> Option<Context> {
        let shared = self.0.as_ref()?;
        // What follows on a reason to keep the request is sampled, here and wherever it goes from here.
        let sampled = shared.sampled || shared.held.lock().kept.is_some();
        Some(Context { trace_id: shared.trace_id, span_id, sampled })
    }

    /// What others have noted of the trace.
    pub fn state(&self) -> String {
        self.0.as_ref().map(|shared| shared.state.header()).unwrap_or_default()
    }

    /// Says something of the request.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(shared) = &self.0 {
            shared.held.lock().root.set(key, value.into());
        }
    }

    /// A text of somebody else's: what is too long is cut.
    pub fn set_text(&self, key: &'static str, text: &str) {
        if self.is_on() {
            self.set(key, shorten(text).to_owned());
        }
    }

    /// Names it by what is known of it now.
    pub fn rename(&self, name: impl FnOnce() -> String) {
        if let Some(shared) = &self.0 {
            shared.held.lock().root.name = Cow::Owned(shorten(&name()).to_owned());
        }
    }

    /// Something happens now.
    pub fn event(&self, name: &'static str, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if let Some(shared) = &self.0 {
            let attributes = attributes();
            shared.held.lock().root.event(name, attributes);
        }
    }

    /// Something came of what is generated: notes the first time, and silences. Allocates only where there is an event.
    pub fn token(&self) {
        let Some(shared) = &self.0 else { return };
        let now = std::time::Instant::now();
        let mut held = shared.held.lock();
        match held.last_token.replace(now) {
            None => {
                held.first_token = Some(SystemTime::now());
                held.root.event(names::event::FIRST_TOKEN, Vec::new());
            }
            Some(last) => {
                let silent = now.saturating_duration_since(last);
                if silent >= shared.recorder.stall {
                    held.root.event(names::event::STALL, vec![KeyValue::new(names::SECONDS, silent.as_secs_f64())]);
                }
            }
        }
    }

    /// The request has failed here: it is kept.
    pub fn fail(&self, kind: &str, message: &str) {
        if let Some(shared) = &self.0 {
            shared.held.lock().root.fail(kind, message);
        }
    }

    /// The request is kept, for this reason, whether it is sampled or not.
    pub fn keep(&self, why: &'static str) {
        if let Some(shared) = &self.0 {
            shared.held.lock().kept.get_or_insert(why);
        }
    }

    /// Whether it would be kept if it were over now: the processes before this one are told, and keep theirs.
    pub fn is_kept(&self) -> bool {
        let Some(shared) = &self.0 else { return false };
        shared.held.lock().why_kept(&shared.recorder, SystemTime::now()).is_some()
    }

    /// The request is over, whatever is still cleared away for it.
    pub fn over(&self) {
        if let Some(shared) = &self.0 {
            shared.held.lock().root.end = Some(SystemTime::now());
        }
    }

    pub(super) fn close(self, record: Record) {
        let Some(shared) = &self.0 else { return };
        let Some(record) = shared.remember(record) else { return };
        if shared.sampled {
            return shared.send(record);
        }
        let mut held = shared.held.lock();
        if held.children.len() < HELD {
            held.children.push(record);
        } else {
            shared.recorder.metrics.count(Fate::TooMany, 1);
        }
    }
}

impl Held {
    fn why_kept(&self, recorder: &Recorder, now: SystemTime) -> Option<&'static str> {
        let since_start = |at: SystemTime| at.duration_since(self.root.start).unwrap_or_default();
        if matches!(self.root.status, Status::Error { .. }) {
            return Some(names::kept::ERROR);
        }
        let first_token = self.first_token.map(since_start).unwrap_or_default();
        if since_start(now) >= recorder.slow || first_token >= recorder.slow_first_token {
            return Some(names::kept::SLOW);
        }
        self.kept
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let end = SystemTime::now();
        let held = self.held.get_mut();
        let end = *held.root.end.get_or_insert(end);
        let why = held.why_kept(&self.recorder, end);
        if let Some(why) = why {
            held.root.set(names::KEPT, why.into());
        }
        let root = Record::begin(SpanId::INVALID, SpanId::INVALID, Cow::Borrowed(""), SpanKind::Internal);
        let root = std::mem::replace(&mut held.root, root);
        let children = std::mem::take(&mut held.children);
        let Some(root) = self.remember(root) else { return };
        if !self.sampled && why.is_none() {
            return;
        }
        for record in children.into_iter().chain([root]) {
            self.send(record);
        }
    }
}

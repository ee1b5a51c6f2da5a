use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::trace::{SpanKind, Status, TraceId};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    config::{InvalidTracing, Protocol, Tracing},
    metrics::Fate,
    queue::Queue,
    ratio::{bound, is_sampled},
    recorder::Recorder,
    *,
};

mod remembered;

fn tracer(ratio: f64, room: usize) -> (Tracer, mpsc::Receiver<SpanData>, TraceMetrics) {
    let (out, spans) = mpsc::channel(room);
    let metrics = TraceMetrics::default();
    let recorder = Recorder {
        out: Some(out),
        recent: None,
        metrics: metrics.clone(),
        bound: bound(ratio),
        follow: true,
        slow: Duration::from_secs(3600),
        slow_first_token: Duration::from_secs(3600),
        stall: Duration::from_millis(1),
    };
    (Tracer(Some(Arc::new(recorder))), spans, metrics)
}

fn begin(tracer: &Tracer, parent: Option<Context>) -> Trace {
    tracer.begin(SpanKind::Server, parent, &State::default(), || "request".into())
}

fn sent(spans: &mut mpsc::Receiver<SpanData>) -> Vec<SpanData> {
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn parent(sampled: bool) -> Context {
    let flags = if sampled { "01" } else { "00" };
    Context::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}")).unwrap()
}

#[test]
fn nothing_is_recorded_where_traces_are_off() {
    let trace = begin(&Tracer::off(), Some(parent(true)));
    assert!(!trace.is_on() && trace.context().is_none());
    let span = trace.step("step");
    assert!(!span.is_on() && span.context().is_none());
    assert_eq!(size_of::<Span>() + size_of::<Trace>(), 2 * size_of::<usize>());
}

#[test]
fn a_sampled_request_is_sent_with_its_steps() {
    let (tracer, mut spans, _) = tracer(0.0, 16);
    let trace = begin(&tracer, Some(parent(true)));
    let mut step = trace.call("call");
    step.set("a", 1);
    step.set("a", 2);
    let context = step.context().unwrap();
    assert_eq!(context.trace_id, parent(true).trace_id);
    step.end();
    drop(trace.step("left"));
    drop(trace);
    let sent = sent(&mut spans);
    let [call, left, root] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(root.parent_span_id, parent(true).span_id);
    assert!(root.parent_span_is_remote && !call.parent_span_is_remote);
    assert_eq!((call.parent_span_id, left.parent_span_id), (root.span_context.span_id(), root.span_context.span_id()));
    assert_eq!(call.span_context.span_id(), context.span_id);
    assert_eq!((call.span_kind.clone(), call.attributes.clone()), (SpanKind::Client, vec![KeyValue::new("a", 2)]));
    assert_eq!(left.attributes, [KeyValue::new(names::BROKEN_OFF, true)]);
    assert!(root.attributes.is_empty());
}

/// A request, and why it is kept although it is not sampled.
type Case = (fn(&Trace), Option<&'static str>);

#[test]
fn what_fails_or_is_worth_it_is_kept() {
    let cases: [Case; 5] = [
        (|_| {}, None),
        (|trace| trace.fail("overloaded", "no place"), Some("error")),
        (|trace| trace.keep(names::kept::RETRIED), Some("retried")),
        (|trace| trace.step("step").fail("lost", "another one is asked"), None),
        (|trace| trace.set("a", 1), None),
    ];
    for (number, (happens, why)) in cases.into_iter().enumerate() {
        let (tracer, mut spans, _) = tracer(0.0, 16);
        let trace = begin(&tracer, None);
        assert!(!trace.context().unwrap().sampled);
        trace.step("first").end();
        happens(&trace);
        assert_eq!(trace.is_kept(), why.is_some(), "{number}");
        // Whoever is asked because of it is told that it is sampled.
        assert_eq!(trace.call("next").context().unwrap().sampled, why == Some("retried"), "{number}");
        assert!(sent(&mut spans).is_empty(), "nothing is sent before the end");
        drop(trace);
        let sent = sent(&mut spans);
        let told = sent.last().map(|root| root.attributes.clone()).unwrap_or_default();
        let told = told.iter().find(|attribute| attribute.key.as_str() == names::KEPT);
        assert_eq!(told.map(|attribute| attribute.value.to_string()).as_deref(), why, "{number}");
        assert_eq!(sent.len(), if why.is_some() { 3 } else { 0 }, "{number}");
    }
}

#[test]
fn what_is_slow_is_kept() {
    let (Tracer(recorder), mut spans, metrics) = tracer(0.0, 16);
    let Recorder { out, bound, follow, stall, .. } = Arc::into_inner(recorder.unwrap()).unwrap();
    let slow = Duration::from_nanos(1);
    let far = Duration::from_secs(3600);
    for (slow, slow_first_token) in [(slow, far), (far, slow)] {
        let (out, metrics) = (out.clone(), metrics.clone());
        let recorder = Recorder { out, recent: None, metrics, bound, follow, stall, slow, slow_first_token };
        let trace = begin(&Tracer(Some(Arc::new(recorder))), None);
        std::thread::sleep(Duration::from_millis(2));
        trace.token();
        std::thread::sleep(Duration::from_millis(2));
        trace.token();
        drop(trace);
        let sent = sent(&mut spans);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].attributes, [KeyValue::new(names::KEPT, names::kept::SLOW)]);
        let events: Vec<_> = sent[0].events.iter().map(|event| event.name.as_ref()).collect();
        assert_eq!(events, [names::event::FIRST_TOKEN, names::event::STALL]);
    }
}

#[test]
fn bounds_hold_and_what_is_beyond_is_counted() {
    let (tracer, mut spans, metrics) = tracer(0.0, 300);
    let trace = begin(&tracer, None);
    for _ in 0..400 {
        let mut step = trace.step("step");
        (0..100).for_each(|_| step.event("again", Vec::new));
        step.end();
    }
    trace.fail("failed", &"long ".repeat(1000));
    drop(trace);
    let sent = sent(&mut spans);
    assert_eq!((sent.len(), metrics.of(Fate::TooMany)), (257, 144));
    assert_eq!((sent[0].events.len(), sent[0].events.dropped_count), (32, 68));
    let Status::Error { description } = &sent[256].status else { panic!() };
    assert!(description.len() <= 512);

    let trace = begin(&tracer, Some(parent(true)));
    (0..400).for_each(|_| trace.step("step").end());
    assert_eq!(metrics.of(Fate::QueueFull), 100);
}

#[test]
fn a_ratio_is_of_traces_and_the_same_everywhere() {
    let (all, none, half) = (bound(1.0), bound(0.0), bound(0.5));
    let ids = (0..2000_u64).map(|id| TraceId::from(u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    let sampled = |bound| ids.clone().filter(|&id| is_sampled(id, bound)).count();
    assert_eq!((sampled(all), sampled(none)), (2000, 0));
    assert!((900..1100).contains(&sampled(half)));
    let sdk = opentelemetry_sdk::trace::Sampler::TraceIdRatioBased(0.5);
    for id in ids {
        use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};
        let decision = sdk.should_sample(None, id, "", &SpanKind::Server, &[], &[]).decision;
        assert_eq!(is_sampled(id, half), decision == SamplingDecision::RecordAndSample);
    }
}

#[test]
fn who_does_not_follow_decides_alone() {
    let (Tracer(recorder), mut spans, _) = tracer(0.0, 16);
    let recorder = Recorder { follow: false, ..Arc::into_inner(recorder.unwrap()).unwrap() };
    let trace = begin(&Tracer(Some(Arc::new(recorder))), Some(parent(true)));
    let context = trace.context().unwrap();
    assert_eq!((context.trace_id, context.sampled), (parent(true).trace_id, false));
    drop(trace);
    assert!(sent(&mut spans).is_empty());
}

fn settings(config: &str, variables: &[(&str, &str)]) -> Result<Option<super::config::Settings>, InvalidTracing> {
    let tracing: Tracing = crate::config::parse(config).unwrap();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    tracing.settings("cloudach-edge", variable)
}

#[test]
fn the_configuration_goes_before_the_environment() {
    assert_eq!(settings("{}", &[]), Ok(None));
    let env = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4317/");
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        assert_eq!(settings("{}", &[env, off]), Ok(None));
    }
    let told = settings("{}", &[env]).unwrap().unwrap();
    assert_eq!(
        (told.endpoint.as_deref().unwrap(), told.protocol, told.ratio),
        ("http://env:4317/", Protocol::Grpc, 1.0)
    );
    assert_eq!((told.service_name.as_str(), told.timeout), ("cloudach-edge", Duration::from_secs(10)));
    let all = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318/"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_SERVICE_NAME", "env"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1, b=2,broken"),
    ];
    let told = settings("{}", &all).unwrap().unwrap();
    assert_eq!(
        (told.endpoint.as_deref().unwrap(), told.protocol),
        ("http://env:4318/v1/traces", Protocol::HttpProtobuf)
    );
    assert_eq!((told.ratio, told.timeout, told.service_name.as_str()), (0.25, Duration::from_millis(1500), "env"));
    let own =
        "{endpoint: 'https://own/x', protocol: grpc, ratio: 0.5, timeout: 1s, service_name: own, attributes: {b: '3'}}";
    let told = settings(own, &all).unwrap().unwrap();
    assert_eq!((told.endpoint.as_deref().unwrap(), told.protocol, told.ratio), ("https://own/x", Protocol::Grpc, 0.5));
    assert_eq!((told.timeout, told.service_name.as_str()), (Duration::from_secs(1), "own"));
    assert_eq!(told.attributes, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "3".to_owned())]);
    // What is remembered needs no collector, and decides on samples as one that sends.
    let told = settings("{recent_bytes: 4096, ratio: 0.5}", &[]).unwrap().unwrap();
    assert_eq!((told.endpoint, told.ratio), (None, 0.5));
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let at = "endpoint: 'http://x'";
    for (config, field) in [
        ("{endpoint: 'collector:4317'}".to_owned(), "tracing.endpoint"),
        ("{endpoint: 'http://me:secret@collector'}".to_owned(), "tracing.endpoint"),
        (format!("{{{at}, ratio: 1.5}}"), "tracing.ratio"),
        (format!("{{{at}, ratio: .nan}}"), "tracing.ratio"),
        (format!("{{{at}, queue: 0}}"), "tracing.queue"),
        (format!("{{{at}, batch: 9000}}"), "tracing.batch"),
        (format!("{{{at}, timeout: 0s}}"), "tracing.timeout"),
        (format!("{{{at}, stall: 0s}}"), "tracing.stall"),
        ("{recent_bytes: 2000000000}".to_owned(), "tracing.recent_bytes"),
    ] {
        assert_eq!(settings(&config, &[]).unwrap_err().field, field, "{config}");
    }
    let wrong = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    assert_eq!(settings("{}", &wrong).unwrap_err().field, "OTEL_EXPORTER_OTLP_PROTOCOL");
}

/// A collector that takes nothing until it has been asked so many times.
#[derive(Debug, Clone, Default)]
struct Collector {
    refusals: usize,
    asked: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<usize>>>,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.refusals {
            return Err(OTelSdkError::InternalFailure("away".to_owned()));
        }
        self.taken.lock().push(batch.len());
        Ok(())
    }
}

fn queue(metrics: &TraceMetrics) -> Queue {
    Queue {
        batch: 4,
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(10),
        retry_for: Duration::from_secs(60),
        metrics: metrics.clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn spans_are_sent_together_and_at_the_end() {
    let (tracer, spans, metrics) = tracer(1.0, 64);
    let collector = Collector::default();
    let stopping = sleep(Duration::from_secs(100));
    let mut running = JoinSet::new();
    running.spawn(queue(&metrics).run(spans, collector.clone(), stopping));
    (0..6).for_each(|_| drop(begin(&tracer, None)));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*collector.taken.lock(), [4, 2]);
    let last = begin(&tracer, None);
    sleep(Duration::from_millis(97_500)).await;
    drop(last);
    running.join_all().await;
    assert_eq!(*collector.taken.lock(), [4, 2, 1]);
    assert_eq!(metrics.of(Fate::Sent), 7);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_is_asked_again_and_then_given_up() {
    let (tracer, spans, metrics) = tracer(1.0, 64);
    let collector = Collector { refusals: 3, ..Collector::default() };
    let mut running = JoinSet::new();
    running.spawn(queue(&metrics).run(spans, collector.clone(), std::future::pending()));
    drop(begin(&tracer, None));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(*collector.taken.lock(), [1]);
    running.shutdown().await;

    let (tracer, spans, metrics) = tests::tracer(1.0, 8);
    let collector = Collector { refusals: usize::MAX, ..Collector::default() };
    let begun = Instant::now();
    running.spawn(queue(&metrics).run(spans, collector.clone(), sleep(Duration::from_secs(90))));
    for _ in 0..100 {
        drop(begin(&tracer, None));
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(62)).await;
    assert!(metrics.of(Fate::QueueFull) >= 80, "what finds no room is dropped at once");
    assert_eq!(metrics.of(Fate::GivenUp), 4);
    running.join_all().await;
    assert!(begun.elapsed() < Duration::from_secs(101), "the end is not held up");
    let told = [Fate::GivenUp, Fate::QueueFull, Fate::Sent].map(|fate| metrics.of(fate));
    assert_eq!(told.iter().sum::<u64>(), 100, "every span is counted once: {told:?}");
}

proptest! {
    #[test]
    fn texts_are_cut_between_characters(text in ".{0,700}") {
        let cut = super::span::shorten(&text);
        prop_assert!(cut.len() <= 512 && text.starts_with(cut));
    }
}

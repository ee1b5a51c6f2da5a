//! What is remembered without a collector, and what that costs.

use super::*;

/// A tracer that remembers so many bytes, and sends only where it is given a way.
fn remembering(bytes: usize, out: Option<mpsc::Sender<SpanData>>) -> (Tracer, Recent) {
    let (Tracer(recorder), ..) = tracer(0.0, 1);
    let recent = Recent::default();
    recent.hold(bytes);
    let recorder = Arc::into_inner(recorder.unwrap()).unwrap();
    (Tracer(Some(Arc::new(Recorder { out, recent: Some((recent.clone(), "edge".into())), ..recorder }))), recent)
}

fn remembered(recent: &Recent, id: &str) -> Vec<String> {
    recent.of(id, 100).into_iter().map(|kept| kept.record.name.to_string()).collect()
}

#[test]
fn what_ended_lately_is_remembered_whether_it_is_sampled_or_not() {
    let (tracer, recent) = remembering(1 << 20, None);
    for (id, sampled) in [("req_a", false), ("req_b", true)] {
        let trace = begin(&tracer, None);
        trace.set(names::REQUEST_ID, id);
        trace.set(names::OUTPUT_MESSAGES, "a text");
        let trace_id = trace.context().unwrap().trace_id.to_string();
        let step = trace.step("step");
        assert_eq!(remembered(&recent, &trace_id), [""; 0], "{sampled}: nothing has ended");
        step.end();
        assert_eq!(remembered(&recent, &trace_id), ["step"]);
        drop(trace);
        assert_eq!(remembered(&recent, &trace_id), ["step", "request"]);
        assert_eq!(remembered(&recent, id), ["step", "request"]);
        assert_eq!(recent.of(id, 1).len(), 1);
    }
    assert_eq!(remembered(&recent, "req_c"), [""; 0]);
    assert_eq!(recent.held().0, 4);
    let shown = format!("{:?}", recent.of("req_b", 9));
    assert!(!shown.contains("a text"), "texts are not remembered: {shown}");
}

#[test]
fn sent_and_remembered_are_the_same_spans() {
    let (out, mut spans) = mpsc::channel(16);
    let (tracer, recent) = remembering(1 << 20, Some(out));
    let trace = begin(&tracer, Some(parent(true)));
    trace.step("step").end();
    drop(trace);
    let told: Vec<_> = sent(&mut spans).into_iter().map(|span| span.name.to_string()).collect();
    assert_eq!(told, remembered(&recent, &parent(true).trace_id.to_string()));
    // One that nobody wants is remembered all the same, and not sent.
    drop(begin(&tracer, Some(parent(false))));
    assert_eq!((sent(&mut spans).len(), recent.held().0), (0, 3));
}

/// `cargo test --release -p cloudach-service -- --ignored --nocapture what_a_request_costs`
#[test]
#[ignore = "measures, and says nothing of right and wrong"]
fn what_a_request_costs() {
    const REQUESTS: u32 = 100_000;
    /// As an edge makes of a chat.
    const STEPS: [&str; 5] = ["authenticate", "translate", "render", "reserve", "generate"];
    let request = |tracer: &Tracer| {
        let trace = begin(tracer, None);
        for step in STEPS {
            let mut step = trace.step(step);
            step.set(names::PROMPT_BYTES, 1000);
            step.set_text(names::KEY_ID, "configured-5f1e1072241d652e");
            step.end();
        }
        for key in [names::HTTP_METHOD, names::HTTP_ROUTE, names::USER_AGENT, names::TENANT, names::MODEL_ASKED] {
            trace.set_text(key, "a text of usual length");
        }
        for key in [names::INPUT_TOKENS, names::OUTPUT_TOKENS, names::ENGINE_PROMPT_TOKENS, names::HTTP_STATUS] {
            trace.set(key, 1000);
        }
        trace.token();
    };
    let time = |what: &str, tracer: &Tracer, mut each: Box<dyn FnMut()>| {
        let begun = std::time::Instant::now();
        for _ in 0..REQUESTS {
            request(tracer);
            each();
        }
        println!("{what}: {:?} a request of {} spans", begun.elapsed() / REQUESTS, STEPS.len() + 1);
    };
    time("off", &Tracer::off(), Box::new(|| {}));
    let (remembers, recent) = remembering(4 << 20, None);
    time("remembered", &remembers, Box::new(|| {}));
    println!("4 MiB hold {} spans", recent.held().0);
    let (sends, mut spans, _) = tracer(1.0, 64);
    time("sent, as far as the queue", &sends, Box::new(move || while spans.try_recv().is_ok() {}));
    let (out, mut spans) = mpsc::channel(64);
    let (both, _) = remembering(4 << 20, Some(out));
    time("remembered, not sampled", &both, Box::new(move || while spans.try_recv().is_ok() {}));
}

proptest! {
    #[test]
    fn no_more_is_remembered_than_may_be(most in 0_usize..20_000, texts in prop::collection::vec(0_usize..3000, 0..60)) {
        let (tracer, recent) = remembering(most, None);
        let mut last = String::new();
        for length in texts {
            let trace = begin(&tracer, None);
            trace.set("text", "x".repeat(length));
            last = trace.context().unwrap().trace_id.to_string();
            drop(trace);
            let (spans, held) = recent.held();
            prop_assert!(held <= most && (spans == 0) == (held == 0));
        }
        if most >= 4000 && !last.is_empty() {
            prop_assert_eq!(remembered(&recent, &last).len(), 1, "the last one is there");
        }
    }
}

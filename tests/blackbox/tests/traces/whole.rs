//! Requests that nothing happens to: one tree from the client to the engine, whichever endpoint.

use super::*;

#[test]
fn one_tree_from_the_client_to_the_engine() {
    let collector = Collector::start();
    // The client decides, not the ratio.
    let fleet = fleet(&collector, 0.0, vec![script()]);
    let headers = [("traceparent", CLIENTS), ("tracestate", "vendor=1"), ("tracestate", "b=2")];
    let request = with(streamed("[[tokens=200]]"), json!({ "temperature": 0.5, "max_tokens": 300 }));
    let answer = ask(&fleet.client(), &request, &headers);
    assert_eq!(answer.head.status, 200, "{}", answer.text());

    let spans = collector.trace(TRACE, SPANS);
    let picture = draw(&spans);
    println!("{picture}");
    assert_eq!(spans.len(), SPANS, "none for a token:\n{picture}");
    let root = root(&spans);
    assert_eq!((root.parent.as_str(), root.service.as_str()), ("b7ad6b7169203331", EDGE));
    assert_eq!(trace_of(&answer), TRACE);
    assert_eq!(answer.head.get("traceparent").unwrap(), format!("00-{TRACE}-{}-01", root.id));
    assert!(spans.iter().all(|span| span.sampled && span.state == "vendor=1,b=2" && span.start <= span.end));

    // The links from process to process.
    let (generate, route) = (one(&spans, EDGE, "generate"), one(&spans, ROUTER, "route fake-model"));
    let (attempt, engine) = (one(&spans, ROUTER, "attempt"), one(&spans, SIDECAR, "generate fake-model"));
    assert_eq!((&generate.parent, &route.parent), (&root.id, &generate.id));
    assert_eq!((&attempt.parent, &engine.parent), (&route.id, &attempt.id));
    let told = TraceHeaders {
        traceparent: format!("00-{TRACE}-{}-01", engine.id),
        tracestate: Some("vendor=1,b=2".to_owned()),
    };
    assert_eq!(told_to(fleet.engine()), [told]);

    // The steps within each.
    let steps = ["authenticate", "translate", "render", "reserve", "generate"];
    assert_eq!(names(&children(&spans, root)), steps);
    assert_eq!(names(&children(&spans, route)), ["queue", "pick", "attempt"]);
    assert_eq!(names(&children(&spans, engine)), ["prefill", "decode"]);
    for span in [root, route, engine] {
        assert_eq!(events(span), ["first_token"], "{span:?}");
    }
    assert!(spans.iter().all(|span| span.attributes["cloudach.broken_off"].is_null()), "{picture}");

    let told = |name: &str| root.attributes[name].clone();
    assert_eq!(root.name, "chat fake-model");
    assert_eq!(told("gen_ai.operation.name"), "chat");
    assert_eq!(
        (told("gen_ai.request.model"), told("gen_ai.response.model")),
        (json!("fake-model"), json!("fake-model"))
    );
    assert_eq!((told("gen_ai.request.temperature"), told("gen_ai.request.max_tokens")), (json!(0.5), json!(300)));
    assert!(told("gen_ai.usage.output_tokens").as_i64().unwrap() > 200);
    assert_eq!(told("cloudach.engine.completion_tokens"), 201);
    assert_eq!((told("gen_ai.response.finish_reasons"), told("gen_ai.request.stream")), (json!(["stop"]), json!(true)));
    assert_eq!((told("http.route"), told("http.response.status_code")), (json!(CHAT), json!(200)));
    assert_eq!((told("cloudach.tenant"), told("cloudach.outcome")), (json!("blackbox"), json!("served")));
    assert!(told("gen_ai.response.time_to_first_chunk").as_f64().unwrap() > 0.0);
    assert!(told("enduser.pseudo.id").is_string() && told("gen_ai.usage.input_tokens").as_i64().unwrap() > 0);
    let reserve = &one(&spans, EDGE, "reserve").attributes;
    assert!(reserve["cloudach.reserved.tokens"].as_i64().unwrap() > 300, "{reserve}");
    assert!(one(&spans, EDGE, "render").attributes["cloudach.prompt.bytes"].as_i64().unwrap() > 10);
    let pick = &one(&spans, ROUTER, "pick").attributes;
    assert_eq!((&pick["cloudach.replica"], &pick["cloudach.pick.candidates"]), (&json!("sidecar0"), &json!(1)));
    assert!(pick["cloudach.pick.score"].is_f64() && pick["cloudach.pick.reason"].is_string(), "{pick}");
    assert_eq!(engine.attributes["cloudach.engine.completion_tokens"], 201);

    // No secret anywhere, and no text of the conversation.
    let all = format!("{spans:?}");
    assert!(!all.contains(&fleet.client().key) && !all.contains("[[tokens"), "{all}");
    let ended = fleet.edges[0].logged(&["request ended"]);
    assert_eq!(ended[0]["trace_id"], TRACE);
    assert_documented(&picture);
}

/// The picture in the manual is this one.
fn assert_documented(picture: &str) {
    let manual = include_str!("../../../../docs/traces.md");
    assert!(manual.contains(picture), "docs/traces.md shows another tree than this:\n{picture}");
}

#[test]
fn other_endpoints_have_theirs() {
    let collector = Collector::start();
    let embedder = Script { serves: Serves::Embeddings { dimensions: 4 }, ..script() };
    let plan = plan(&collector, 1.0, vec![script()]);
    let fleet =
        Fleet::start(Plan { replicas: vec![Replica::fake(script()), Replica::of("embedder", embedder)], ..plan });
    let client = fleet.client();

    let answer = client.post("/v1/embeddings", &json!({ "model": "embedder", "input": "text" }));
    let spans = collector.trace(&trace_of(&answer), 9);
    let (root, embed) = (root(&spans), one(&spans, EDGE, "embed"));
    assert_eq!(
        (root.name.as_str(), &root.attributes["gen_ai.operation.name"]),
        ("embeddings embedder", &json!("embeddings"))
    );
    let (route, attempt) = (one(&spans, ROUTER, "route embedder"), one(&spans, ROUTER, "attempt"));
    let sidecar = one(&spans, SIDECAR, "embed embedder");
    assert_eq!((&route.parent, &attempt.parent, &sidecar.parent), (&embed.id, &route.id, &attempt.id));
    let told = fleet.engines[1].traces().pop().unwrap().unwrap();
    assert_eq!(told.traceparent, format!("00-{}-{}-01", sidecar.trace, sidecar.id));

    let message = json!({ "model": "fake-model", "max_tokens": 5, "messages": [{ "role": "user", "content": "x" }] });
    let response = json!({ "model": "fake-model", "input": "x" });
    let completion = json!({ "model": "fake-model", "prompt": "x", "n": 3 });
    for (path, body, name, spans) in [
        ("/v1/messages", message, "chat fake-model", SPANS),
        ("/v1/responses", response, "chat fake-model", SPANS),
        ("/v1/completions", completion, "text_completion fake-model", 5 + 3 * 8),
    ] {
        let answer = client.post(path, &body);
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        let spans = collector.trace(&trace_of(&answer), spans);
        assert_eq!(tree::root(&spans).name, name, "{}", draw(&spans));
        let sidecars = spans.iter().filter(|span| span.name == "generate fake-model").count();
        assert_eq!(sidecars, if name.starts_with("chat") { 1 } else { 3 }, "{}", draw(&spans));
    }
    let listed = client.get("/v1/models");
    let spans = collector.trace(&trace_of(&listed), 2);
    assert_eq!(tree::root(&spans).name, "GET /v1/models");
}

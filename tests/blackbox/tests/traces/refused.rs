//! Requests that are refused, and what clients say of traces that is not believed.

use super::*;

#[test]
fn requests_that_are_refused() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let mut client = fleet.client();
    let key = std::mem::replace(&mut client.key, "sk-wrong".to_owned());
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS)]);
    assert_eq!((answer.head.status, trace_of(&answer).as_str()), (401, TRACE));
    let spans = collector.trace(TRACE, 2);
    let root = root(&spans);
    assert_eq!((root.name.as_str(), root.parent.as_str()), ("POST /v1/chat/completions", "b7ad6b7169203331"));
    assert_eq!(root.attributes["http.response.status_code"], 401);
    // As HTTP's conventions have it, the client's mistake is no failure of the server's.
    assert_eq!((&root.attributes["error.type"], &root.error), (&json!("401"), &None));
    assert_eq!(one(&spans, EDGE, "authenticate").attributes["cloudach.broken_off"], true);
    assert!(!format!("{spans:?}").contains("sk-wrong"));

    client.key = key;
    let body = with(chat("x"), json!({ "model": "nobodys" }));
    let answer = ask(&client, &body, &[]);
    assert_eq!(answer.head.status, 404);
    let spans = collector.trace(&trace_of(&answer), 3);
    assert_eq!(tree::root(&spans).attributes["gen_ai.request.model"], "nobodys");
    for url in ["/nowhere", "/v1/models"] {
        let answer = client.ask(&client.request("PUT", url, &[], b""));
        let spans = collector.trace(&trace_of(&answer), 1);
        assert!(tree::root(&spans).name.starts_with("PUT"), "{spans:?}");
    }
}

#[test]
fn a_request_that_passes_a_limit() {
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let limit = json!({ "rate_limits": { "requests_per_minute": 1 } });
    let fleet = Fleet::start(Plan { edge: with(plan.edge.clone(), limit), ..plan });
    let client = fleet.client();
    collector.trace(&trace_of(&ask(&client, &streamed("x"), &[])), SPANS);
    // The second time the store is asked; the third time it is known without.
    for body in [chat("x"), streamed("x")] {
        let refused = ask(&client, &body, &[]);
        assert_eq!((refused.head.status, refused.head.get("retry-after").is_some()), (429, true));
        let trace = trace_of(&refused);
        let spans = collector.trace(&trace, 5);
        let root = root(&spans);
        assert_eq!(names(&children(&spans, root)), ["authenticate", "translate", "render", "reserve"]);
        // Refused before its model was asked: HTTP's name, and no router hears of it.
        assert_eq!((root.name.as_str(), root.service.as_str()), ("POST /v1/chat/completions", EDGE));
        assert_eq!(root.attributes["http.response.status_code"], 429);
        assert_eq!((&root.attributes["error.type"], &root.error), (&json!("429"), &None));
        assert_eq!(root.attributes["cloudach.error.code"], "rate_limit_exceeded");
        assert!(root.attributes["cloudach.kept"].is_null(), "the client's doing is no reason to keep it");
        let reserve = one(&spans, EDGE, "reserve");
        assert_eq!(reserve.attributes["cloudach.limit"], "requests_per_minute");
        assert_eq!(reserve.error.as_deref(), Some("1 of 1 asked for"));
        assert!(reserve.attributes["cloudach.broken_off"].is_null(), "it came to its end");
        let logged = fleet.edges[0].logged(&["request refused"]).pop().unwrap();
        assert_eq!((&logged["trace_id"], &logged["status"]), (&json!(trace), &json!(429)));
    }
    let told = told_to(fleet.engine());
    assert_eq!(told.len(), 1, "only the first one has reached an engine: {told:?}");
}

#[test]
fn hostile_headers_begin_a_trace_of_ones_own() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let client = fleet.client();
    let long = format!("{CLIENTS}-{}", "x".repeat(2000));
    let zero = CLIENTS.replace(TRACE, &"0".repeat(32));
    let upper = CLIENTS.to_uppercase();
    let wrong = [vec!["nonsense"], vec![&long], vec![&zero], vec![&upper], vec![CLIENTS, CLIENTS], vec![""]];
    for parents in wrong {
        let mut headers: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).collect();
        headers.push(("tracestate", "vendor=1"));
        let answer = ask(&client, &chat("x"), &headers);
        let trace = trace_of(&answer);
        assert_ne!(trace, TRACE, "{parents:?}");
        let spans = collector.trace(&trace, SPANS);
        assert_eq!((root(&spans).parent.as_str(), root(&spans).state.as_str()), ("", ""), "{parents:?}");
    }
    let state = format!("a={}", "x".repeat(600));
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS), ("tracestate", &state)]);
    assert_eq!(trace_of(&answer), TRACE);
    assert_eq!(root(&collector.trace(TRACE, SPANS)).state, "");
}

#[test]
fn off_nothing_is_told_and_the_clients_trace_is_passed_on() {
    let fleet = Fleet::start(Plan::of([script()]));
    let client = fleet.client();
    let answer = ask(&client, &chat("x"), &[("traceparent", CLIENTS), ("tracestate", "vendor=1")]);
    assert!(answer.head.get("traceparent").is_none() && answer.head.get("x-trace-id").is_none());
    ask(&client, &chat("x"), &[("traceparent", "nonsense"), ("tracestate", "vendor=1")]);
    let told = TraceHeaders { traceparent: CLIENTS.to_owned(), tracestate: Some("vendor=1".to_owned()) };
    assert_eq!(told_to(fleet.engine()), [told]);
    assert_eq!(fleet.engine().traces().pop(), Some(None));
    assert_eq!(fleet.edges[0].logged(&["request ended"])[0]["trace_id"], TRACE);
}

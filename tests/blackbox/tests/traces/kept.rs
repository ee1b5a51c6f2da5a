//! What is kept of requests that are not sampled, and of one whose client leaves.

use super::*;

#[test]
fn without_sampling_what_fails_is_kept() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::Status(500)).matching("fail");
    let fleet = fleet(&collector, 0.0, vec![Script { faults: vec![fault], ..script() }]);
    let client = fleet.client();
    let parents = [None, Some(CLIENTS.replace("-01", "-00"))];
    let mut fine = Vec::new();
    for parent in parents {
        let headers: Vec<_> = parent.as_deref().map(|parent| ("traceparent", parent)).into_iter().collect();
        let good = ask(&client, &chat("good"), &headers);
        assert_eq!(good.head.status, 200);
        fine.push(good.head.get("traceparent").unwrap().split('-').nth(2).unwrap().to_owned());
        let wrong = ask(&client, &with(chat("x"), json!({ "temperature": 9 })), &headers);
        assert_eq!(wrong.head.status, 400);
        fine.push(wrong.head.get("traceparent").unwrap().split('-').nth(2).unwrap().to_owned());
        let failed = ask(&client, &chat("fail"), &headers);
        assert_eq!(failed.head.status, 503, "{}", failed.text());
        let spans = collector.trace(&trace_of(&failed), 12);
        // All three have seen it fail, and all that each knows of it is there.
        for (service, name) in
            [(EDGE, "chat fake-model"), (ROUTER, "route fake-model"), (SIDECAR, "generate fake-model")]
        {
            let span = one(&spans, service, name);
            assert_eq!((&span.attributes["cloudach.kept"], span.sampled), (&json!("error"), false));
            assert!(span.error.is_some(), "{span:?}");
        }
        assert_eq!(root(&spans).attributes["error.type"], "503");
        let last = fleet.edges[0].logged(&["request failed"]).pop().unwrap();
        assert_eq!(last["trace_id"], trace_of(&failed));
    }
    // They came before, and are not there after.
    assert!(collector.spans().iter().all(|span| !fine.contains(&span.id)), "{}", draw(&collector.spans()));
}

#[test]
fn what_is_slow_is_kept_in_all_three() {
    let collector = Collector::start();
    let plan = plan(&collector, 0.0, vec![script()]);
    let slow = json!({ "tracing": { "slow_first_token": "50ms", "stall": "50ms" } });
    let fleet = Fleet::start(Plan { sidecar: with(plan.sidecar.clone(), slow), ..plan });
    let answer = ask(&fleet.client(), &streamed("[[first=120ms]] [[tokens=3]] [[delay=120ms]]"), &[]);
    let spans = collector.trace(&trace_of(&answer), SPANS);
    let kept = |service, name| one(&spans, service, name).attributes["cloudach.kept"].clone();
    assert_eq!(kept(SIDECAR, "generate fake-model"), "slow");
    assert_eq!((kept(ROUTER, "route fake-model"), kept(EDGE, "chat fake-model")), (json!("below"), json!("below")));
    let stalls = events(one(&spans, SIDECAR, "generate fake-model"));
    assert!(
        stalls.len() >= 3 && stalls[0] == "first_token" && stalls[1..].iter().all(|name| *name == "stall"),
        "{stalls:?}"
    );
}

#[test]
fn a_client_that_leaves() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let mut stream = fleet.client().stream(CHAT, &streamed("[[tokens=1000]] [[delay=20ms]]"));
    let trace = stream.head().get("x-trace-id").unwrap().to_owned();
    (0..3).for_each(|_| drop(stream.chunk()));
    drop(stream);
    let spans = collector.trace(&trace, SPANS);
    let told = |service, name| one(&spans, service, name).attributes.clone();
    assert_eq!(told(EDGE, "chat fake-model")["cloudach.outcome"], "abandoned");
    for (service, name) in [(EDGE, "generate"), (ROUTER, "attempt"), (SIDECAR, "decode")] {
        assert_eq!(told(service, name)["cloudach.broken_off"], true, "{}", draw(&spans));
    }
    assert!(spans.iter().all(|span| span.error.is_none()), "{}", draw(&spans));
}

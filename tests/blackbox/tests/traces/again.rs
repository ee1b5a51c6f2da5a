//! Requests that more than one replica or router is asked for.

use super::*;

#[test]
fn a_request_that_is_tried_again() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::After(0, Break::Reset)).matching("again").times(1);
    let scripts = [0, 1].map(|_| Script { faults: vec![fault.clone()], ..script() });
    // It succeeds, and is kept all the same: more than one replica was asked.
    let fleet = fleet(&collector, 0.0, scripts.to_vec());
    let answer = ask(&fleet.client(), &chat("again"), &[]);
    assert_eq!(answer.head.status, 200);
    let trace = trace_of(&answer);
    let spans = collector.trace(&trace, SPANS + 4);
    let route = one(&spans, ROUTER, "route fake-model");
    assert_eq!(names(&children(&spans, route)), ["queue", "pick", "attempt", "pick", "attempt"], "{}", draw(&spans));
    assert_eq!(events(route), ["retry", "first_token"]);
    assert_eq!((&route.attributes["cloudach.kept"], &route.error), (&json!("retried"), &None));
    let attempts: Vec<_> = children(&spans, route).into_iter().filter(|span| span.name == "attempt").collect();
    let replicas = attempts.iter().map(|span| span.attributes["cloudach.replica"].as_str().unwrap());
    assert_eq!(attempts.iter().map(|span| span.error.is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(attempts.iter().map(|span| &span.attributes["cloudach.attempt"]).collect::<Vec<_>>(), [1, 2]);
    // Each has its own replica's spans under it, and each engine was told of its own.
    for ((attempt, replica), flags) in attempts.iter().zip(replicas).zip(["00", "01"]) {
        let [generate] = children(&spans, attempt)[..] else { panic!("{}", draw(&spans)) };
        assert_eq!(generate.service, SIDECAR);
        assert_eq!(generate.error.is_some(), attempt.error.is_some());
        let number: usize = replica.trim_start_matches("sidecar").parse().unwrap();
        let told = fleet.engines[number].traces().pop().unwrap().unwrap().traceparent;
        assert_eq!(told, format!("00-{trace}-{}-{flags}", generate.id), "what comes after is sampled");
    }
    assert_eq!(root(&spans).attributes["cloudach.kept"], "below");
    let warned = fleet.routers[0].log();
    assert!(warned.lines().any(|line| line.contains("replica failed") && line.contains(&trace)), "{warned}");
}

#[test]
fn an_answer_that_goes_on_elsewhere() {
    let collector = Collector::start();
    let fault = FaultRule::from(Fault::After(7, Break::Reset)).matching("user").times(1);
    let scripts = [0, 1].map(|_| Script { faults: vec![fault.clone()], ..script() });
    let fleet = fleet(&collector, 1.0, scripts.to_vec());
    let answer = ask(&fleet.client(), &streamed("[[tokens=20]]"), &[]);
    let spans = collector.trace(&trace_of(&answer), SPANS + 5);
    let route = one(&spans, ROUTER, "route fake-model");
    let steps = children(&spans, route);
    assert_eq!(names(&steps), ["queue", "pick", "attempt", "pick", "resume"], "{}", draw(&spans));
    assert_eq!(events(route), ["first_token", "resume"]);
    let (attempt, resume) = (one(&spans, ROUTER, "attempt"), one(&spans, ROUTER, "resume"));
    assert_eq!((&attempt.attributes["error.type"], &resume.error), (&json!("REPLICA_LOST"), &None));
    assert_eq!(resume.attributes["cloudach.attempt.resumed_tokens"], 7);
    for (step, ending) in [(attempt, true), (resume, false)] {
        let [generate] = children(&spans, step)[..] else { panic!("{}", draw(&spans)) };
        assert_eq!((generate.service.as_str(), generate.error.is_some()), (SIDECAR, ending));
    }
    let root = root(&spans);
    assert_eq!((&root.error, &root.attributes["cloudach.engine.completion_tokens"]), (&None, &json!(21)));
}

#[test]
fn a_router_that_is_lost() {
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let fleet = Fleet::start(Plan { routers: 2, ..plan });
    let mut events_of = fleet.client().stream(CHAT, &streamed("[[tokens=40]] [[delay=50ms]]"));
    let trace = events_of.head().get("x-trace-id").unwrap().to_owned();
    (0..5).for_each(|_| drop(events_of.chunk()));
    let carries = |router: &&cloudach_blackbox::Service| router.metric("cloudach_router_requests_open") == Some(1.0);
    fleet.routers.iter().find(carries).unwrap().kill();
    events_of.rest();
    // What the dead one had is lost with it; the other one's hangs on the same step of the edge.
    let spans = collector.trace(&trace, 17);
    let generate = one(&spans, EDGE, "generate");
    assert_eq!(events(generate), ["resume"]);
    let [route] = children(&spans, generate)[..] else { panic!("{}", draw(&spans)) };
    assert_eq!(names(&children(&spans, route)), ["pick", "resume"], "{}", draw(&spans));
}

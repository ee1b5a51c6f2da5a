//! The way to the collector: one that is slow, goes away and comes back; the last spans of a process; HTTP.

use super::*;

/// What a process says became of its spans.
fn fates(fleet: &Fleet) -> [u64; 4] {
    let (_, metrics) = fleet.edges[0].admin_answer("/metrics").unwrap();
    ["sent", "queue_full", "given_up", "too_many"].map(|fate| {
        let name = format!("cloudach_edge_trace_spans_total{{fate=\"{fate}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    })
}

/// How long so many requests take, one after the other: the middle one, and the longest.
fn times(client: &Client, requests: usize) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..requests)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(ask(client, &chat("x"), &[]).head.status, 200);
            begun.elapsed()
        })
        .collect();
    times.sort();
    (times[requests / 2], times[requests - 1])
}

#[test]
fn a_collector_that_is_slow_or_away() {
    const REQUESTS: usize = 60;
    /// Spans that the edge makes of one.
    const OURS: u64 = 6;
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let small = json!({ "tracing": { "queue": 40, "batch": 10, "retry_for": "1s", "timeout": "5s" } });
    let fleet = Fleet::start(Plan { edge: with(plan.edge.clone(), small), ..plan });
    let client = fleet.client();
    let well = times(&client, REQUESTS);
    let all = |requests: usize| {
        let made = OURS * requests as u64;
        eventually(SOON, "each span is sent or counted", || fates(&fleet).iter().sum::<u64>() == made);
        fates(&fleet)
    };
    all(REQUESTS);

    // Slower than spans are made: some are lost, and counted, and nobody waits.
    collector.slow_down(Duration::from_millis(500));
    let slow = times(&client, REQUESTS);
    let [_, queue_full, given_up, _] = all(2 * REQUESTS);
    assert!(queue_full > 0 && given_up == 0, "{:?}", fates(&fleet));
    collector.slow_down(Duration::ZERO);

    collector.go_away();
    let away = times(&client, REQUESTS);
    let [_, full_then, given_up, _] = all(3 * REQUESTS);
    assert!(given_up > 0 && full_then > queue_full, "{:?}", fates(&fleet));
    println!("the middle and the longest of {REQUESTS} requests: well {well:?}, slow {slow:?}, away {away:?}");
    for (middle, longest) in [slow, away] {
        // One that waited for the collector would have waited for a call, or for a time-out.
        assert!(middle < well.0 * 4 + Duration::from_millis(100), "{middle:?} instead of {:?}", well.0);
        assert!(longest < Duration::from_secs(5), "{longest:?}");
    }
    let log = &fleet.edges[0];
    assert_eq!(log.logged(&["the collector takes no spans: they wait, and what finds no room is dropped"]).len(), 1);

    // Back again: what is made from now on arrives.
    collector.come_back();
    eventually(SOON, "a trace arrives", || {
        let trace = trace_of(&ask(&client, &chat("x"), &[]));
        cloudach_blackbox::holds_within(Duration::from_secs(1), || {
            collector.spans().iter().any(|span| span.trace == trace && span.service == EDGE && span.kind == 2)
        })
    });
    eventually(SOON, "and is said to", || log.logged(&["the collector takes spans again"]).len() == 1);
}

#[test]
fn a_collector_that_restarts_misses_nothing() {
    let collector = Collector::start();
    let fleet = fleet(&collector, 1.0, vec![script()]);
    let client = fleet.client();
    collector.trace(&trace_of(&ask(&client, &chat("x"), &[])), SPANS);
    collector.go_away();
    let traces: Vec<_> = (0..20).map(|_| trace_of(&ask(&client, &chat("x"), &[]))).collect();
    eventually(SOON, "it is missed", || {
        !fleet.edges[0]
            .logged(&["the collector takes no spans: they wait, and what finds no room is dropped"])
            .is_empty()
    });
    collector.come_back();
    for trace in traces {
        collector.trace(&trace, SPANS);
    }
}

#[test]
fn the_last_spans_of_a_process_that_stops_arrive() {
    let collector = Collector::start();
    let plan = plan(&collector, 1.0, vec![script()]);
    let rarely = json!({ "tracing": { "every": "1h" } });
    let [edge, router, sidecar] =
        [&plan.edge, &plan.router, &plan.sidecar].map(|one| with(one.clone(), rarely.clone()));
    let fleet = Fleet::start(Plan { edge, router, sidecar, ..plan });
    let trace = trace_of(&ask(&fleet.client(), &chat("x"), &[]));
    assert!(collector.spans().is_empty());
    for service in fleet.services() {
        service.terminate();
    }
    collector.trace(&trace, SPANS);
    for service in fleet.services() {
        assert_eq!(service.exit_within(SOON).unwrap().code, Some(0));
    }
}

#[test]
fn http_and_headers_and_what_a_process_says_of_itself() {
    let collector = Collector::start_http();
    let settings = json!({ "tracing": {
        "endpoint": format!("http://{}/v1/traces", collector.address),
        "protocol": "http/protobuf",
        "headers": { "authorization": "Bearer the-collectors-secret", "X-Tenant": "ours" },
        "service_name": "gateway",
        "attributes": { "deployment.environment.name": "test" },
        "every": "50ms",
    } });
    let fleet = Fleet::start(Plan { edge: settings.clone(), sidecar: settings, ..Plan::default() });
    let answer = ask(&fleet.client(), &chat("x"), &[]);
    let spans = collector.trace(&trace_of(&answer), 9);
    assert!(spans.iter().all(|span| span.service == "gateway"));
    // The router does not trace: the sidecar's spans hang on the edge's.
    assert_eq!(one(&spans, "gateway", "generate fake-model").parent, one(&spans, "gateway", "generate").id);
    let (headers, resources) = collector.beside();
    let told = [("content-type", "application/x-protobuf"), ("x-tenant", "ours")];
    let told = told.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let secret = ("authorization".to_owned(), "Bearer the-collectors-secret".to_owned());
    assert_eq!(headers[0], told.chain([secret]).collect::<Vec<_>>());
    assert!(resources.iter().all(|resource| resource["deployment.environment.name"] == "test"));
    assert!(resources.iter().any(|resource| resource["service.instance.id"] == "sidecar0"));
    assert!(fleet.services().all(|service| !service.log().contains("the-collectors-secret")));
}

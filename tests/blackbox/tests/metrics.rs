//! Metrics of real processes: they count what happened, and nothing is shown that docs/metrics.md does not have.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{collections::BTreeMap, fs, time::Duration};

use cloudach_blackbox::{Client, Fleet, Plan, Replica, Service, chat, eventually, with};
use cloudach_fake_engine::Script;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const CHAT: &str = "/v1/chat/completions";
const PATIENCE: Duration = Duration::from_secs(10);

fn key(name: &str, more: &Value) -> Value {
    let hash = Sha256::digest(format!("sk-{name}"));
    let sha256: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    with(json!({ "name": name, "tenant": name, "sha256": sha256 }), more.clone())
}

fn fleet() -> Fleet {
    Fleet::start(Plan {
        replicas: vec![Replica::fake(Script { max_model_len: 4096, ..Script::vllm() })],
        models: json!({ "nobodys": {} }),
        edge: json!({
            "keys": [
                key("acme", &json!({})),
                key("globex", &json!({ "rate_limits": { "requests_per_minute": 1 } })),
                key("initech", &json!({})),
            ],
            "metrics": { "tenants": 2 },
        }),
        ..Plan::default()
    })
}

fn client(fleet: &Fleet, name: &str) -> Client {
    Client { key: format!("sk-{name}"), ..fleet.client() }
}

fn page(service: &Service) -> String {
    service.admin_answer("/metrics").unwrap().1
}

/// What a request does to the metrics of all three.
#[test]
fn what_happens_is_counted() {
    let fleet = fleet();
    let (acme, globex) = (client(&fleet, "acme"), client(&fleet, "globex"));
    let request = chat("[[tokens=11]][[delay=10ms]]");
    let streamed = with(request.clone(), json!({ "stream": true }));
    assert!(acme.stream(CHAT, &streamed).rest().len() > 3);
    assert_eq!(acme.post(CHAT, &request).head.status, 200);
    assert_eq!(globex.post(CHAT, &request).head.status, 200);
    assert_eq!(globex.post(CHAT, &request).head.status, 429);
    assert_eq!(client(&fleet, "initech").post(CHAT, &request).head.status, 200);
    assert_eq!(client(&fleet, "nobody").post(CHAT, &request).head.status, 401);
    let unserved = with(request.clone(), json!({ "model": "nobodys" }));
    assert_eq!(acme.post(CHAT, &unserved).head.status, 503);
    let leaving = acme.stream(CHAT, &with(chat("[[tokens=1000]][[delay=50ms]]"), json!({ "stream": true })));
    let edge = &fleet.edges[0];
    eventually(PATIENCE, "it is open", || edge.metric("cloudach_edge_streams_open") == Some(1.0));
    assert_eq!(edge.metric("cloudach_edge_requests_open"), Some(1.0));
    drop(leaving);
    eventually(PATIENCE, "it is over", || edge.metric("cloudach_edge_streams_open") == Some(0.0));

    let abandoned = "cloudach_edge_tenant_requests_total{tenant=\"acme\",outcome=\"abandoned\"}";
    eventually(PATIENCE, "its record is made", || edge.metric(abandoned) == Some(1.0));
    let tokens = edge.metric("cloudach_edge_completion_tokens_total{model=\"fake-model\"}").unwrap();
    let of_globex = edge.metric("cloudach_edge_tenant_tokens_total{tenant=\"globex\",kind=\"completion\"}").unwrap();
    assert!(of_globex >= 11.0 && tokens > of_globex * 4.0, "{of_globex} of {tokens}");
    let of_edge = [
        ("requests_total{endpoint=\"chat_completions\",model=\"fake-model\",outcome=\"served\"}", 4.0),
        ("requests_total{endpoint=\"chat_completions\",model=\"fake-model\",outcome=\"abandoned\"}", 1.0),
        ("requests_refused_total{status=\"401\",code=\"invalid_api_key\"}", 1.0),
        ("requests_refused_total{status=\"429\",code=\"rate_limit_exceeded\"}", 1.0),
        ("requests_refused_total{status=\"503\",code=\"server_error\"}", 1.0),
        ("limit_decisions_total{limit=\"all\",result=\"let_in\"}", 5.0),
        ("limit_decisions_total{limit=\"requests_per_minute\",result=\"refused\"}", 1.0),
        ("time_to_first_token_seconds_count{model=\"fake-model\"}", 5.0),
        ("time_per_output_token_seconds_count{model=\"fake-model\"}", 4.0),
        ("request_queue_seconds_count{model=\"fake-model\"}", 5.0),
        ("request_duration_seconds_count{model=\"fake-model\",outcome=\"served\"}", 4.0),
        ("tenant_requests_total{tenant=\"acme\",outcome=\"served\"}", 2.0),
        ("tenant_requests_total{tenant=\"other\",outcome=\"served\"}", 1.0),
        ("tenant_limited_total{tenant=\"globex\"}", 1.0),
        ("routers_connected", 1.0),
        ("routers", 1.0),
        ("requests_open", 0.0),
        ("store_up", 1.0),
    ];
    for (name, expected) in of_edge {
        assert_eq!(edge.metric(&format!("cloudach_edge_{name}")), Some(expected), "{name} in\n{}", page(edge));
    }
    // Ten gaps of 10 ms between the eleven tokens of each.
    let sum = edge.metric("cloudach_edge_time_per_output_token_seconds_sum{model=\"fake-model\"}").unwrap();
    assert!(sum >= 4.0 * 0.009, "{sum}");
    let cost = edge.metric("cloudach_edge_tenant_cost_usd_total{tenant=\"acme\"}").unwrap();
    assert!(cost.abs() < f64::EPSILON, "the model has no price");

    let router = &fleet.routers[0];
    let of_router = [
        ("queue_wait_seconds_count{model=\"fake-model\"}", 5.0),
        ("model_requests_waiting{model=\"fake-model\"}", 0.0),
        ("model_replicas_ready{model=\"fake-model\"}", 1.0),
        ("model_replicas_ready{model=\"nobodys\"}", 0.0),
        ("replicas{model=\"fake-model\",phase=\"ready\"}", 1.0),
        ("replicas_attached", 1.0),
        ("placement_leads", 1.0),
    ];
    for (name, expected) in of_router {
        assert_eq!(router.metric(&format!("cloudach_router_{name}")), Some(expected), "{name} in\n{}", page(router));
    }
    assert!(page(router).contains("cloudach_router_replica_kv_cache_usage_ratio{replica=\""));

    let sidecar = &fleet.sidecars[0];
    let of_sidecar = [
        ("time_to_first_token_seconds_count", 5.0),
        ("time_per_output_token_seconds_count", 4.0),
        ("requests_total{outcome=\"finished\"}", 4.0),
        ("engine_requests_waiting", 0.0),
        ("routers_attached", 1.0),
        ("routers", 1.0),
    ];
    for (name, expected) in of_sidecar {
        assert_eq!(sidecar.metric(&format!("cloudach_sidecar_{name}")), Some(expected), "{name} in\n{}", page(sidecar));
    }
    let generated = sidecar.metric("cloudach_sidecar_tokens_total{kind=\"completion\"}").unwrap();
    assert!(generated >= 44.0, "{generated}");

    check_page(&page(sidecar));
    // Who has left is not told of any more.
    sidecar.kill();
    let gone = || !page(router).contains("cloudach_router_replica_kv_cache_usage_ratio{");
    eventually(PATIENCE, "the replica is gone", gone);
    assert_eq!(router.metric("cloudach_router_model_replicas_ready{model=\"fake-model\"}"), Some(0.0));

    assert_eq!(acme.post(CHAT, &request).head.status, 503);
    let unplaced = "cloudach_router_queue_refused_total{model=\"fake-model\",reason=\"unavailable\"}";
    assert_eq!(router.metric(unplaced), Some(1.0));
    let failed = "cloudach_edge_request_failures_total{model=\"fake-model\",status=\"503\"}";
    assert_eq!(edge.metric(failed), Some(1.0));

    for service in [edge, router] {
        let text = page(service);
        assert!(service.metric("process_open_fds").unwrap() > 3.0);
        assert!(service.metric("process_cpu_seconds_total").unwrap() > 0.0);
        let resident = service.metric("process_resident_memory_bytes").unwrap();
        #[expect(clippy::cast_precision_loss, reason = "it is small")]
        let kernels = service.resident_kib() as f64 * 1024.0;
        assert!((resident / kernels - 1.0).abs() < 0.5, "{resident} {kernels}");
        assert!(text.contains("cloudach_build_info{component=\""), "{text}");
        check_page(&text);
    }
}

/// The metrics of docs/metrics.md: each one's type, and its labels with their values, where all are known.
fn documented() -> BTreeMap<String, (String, BTreeMap<String, Vec<String>>)> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let read = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let labels = cells[3].split("<br>").filter(|label| !label.is_empty()).map(|label| {
            let (name, values) = label.split_once(": ").unwrap();
            let listed = values.split(", ").all(|value| value.starts_with('`') && value.ends_with('`'));
            let values = if listed {
                values.split(", ").map(|value| value.trim_matches('`').to_owned()).collect()
            } else {
                Vec::new()
            };
            (name.trim_matches('`').to_owned(), values)
        });
        (cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels.collect()))
    };
    rows.map(read).collect()
}

/// Every sample is of a metric that is documented, with labels and values that it may have.
fn check_page(page: &str) {
    let all = documented();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.split_once('}').unwrap().0),
            None => (line.split_once(' ').unwrap().0, ""),
        };
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let (kind, may_have) = all
            .get(name)
            .or_else(|| stem.and_then(|stem| all.get(stem)).filter(|(kind, _)| kind == "histogram"))
            .unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').unwrap();
            if label == "le" && kind == "histogram" {
                continue;
            }
            let values = may_have.get(label).unwrap_or_else(|| panic!("{line}: it has no label {label}"));
            let value = value.trim_matches('"').to_owned();
            assert!(values.is_empty() || values.contains(&value), "{line}: {label} is one of {values:?}");
        }
    }
}

//! What is shown of what the processes say: lines and tables of text, whoever draws them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    page::Sample,
    rates::Between,
    snapshot::{Kind, Model, Replica, Snapshot},
};

/// A table.
#[derive(Debug, PartialEq)]
pub struct Table {
    pub titles: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}

/// All that is shown.
#[derive(Debug, PartialEq)]
pub struct View {
    /// Which processes there are, and what all of them do together.
    pub head: [String; 2],
    pub models: Table,
    pub replicas: Table,
    /// Addresses that do not answer, and why.
    pub problems: Vec<String>,
}

const MODELS: &[&str] =
    &["MODEL", "READY", "QUEUED", "REQ/S", "FAILED/S", "IN TOK/S", "OUT TOK/S", "TTFT P50", "TTFT P95", "WAITS FOR"];
const REPLICAS: &[&str] = &["REPLICA", "MODEL", "STATE", "RUNNING", "WAITING", "KV", "TOK/S", "DETAIL"];

const REQUESTS: &str = "cloudach_edge_requests_total";
const PROMPT: &str = "cloudach_edge_prompt_tokens_total";
const COMPLETION: &str = "cloudach_edge_completion_tokens_total";
const FIRST_TOKEN: &str = "cloudach_edge_time_to_first_token_seconds";

/// What there is to be seen of `now`, and of the time since `before`.
pub fn of(before: &Snapshot, now: &Snapshot) -> View {
    let between = Between::of(before, now);
    let replicas = replicas(now);
    View {
        head: [processes(now, &replicas), together(now, between)],
        models: Table { titles: MODELS, rows: models(now).iter().map(|model| model_row(model, between)).collect() },
        replicas: Table {
            titles: REPLICAS,
            rows: match replicas.is_empty() {
                true => sidecars(now, between),
                false => replicas.values().map(|replica| replica_row(replica, between)).collect(),
            },
        },
        problems: now.problems.iter().map(|(url, why)| format!("{url}: {why}")).collect(),
    }
}

fn processes(now: &Snapshot, replicas: &BTreeMap<&str, &Replica>) -> String {
    let count = |kind| now.processes.values().filter(|process| process.kind == kind).count();
    let ready = replicas.values().filter(|replica| replica.phase == "ready").count();
    let mut told = vec![format!("edges {}", count(Kind::Edge)), format!("routers {}", count(Kind::Router))];
    if count(Kind::Sidecar) > 0 {
        told.push(format!("sidecars {}", count(Kind::Sidecar)));
    }
    told.push(format!("replicas {ready}/{} ready", replicas.len()));
    told.join("  ")
}

fn together(now: &Snapshot, between: Between<'_>) -> String {
    let has = |kind| now.processes.values().any(|process| process.kind == kind);
    let sum = |kind, name: &str| {
        has(kind).then(|| now.processes.values().map(|process| process.metrics.sum(name)).sum::<f64>())
    };
    let whole = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let rate = |name, outcome: &str| {
        let rate = between.rate(name, |sample| outcome.is_empty() || is(sample, "outcome", outcome));
        number(rate.filter(|_| has(Kind::Edge)))
    };
    format!(
        "requests {}/s  failed {}/s  abandoned {}/s  open {}  queued {}  tokens in {}/s out {}/s",
        rate(REQUESTS, ""),
        rate(REQUESTS, "failed"),
        rate(REQUESTS, "abandoned"),
        whole(sum(Kind::Edge, "cloudach_edge_requests_open")),
        whole(sum(Kind::Router, "cloudach_router_requests_waiting")),
        rate(PROMPT, ""),
        rate(COMPLETION, ""),
    )
}

/// By id: what routers know, and what edges have counted. Several routers see the same replicas, and each has its own queue.
fn models(now: &Snapshot) -> Vec<Model> {
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    for told in now.processes.values().flat_map(|process| &process.models) {
        let model = models.entry(told.id.clone()).or_insert_with(|| Model { waiting: 0, ..told.clone() });
        model.ready = model.ready.max(told.ready);
        model.waiting += told.waiting;
    }
    let counted = now.processes.values().flat_map(|process| process.metrics.of(REQUESTS));
    let counted: BTreeSet<&str> = counted.map(|sample| sample.label("model")).filter(|id| !id.is_empty()).collect();
    for id in counted {
        models.entry(id.to_owned()).or_insert_with(|| Model { id: id.to_owned(), ..Model::default() });
    }
    models.into_values().collect()
}

fn model_row(model: &Model, between: Between<'_>) -> Vec<String> {
    let of = |sample: &Sample| sample.label("model") == model.id;
    let failed = |sample: &Sample| of(sample) && is(sample, "outcome", "failed");
    vec![
        model.id.clone(),
        model.ready.to_string(),
        model.waiting.to_string(),
        number(between.rate(REQUESTS, of)),
        number(between.rate(REQUESTS, failed)),
        number(between.rate(PROMPT, of)),
        number(between.rate(COMPLETION, of)),
        time(between.quantile(FIRST_TOKEN, 0.5, of)),
        time(between.quantile(FIRST_TOKEN, 0.95, of)),
        model.waits_for.clone(),
    ]
}

/// By name: each says the same to every router.
fn replicas(now: &Snapshot) -> BTreeMap<&str, &Replica> {
    now.processes.values().flat_map(|process| &process.replicas).map(|replica| (&*replica.name, replica)).collect()
}

fn replica_row(replica: &Replica, between: Between<'_>) -> Vec<String> {
    vec![
        replica.name.clone(),
        if replica.model.is_empty() { "-".to_owned() } else { replica.model.clone() },
        replica.phase.clone(),
        replica.running.to_string(),
        replica.waiting.to_string(),
        format!("{:.0} %", replica.kv_cache_usage * 100.0),
        number(between.tokens_of(&replica.name)),
        replica.detail.clone(),
    ]
}

/// Without a router: the sidecars themselves.
fn sidecars(now: &Snapshot, between: Between<'_>) -> Vec<Vec<String>> {
    let sidecars = now.processes.iter().filter(|(_, process)| process.kind == Kind::Sidecar);
    let rows = sidecars.map(|(url, process)| {
        let up = process.metrics.sum("cloudach_sidecar_engine_up") > 0.0;
        let one = between.at(url);
        let completion = |sample: &Sample| is(sample, "kind", "completion");
        vec![
            url.clone(),
            "-".to_owned(),
            if up { "ready" } else { "not ready" }.to_owned(),
            format!("{:.0}", process.metrics.sum("cloudach_sidecar_requests_running")),
            "-".to_owned(),
            "-".to_owned(),
            number(one.rate("cloudach_sidecar_tokens_total", completion)),
            String::new(),
        ]
    });
    rows.collect()
}

/// Labels are written in one case or another.
fn is(sample: &Sample, label: &str, value: &str) -> bool {
    sample.label(label).eq_ignore_ascii_case(value)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1}"),
        Some(value) if value < 100_000.0 => format!("{value:.0}"),
        Some(value) => format!("{:.0}k", value / 1000.0),
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{
        super::{page::Page, snapshot::Process},
        *,
    };

    fn process(kind: Kind, metrics: &str) -> Process {
        Process { kind, metrics: Page::parse(metrics), replicas: Vec::new(), models: Vec::new() }
    }

    fn router(tokens: u64, waiting: usize) -> Process {
        let replica = Replica {
            name: "r".to_owned(),
            model: "m".to_owned(),
            phase: "ready".to_owned(),
            running: 3,
            waiting: 1,
            kv_cache_usage: 0.456,
            completion_tokens: tokens,
            ..Replica::default()
        };
        let model = Model { id: "m".to_owned(), ready: 1, waiting, waits_for: String::new() };
        let metrics = format!("cloudach_router_requests_waiting {waiting}");
        Process { replicas: vec![replica], models: vec![model], ..process(Kind::Router, &metrics) }
    }

    fn snapshot(at: Instant, processes: Vec<Process>) -> Snapshot {
        let processes =
            processes.into_iter().enumerate().map(|(number, process)| (format!("http://{number}"), process));
        Snapshot { at, processes: processes.collect(), problems: Vec::new() }
    }

    fn edge(served: u32, failed: u32, buckets: [u32; 3]) -> Process {
        let [a, b, all] = buckets;
        process(
            Kind::Edge,
            &format!(
                "cloudach_edge_requests_total{{endpoint=\"Chat\",model=\"m\",outcome=\"Served\"}} {served}\n\
                 cloudach_edge_requests_total{{endpoint=\"Chat\",model=\"m\",outcome=\"failed\"}} {failed}\n\
                 cloudach_edge_completion_tokens_total{{model=\"m\"}} {served}0\n\
                 cloudach_edge_requests_open 2\n\
                 cloudach_edge_time_to_first_token_seconds_bucket{{le=\"0.1\",model=\"m\"}} {a}\n\
                 cloudach_edge_time_to_first_token_seconds_bucket{{le=\"0.5\",model=\"m\"}} {b}\n\
                 cloudach_edge_time_to_first_token_seconds_bucket{{le=\"+Inf\",model=\"m\"}} {all}\n"
            ),
        )
    }

    #[test]
    fn rates_and_quantiles_are_those_of_the_time_between() {
        let begin = Instant::now();
        let before = snapshot(begin, vec![edge(100, 7, [50, 80, 107]), router(1000, 0), router(1000, 0)]);
        let later = begin + Duration::from_secs(10);
        // Of ten more, five took less than 0.1 s, and five between that and 0.5 s.
        let now = snapshot(later, vec![edge(105, 12, [55, 90, 117]), router(1500, 4), router(1500, 2)]);
        let view = of(&before, &now);
        assert_eq!(view.head[0], "edges 1  routers 2  replicas 1/1 ready");
        assert_eq!(
            view.head[1],
            "requests 1.0/s  failed 0.5/s  abandoned 0/s  open 2  queued 6  tokens in 0/s out 5.0/s"
        );
        // Both routers have the replica, and each its own queue.
        assert_eq!(view.models.rows, [["m", "1", "6", "1.0", "0.5", "0", "5.0", "100 ms", "460 ms", ""]]);
        assert_eq!(view.replicas.rows, [["r", "m", "ready", "3", "1", "46 %", "50", ""]]);
    }

    #[test]
    fn what_begins_again_counts_from_nothing() {
        let begin = Instant::now();
        let before = snapshot(begin, vec![edge(100, 7, [1, 1, 1]), router(1000, 0)]);
        let now = snapshot(begin + Duration::from_secs(10), vec![edge(20, 0, [0, 0, 3]), router(30, 0)]);
        let view = of(&before, &now);
        assert!(view.head[1].starts_with("requests 2.0/s  failed 0/s"), "{:?}", view.head);
        // What lies in the last bucket took at least so long.
        assert_eq!(view.models.rows[0][7..9], ["500 ms", "500 ms"]);
        assert_eq!(view.replicas.rows[0][6], "3.0");
    }

    #[test]
    fn what_nobody_tells_is_no_number() {
        let begin = Instant::now();
        let nothing = snapshot(begin, Vec::new());
        let view = of(&nothing, &nothing);
        let unknown = "requests -/s  failed -/s  abandoned -/s  open -  queued -  tokens in -/s out -/s";
        assert_eq!((view.head[1].as_str(), view.replicas.rows.len()), (unknown, 0));
        let sidecar = |tokens: u32| {
            let metrics = format!(
                "cloudach_sidecar_engine_up 1\ncloudach_sidecar_requests_running 2\n\
                 cloudach_sidecar_tokens_total{{kind=\"completion\"}} {tokens}\n\
                 cloudach_sidecar_tokens_total{{kind=\"prompt\"}} 9{tokens}\n"
            );
            process(Kind::Sidecar, &metrics)
        };
        let before = snapshot(begin, vec![sidecar(10), sidecar(50)]);
        let now = snapshot(begin + Duration::from_secs(2), vec![sidecar(30), sidecar(50)]);
        let rows = of(&before, &now).replicas.rows;
        assert_eq!(rows[0], ["http://0", "-", "ready", "2", "-", "-", "10", ""]);
        assert_eq!(rows[1][6], "0");
    }
}

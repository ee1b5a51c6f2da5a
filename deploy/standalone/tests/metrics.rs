//! docs/metrics.md is written from what the services register. `CLOUDACH_WRITE_DOCS=1 cargo test -p cloudach --test metrics`
//! writes it.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use cloudach_service::metrics::{Described, Exposition, Kind, Question};

/// What comes before the tables. They are all that is generated.
const BEGIN: &str = "<!-- metrics: begin -->\n";

/// What stands behind the name of what is measured.
const UNITS: [(&str, &str); 7] = [
    ("_seconds", "s"),
    ("_bytes", "bytes"),
    ("_ratio", "0 to 1"),
    ("_percent", "%"),
    ("_celsius", "°C"),
    ("_usd", "US dollars"),
    ("_tokens", "tokens"),
];

#[test]
fn the_page_is_what_is_registered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once(BEGIN).expect("the page has a place for the tables");
    let services =
        [cloudach_edge::metrics::page(), cloudach_router::metrics::page(), cloudach_sidecar::metrics::page()];
    let wanted = format!("{before}{BEGIN}{}", tables(&services));
    if env::var_os("CLOUDACH_WRITE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap();
        return;
    }
    assert!(page == wanted, "docs/metrics.md is stale: CLOUDACH_WRITE_DOCS=1 cargo test -p cloudach --test metrics");
}

fn tables(services: &[Exposition; 3]) -> String {
    let own = |described: &&Described| described.name.starts_with("cloudach_") && !is_common(described);
    let mut text = String::new();
    let common = services[0].described().iter().filter(|described| is_common(described));
    section(&mut text, "Of every process", common);
    for (heading, service) in ["The edge", "The router", "The sidecar"].iter().zip(services) {
        section(&mut text, heading, service.described().iter().filter(own));
    }
    text
}

fn is_common(described: &Described) -> bool {
    described.name.starts_with("process_") || described.name == "cloudach_build_info"
}

fn section<'a>(text: &mut String, heading: &str, all: impl Iterator<Item = &'a Described>) {
    writeln!(text, "\n## {heading}").unwrap();
    let mut by_question: BTreeMap<Question, Vec<&Described>> = BTreeMap::new();
    all.for_each(|described| by_question.entry(described.question).or_default().push(described));
    for (question, all) in by_question {
        writeln!(text, "\n### {}\n", question.text()).unwrap();
        writeln!(text, "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|").unwrap();
        all.into_iter().for_each(|described| row(text, described));
    }
}

fn row(text: &mut String, described: &Described) {
    let kind = match described.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let stem = described.name.trim_end_matches("_total");
    let unit = UNITS.iter().find(|(ending, _)| stem.ends_with(ending)).map_or("", |(_, unit)| unit);
    let labels: Vec<String> = described.labels.iter().map(|(name, values)| format!("`{name}`: {values}")).collect();
    let Described { name, help, .. } = described;
    writeln!(text, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join("<br>")).unwrap();
}

#[test]
fn names_and_values_are_of_one_style() {
    let services =
        [cloudach_edge::metrics::page(), cloudach_router::metrics::page(), cloudach_sidecar::metrics::page()];
    let is_snake =
        |name: &str| !name.is_empty() && name.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'));
    for described in services.iter().flat_map(Exposition::described) {
        assert!(is_snake(&described.name), "{}", described.name);
        assert!(!described.help.ends_with('.'), "{}: {}", described.name, described.help);
        for (label, values) in &described.labels {
            assert!(is_snake(label), "{label}");
            for value in values.split('`').skip(1).step_by(2).filter(|value| !value.contains('.')) {
                assert!(is_snake(value), "{}: {label}={value}", described.name);
            }
        }
    }
}

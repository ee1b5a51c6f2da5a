//! A trace as a terminal shows it: a line for each span, with a bar for when it ran.

use std::fmt::Write;

use super::{
    plain,
    tree::{Line, Span, lines},
};

/// The columns of the bars, at least and at most.
const BAR: (usize, usize) = (16, 60);

/// The longest name that is shown whole, in columns.
const NAME: usize = 44;

/// The longest value of an attribute that is shown whole, in characters.
const VALUE: usize = 80;

/// What of the attributes is told, and as what, in this order.
const TOLD: [(&str, &str); 24] = [
    ("http.response.status_code", "status"),
    ("error.type", "error"),
    ("cloudach.error.code", "code"),
    ("cloudach.error.param", "param"),
    ("cloudach.outcome", "outcome"),
    ("cloudach.kept", "kept"),
    ("cloudach.broken_off", "broken_off"),
    ("cloudach.tenant", "tenant"),
    ("enduser.pseudo.id", "key"),
    ("gen_ai.request.model", "asked"),
    ("gen_ai.usage.input_tokens", "input_tokens"),
    ("gen_ai.usage.output_tokens", "output_tokens"),
    ("cloudach.prompt.bytes", "bytes"),
    ("cloudach.prompt.tokens", "tokens"),
    ("cloudach.reserved.tokens", "reserved"),
    ("cloudach.limit", "limit"),
    ("cloudach.queue.class", "class"),
    ("cloudach.attempt", "attempt"),
    ("cloudach.replica", "replica"),
    ("cloudach.pick.candidates", "candidates"),
    ("cloudach.pick.reason", "reason"),
    ("cloudach.engine.prompt_tokens", "engine_prompt"),
    ("cloudach.engine.completion_tokens", "engine_completion"),
    ("cloudach.engine.finish_reason", "finish"),
];

/// The whole picture, with a line that says what it is of.
pub fn draw(trace_id: &str, spans: &[Span], columns: usize) -> String {
    let (Some(begin), Some(end)) = (spans.iter().map(|span| span.start_us).min(), spans.iter().map(Span::end_us).max())
    else {
        return String::new();
    };
    let lines = lines(spans);
    let name = |line: &Line<'_>| format!("{}{}", line.branch, line.span.name);
    let service = |span: &Span| span.service.trim_start_matches("cloudach-").to_owned();
    let width = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = width(&mut lines.iter().map(name)).min(NAME);
    let services = width(&mut lines.iter().map(|line| service(line.span)));
    let bars = columns.saturating_sub(names + services + 28).clamp(BAR.0, BAR.1);

    let mut out = String::new();
    let total = end - begin;
    let _ = writeln!(out, "trace {trace_id}: {} spans, {}", spans.len(), time(total));
    for line in &lines {
        let span = line.span;
        let offset = span.start_us - begin;
        let _ = writeln!(
            out,
            "{:names$}  {:services$}  {:>10}  {:>10}  {}",
            cut(&name(line), names),
            service(span),
            format!("+{}", time(offset)),
            time(span.duration_us),
            bar(offset, span.duration_us, total, bars),
        );
        // What is told of it stands below, out of the way of the times.
        let under: String = line.branch.chars().map(|c| if matches!(c, '├' | '│') { '│' } else { ' ' }).collect();
        for told in told(span, begin) {
            let _ = writeln!(out, "{under}   {told}");
        }
    }
    out
}

fn told(span: &Span, begin: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let attributes: Vec<String> = TOLD
        .iter()
        .filter_map(|(key, label)| {
            let value = span.attributes.get(*key).filter(|value| *value != "")?;
            Some(format!("{label}={}", cut(&plain(value), VALUE)))
        })
        .collect();
    if !attributes.is_empty() {
        lines.push(attributes.join(" "));
    }
    if let Some(error) = span.error.as_ref().filter(|error| !error.is_empty()) {
        lines.push(format!("! {}", cut(&plain(&error.as_str().into()), 2 * VALUE)));
    }
    for event in &span.events {
        let attributes = event
            .attributes
            .iter()
            .map(|(key, value)| format!(" {}={}", key.trim_start_matches("cloudach."), cut(&plain(value), VALUE)));
        let at = time(event.at_us.saturating_sub(begin));
        lines.push(format!("* {} +{at}{}", event.name, attributes.collect::<String>()));
    }
    lines
}

/// Where in the whole it ran: at least a mark.
fn bar(offset: u64, duration: u64, total: u64, width: usize) -> String {
    let column = |at: u64| usize::try_from(u128::from(at) * width as u128 / u128::from(total.max(1))).unwrap_or(width);
    let from = column(offset).min(width - 1);
    let to = column(offset.saturating_add(duration)).clamp(from, width);
    let filled = to - from;
    let mark = if filled == 0 { "▏".to_owned() } else { "█".repeat(filled) };
    format!("{}{mark}", " ".repeat(from))
}

fn time(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let us = us as f64;
    match us {
        us if us >= 10_000_000.0 => format!("{:.1} s", us / 1e6),
        us if us >= 1_000_000.0 => format!("{:.2} s", us / 1e6),
        us if us >= 100_000.0 => format!("{:.0} ms", us / 1e3),
        us if us >= 10_000.0 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} ms", us / 1e3),
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(id: &str, parent: Option<&str>, service: &str, start_us: u64, duration_us: u64) -> Span {
        let told = json!({
            "service": service, "name": format!("step {id}"), "span_id": id, "parent_id": parent, "kind": "internal",
            "start_us": start_us, "duration_us": duration_us, "attributes": {}, "events": [], "error": null,
        });
        serde_json::from_value(told).expect("a span")
    }

    #[test]
    fn a_tree_with_times() {
        let mut root = span("a", Some("client's"), "cloudach-edge", 1_000_000, 400_000);
        root.attributes.insert("cloudach.outcome".to_owned(), json!("served"));
        root.attributes.insert("of.no.interest".to_owned(), json!(1));
        root.events = vec![
            serde_json::from_value(json!({ "name": "first_token", "at_us": 1_100_000, "attributes": {} }))
                .expect("an event"),
        ];
        let mut last = span("d", Some("a"), "cloudach-edge", 1_390_000, 20_000);
        last.error = Some("it\u{1b}[2J broke".to_owned());
        let spans = [
            root,
            span("b", Some("a"), "cloudach-edge", 1_000_000, 100),
            span("c", Some("b"), "cloudach-router", 1_200_000, 1_500),
            last,
        ];
        let drawn = draw("t", &spans, 60);
        let expected = "\
trace t: 4 spans, 410 ms
step a        edge      +0.00 ms      400 ms  ███████████████
   outcome=served
   * first_token +100 ms
├─ step b     edge      +0.00 ms     0.10 ms  ▏
│  └─ step c  router     +200 ms     1.50 ms         ▏
└─ step d     edge       +390 ms     20.0 ms                 █
      ! it [2J broke
";
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn nothing_that_is_told_breaks_it() {
        let ring = [span("a", Some("b"), "s", u64::MAX, u64::MAX), span("b", Some("a"), "s", 0, 0)];
        for columns in [0, 1, 80, 1000] {
            assert_eq!(draw("t", &ring, columns).lines().count(), 3);
        }
        assert_eq!(draw("t", &[], 80), "");
    }
}

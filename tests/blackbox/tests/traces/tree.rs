//! A trace as a tree, and as people see it.

use super::collector::Span;

/// The spans under one of them, in the order in which they began.
pub fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let mut children: Vec<_> = spans.iter().filter(|span| span.parent == parent.id).collect();
    children.sort_by_key(|span| span.start);
    children
}

/// The one span of a service with this name.
pub fn one<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.service == service && span.name == name).collect();
    let [one] = found[..] else { panic!("{} of {service} / {name} in\n{}", found.len(), draw(spans)) };
    one
}

/// The one span whose parent is none of the others: the first of the gateway's own.
pub fn root(spans: &[Span]) -> &Span {
    let is_known = |id: &str| spans.iter().any(|span| span.id == id);
    let roots: Vec<_> = spans.iter().filter(|span| !is_known(&span.parent)).collect();
    let [root] = roots[..] else { panic!("{} roots in\n{}", roots.len(), draw(spans)) };
    root
}

/// Names and services, one a line, with what failed and what happened in between: the same for each run of a request.
pub fn draw(spans: &[Span]) -> String {
    let is_known = |id: &str| spans.iter().any(|span| span.id == id);
    let mut roots: Vec<_> = spans.iter().filter(|span| !is_known(&span.parent)).collect();
    roots.sort_by_key(|span| span.start);
    let mut out = String::new();
    for root in roots {
        draw_one(spans, root, "", "", &mut out);
    }
    out
}

fn draw_one(spans: &[Span], span: &Span, before: &str, below: &str, out: &mut String) {
    let service = span.service.trim_start_matches("cloudach-");
    let line = format!("{before}{}", span.name);
    let failed = span.attributes["error.type"].as_str().map(|kind| format!(" !{kind}")).unwrap_or_default();
    let events: String = span.events.iter().map(|(name, _)| format!(" ({name})")).collect();
    *out += &format!("{line:<34} {service}{failed}{events}\n");
    let children = children(spans, span);
    for (number, child) in children.iter().enumerate() {
        let last = number + 1 == children.len();
        let (branch, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw_one(spans, child, &format!("{below}{branch}"), &format!("{below}{under}"), out);
    }
}

//! Spans of one trace, and which hangs on which.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A span as an admin address tells of it. Times in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub span_id: String,
    pub parent_id: Option<String>,
    pub kind: String,
    pub start_us: u64,
    pub duration_us: u64,
    pub attributes: Map<String, Value>,
    pub events: Vec<Event>,
    pub error: Option<String>,
}

/// Something that happened in one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    pub name: String,
    pub at_us: u64,
    pub attributes: Map<String, Value>,
}

impl Span {
    /// When it ended.
    pub fn end_us(&self) -> u64 {
        self.start_us.saturating_add(self.duration_us)
    }
}

/// One line of a tree.
#[derive(Debug)]
pub struct Line<'a> {
    pub span: &'a Span,
    /// What stands before its name.
    pub branch: String,
}

/// The spans that are of the request with this id at an edge. None: the id is another one.
pub fn roots_of_request(spans: &[Span], id: &str) -> Vec<String> {
    let is_of = |span: &&Span| span.attributes.get("cloudach.request.id").is_some_and(|value| value == id);
    spans.iter().filter(is_of).map(|span| span.span_id.clone()).collect()
}

/// These spans and all that hang on them.
pub fn below(spans: &[Span], roots: &[String]) -> Vec<Span> {
    let mut ids: BTreeSet<&str> = roots.iter().map(String::as_str).collect();
    // Clocks of processes may differ: a child may come before its parent.
    loop {
        let before = ids.len();
        let hang = spans.iter().filter(|span| span.parent_id.as_deref().is_some_and(|parent| ids.contains(parent)));
        let hang: Vec<&str> = hang.map(|span| span.span_id.as_str()).collect();
        ids.extend(hang);
        if ids.len() == before {
            break;
        }
    }
    spans.iter().filter(|span| ids.contains(span.span_id.as_str())).cloned().collect()
}

/// Every span once, each below what it hangs on, in the order in which they began. What hangs on nothing that is known
/// stands for itself, and so does a ring, which only a liar could make.
pub fn lines(spans: &[Span]) -> Vec<Line<'_>> {
    let is_known = |id: &str| spans.iter().any(|span| span.span_id == id);
    let roots = spans.iter().filter(|span| !span.parent_id.as_deref().is_some_and(is_known));
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for root in roots.chain(spans) {
        push(spans, root, "", "", &mut seen, &mut lines);
    }
    lines
}

fn push<'a>(
    spans: &'a [Span],
    span: &'a Span,
    branch: &str,
    under: &str,
    seen: &mut BTreeSet<&'a str>,
    lines: &mut Vec<Line<'a>>,
) {
    if !seen.insert(&span.span_id) {
        return;
    }
    lines.push(Line { span, branch: branch.to_owned() });
    let children: Vec<_> =
        spans.iter().filter(|child| child.parent_id.as_deref() == Some(span.span_id.as_str())).collect();
    for (number, child) in children.iter().enumerate() {
        let (branch, more) = if number + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        push(spans, child, &format!("{under}{branch}"), &format!("{under}{more}"), seen, lines);
    }
}

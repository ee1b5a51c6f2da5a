//! `GET /traces/{id}` on the admin address: the spans that this process remembers of one trace, or of one request, as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use opentelemetry::{
    Array, KeyValue, Value,
    trace::{SpanId, SpanKind, Status},
};
use serde_json::{Map, Value as Json_, json};

use super::recent::{Kept, Recent};

/// The most spans of one answer: sixteen times as many as a request has at most.
const MOST: usize = 4096;

/// The route.
pub fn routes(recent: Recent) -> Router {
    Router::new().route("/traces/{id}", get(show)).with_state(recent)
}

async fn show(State(recent): State<Recent>, Path(id): Path<String>) -> Response {
    if !recent.is_on() {
        return not_found("this process remembers no traces: set `tracing.recent_bytes`");
    }
    let spans = recent.of(&id.to_ascii_lowercase(), MOST);
    let Some(first) = spans.first() else {
        return not_found("this process remembers nothing of it: it was never here, runs still, or was too long ago");
    };
    let trace_id = first.trace_id.to_string();
    Json(json!({ "trace_id": trace_id, "spans": spans.iter().map(span).collect::<Vec<_>>() })).into_response()
}

fn not_found(message: &str) -> Response {
    let body =
        json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": "not_found" } });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// Times in microseconds, since 1970 and long: what every reader of JSON can hold exactly.
fn span(kept: &Kept) -> Json_ {
    let record = &kept.record;
    let events = record.events.iter();
    let events = events.map(|event| {
        json!({ "name": event.name, "at_us": micros(event.timestamp), "attributes": attributes(&event.attributes) })
    });
    let end = record.end.unwrap_or(record.start);
    json!({
        "service": &*kept.service,
        "name": record.name,
        "span_id": record.id.to_string(),
        "parent_id": (record.parent != SpanId::INVALID).then(|| record.parent.to_string()),
        "kind": match record.kind {
            SpanKind::Client => "client",
            SpanKind::Server => "server",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal => "internal",
        },
        "start_us": micros(record.start),
        "duration_us": us(end.duration_since(record.start).unwrap_or_default()),
        "attributes": attributes(&record.attributes),
        "events": events.collect::<Vec<_>>(),
        "error": match &record.status {
            Status::Error { description } => Some(description),
            Status::Ok | Status::Unset => None,
        },
    })
}

fn micros(at: SystemTime) -> u64 {
    us(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn attributes(list: &[KeyValue]) -> Map<String, Json_> {
    list.iter().map(|one| (one.key.as_str().to_owned(), value(&one.value))).collect()
}

fn value(value: &Value) -> Json_ {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::I64(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::String(text) => json!(text.as_str()),
        Value::Array(Array::Bool(list)) => json!(list),
        Value::Array(Array::I64(list)) => json!(list),
        Value::Array(Array::F64(list)) => json!(list),
        Value::Array(Array::String(list)) => list.iter().map(|text| json!(text.as_str())).collect(),
        other => json!(other.as_str()),
    }
}

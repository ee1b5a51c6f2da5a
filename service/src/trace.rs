//! Traces: what one request did in this process, told to an OpenTelemetry collector, and the thread that ties it to what it
//! did in the others.
//!
//! A request's spans are few and are made where something ends, never for a token. They are its own until it is over: then
//! they are sent if the request was sampled, failed or was slow, and dropped otherwise (`docs/decisions/0028-traces-decided-at-the-end.md`).
//! Nothing here waits: what finds no room is dropped and counted. The process may also remember its spans of late, for
//! people ([`Recent`]). Where no collector is named and nothing is remembered there is nothing but an empty [`Tracer`],
//! and every call is a branch.

mod collector;
pub mod config;
mod context;
mod metrics;
pub mod names;
mod queue;
mod ratio;
mod recent;
mod recorder;
mod shown;
mod span;
#[cfg(test)]
mod tests;

pub use opentelemetry::{Array, KeyValue, StringValue, Value, trace::SpanKind};

pub use self::{
    collector::TraceError,
    context::{Context, State, trace_id},
    metrics::TraceMetrics,
    recent::Recent,
    recorder::{Trace, Tracer},
    span::Span,
};

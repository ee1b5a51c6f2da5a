//! What a request does at this router, as spans: its wait in the queue, why it went where it went, and each attempt, which
//! the replica's own spans hang on.

use std::borrow::Cow;

use cloudach_proto::{
    passed::Passed,
    v1::{Failed, Finished, GenerateRequest, RequestContext, Resumed},
};
use cloudach_service::trace::{
    Context, KeyValue, Span, SpanKind, State, Trace, Tracer,
    names::{self, event, kept},
    trace_id,
};

use super::attempts::Attempts;
use crate::{
    fleet::Replica,
    picker::{Placed, Wanted},
};

/// A request has come.
pub fn begin(tracer: &Tracer, context: &mut Option<RequestContext>, what: &str, model: &str) -> Trace {
    if !tracer.is_on() {
        return Trace::none();
    }
    let (parent, state) = match context {
        Some(context) => (Context::parse(&context.traceparent), State::parse(&context.tracestate)),
        None => (None, State::default()),
    };
    let trace = tracer.begin(SpanKind::Server, parent, &state, || Cow::Owned(format!("{what} {model}")));
    if let Some(ours) = trace.context() {
        context.get_or_insert_default().traceparent = ours.to_string();
    }
    trace.set_text(names::MODEL, model);
    trace
}

/// The id of the request's trace, for logs.
pub fn id(request: &GenerateRequest) -> Option<&str> {
    trace_id(&request.context.as_ref()?.traceparent)
}

/// It waits for its model to be there, and for room.
pub fn queueing(trace: &Trace, wanted: &Wanted) -> Span {
    let mut step = trace.step("queue");
    if step.is_on() {
        step.set(names::CLASS, format!("{:?}", wanted.class).to_ascii_lowercase());
    }
    step
}

/// It is opened at this replica. Why it is this one is told beside: picking takes no time to speak of.
pub fn attempt(attempts: &Attempts, placed: &Placed, resumed: Option<&Resumed>, hedge: bool) -> Span {
    let trace = attempts.trace();
    if !trace.is_on() {
        return Span::default();
    }
    let why = &placed.why;
    let mut pick = trace.step("pick");
    pick.set(names::REPLICA, placed.replica.name.clone());
    pick.set(names::PICK_POLICY, why.policy.to_string());
    pick.set(names::PICK_CANDIDATES, i64::try_from(why.candidates).unwrap_or(i64::MAX));
    pick.set(names::PICK_SCORE, f64::from(why.score));
    pick.set(names::PICK_REASON, why.to_string());
    pick.end();

    let mut span = trace.call(if resumed.is_some() { "resume" } else { "attempt" });
    span.set(names::REPLICA, placed.replica.name.clone());
    span.set(names::ATTEMPT, i64::from(attempts.starts()));
    if hedge {
        span.set(names::HEDGE, true);
    }
    if let Some(resumed) = resumed {
        span.set(names::RESUMED_TOKENS, i64::try_from(resumed.token_ids.len()).unwrap_or(i64::MAX));
    }
    span
}

/// The replica is told which span it works for.
pub fn pass_on(span: &Span, context: &mut Option<RequestContext>) {
    if let Some(ours) = span.context() {
        context.get_or_insert_default().traceparent = ours.to_string();
    }
}

/// A second replica is asked.
pub fn hedged(trace: &Trace, placed: &Placed) {
    trace.event(event::HEDGE, || vec![KeyValue::new(names::REPLICA, placed.replica.name.clone())]);
    trace.keep(kept::RETRIED);
}

/// A replica has failed, and another one begins anew, or goes on with the answer.
pub fn goes_on(trace: &Trace, replica: &Replica, failed: &Failed, passed: &Passed) {
    trace.event(if passed.is_begun() { event::RESUME } else { event::RETRY }, || {
        vec![
            KeyValue::new(names::REPLICA, replica.name.clone()),
            KeyValue::new(names::ERROR_TYPE, failed.kind()),
            KeyValue::new(names::MESSAGE, failed.message.clone()),
            KeyValue::new(names::TOKENS, i64::try_from(passed.tokens()).unwrap_or(i64::MAX)),
        ]
    });
    trace.keep(kept::RETRIED);
}

/// It has failed for good. What is its own doing is no failure of this process.
pub fn failed(trace: &Trace, failed: &Failed) {
    if failed.is_the_requests() {
        trace.set(names::ERROR_TYPE, failed.kind());
    } else {
        trace.fail(failed.kind(), &failed.message);
    }
}

/// It is answered. Whoever sent it is told whether this is worth its part of the trace.
pub fn finished(trace: &Trace, finished: &mut Finished) {
    if finished.keep_trace {
        trace.keep(kept::BELOW);
    }
    trace.over();
    finished.keep_trace |= trace.is_kept();
}

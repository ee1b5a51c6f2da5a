//! What a request does at this sidecar, as spans: the engine's reading of the prompt up to its first token, and its writing
//! after that. The engine is told which span it works for.

use std::borrow::Cow;

use cloudach_proto::{
    unary::Unary,
    v1::{Failed, FinishReason, Finished, GenerateEvent, GenerateRequest, RequestContext, generate_event::Event},
};
use cloudach_service::trace::{Context, Span, SpanKind, State, Trace, Tracer, names};

/// A generation that is followed, or nothing where traces are off: no more than two pointers.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    trace: Trace,
    /// The step it is in: `prefill` up to the first token, then `decode`.
    step: Span,
    /// It is in the second one.
    decodes: bool,
}

impl Traced {
    /// Begins to follow `request`, which from now on tells the engine which span it is of.
    pub(crate) fn begin(tracer: &Tracer, request: &mut GenerateRequest) -> Self {
        let trace = begin(tracer, &mut request.context, "generate", &request.model);
        if !trace.is_on() {
            return Self::default();
        }
        trace.set(names::REQUEST_ID, request.request_id.clone());
        if let Some(resumed) = &request.resumed {
            trace.set(names::RESUMED_TOKENS, i64::try_from(resumed.token_ids.len()).unwrap_or(i64::MAX));
        }
        let step = trace.step("prefill");
        Self { trace, step, decodes: false }
    }

    /// Takes note of an event before it is told. Of what is generated, only the first is more than a look at the clock.
    pub(crate) fn note(&mut self, event: &mut GenerateEvent) {
        if !self.trace.is_on() {
            return;
        }
        match &mut event.event {
            Some(Event::Delta(_)) => {
                self.trace.token();
                if !std::mem::replace(&mut self.decodes, true) {
                    std::mem::replace(&mut self.step, self.trace.step("decode")).end();
                }
            }
            Some(Event::Finished(finished)) => self.finished(finished),
            Some(Event::Failed(failed)) => self.failed(failed),
            Some(Event::Started(_) | Event::Waiting(_)) | None => {}
        }
    }

    fn finished(&mut self, finished: &mut Finished) {
        std::mem::take(&mut self.step).end();
        let usage = finished.usage.unwrap_or_default();
        self.trace.set(names::ENGINE_PROMPT_TOKENS, i64::from(usage.prompt_tokens));
        self.trace.set(names::ENGINE_COMPLETION_TOKENS, i64::from(usage.completion_tokens));
        self.trace.set(names::ENGINE_CACHED_TOKENS, i64::from(usage.cached_tokens));
        let reason = if finished.reason() == FinishReason::Length { "length" } else { "stop" };
        self.trace.set(names::ENGINE_FINISH_REASON, reason);
        self.trace.over();
        finished.keep_trace |= self.trace.is_kept();
    }

    /// It has failed, or is refused.
    pub(crate) fn failed(&mut self, failed: &Failed) {
        self.step.fail(failed.kind(), failed.for_operators());
        fail(&self.trace, failed);
    }
}

/// Begins to follow a request that one message answers.
pub(crate) fn begin_unary<Q: Unary>(tracer: &Tracer, request: &mut Q) -> Trace {
    let (model, context) = request.to_fill_in();
    let trace = begin(tracer, context, Q::CALL, model);
    if trace.is_on() {
        trace.set(names::REQUEST_ID, request.request_id().to_owned());
    }
    trace
}

/// A request has failed. What is its own doing is no failure of this process.
pub(crate) fn fail(trace: &Trace, failed: &Failed) {
    if failed.is_the_requests() {
        trace.set(names::ERROR_TYPE, failed.kind());
    } else {
        trace.fail(failed.kind(), &failed.message);
    }
}

fn begin(tracer: &Tracer, context: &mut Option<RequestContext>, what: &str, model: &str) -> Trace {
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
        trace.set(names::MODEL, model.to_owned());
    }
    trace
}

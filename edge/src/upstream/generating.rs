//! A generation on its way from the routers: when the router that carries it is lost or stops, another one goes on with
//! it, as routers do with replicas. What a router itself gives up is given up.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use cloudach_proto::{
    kept::Kept,
    passed::Passed,
    session::client::Events,
    v1::{ErrorCode, Failed, GenerateEvent, GenerateRequest, generate_event::Event},
};
use cloudach_service::trace::{
    KeyValue, Span, Trace,
    names::{self, event, kept},
    trace_id,
};
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use crate::{Edge, error::ApiError, trace};

/// How long an answer that the client has a part of waits for another router; one that has not begun waits as long as a new
/// request does.
const WITHIN: Duration = Duration::from_secs(30);

/// How often one is looked for meanwhile.
const EVERY: Duration = Duration::from_millis(50);

/// How many routers may carry one generation, one after the other.
const MOST_MOVES: u32 = 16;

/// The events of one generation. Dropping it ends the generation.
pub struct Generating {
    edge: Edge,
    /// The request, for the next router.
    request: Kept,
    begun: Instant,
    passed: Passed,
    moves: u32,
    stage: Stage,
    /// The step that it is of its request.
    span: Span,
}

enum Stage {
    Carried(Events),
    /// Nobody carries it; until another router does, why.
    Lost(Box<Lost>),
    Over,
}

/// See [`Stage::Lost`].
struct Lost {
    failed: Failed,
    until: Instant,
    pause: Pin<Box<Sleep>>,
}

impl Lost {
    fn of(failed: Failed, until: Instant) -> Stage {
        Stage::Lost(Box::new(Self { failed, until, pause: Box::pin(sleep(Duration::ZERO)) }))
    }
}

impl Generating {
    /// Starts a generation.
    ///
    /// # Errors
    /// No router takes it, nor will soon, or it is too large for any.
    pub fn start(edge: &Edge, of: &Trace, mut request: GenerateRequest) -> Result<Self, ApiError> {
        let mut span = of.call("generate");
        let context = request.context.get_or_insert_default();
        if let Some(ours) = span.context() {
            context.traceparent = ours.to_string();
            span.set(names::REQUEST_ID, request.request_id.clone());
        }
        let kept = Kept::of(&request);
        let stage = match edge.upstream.generate(request, &edge.catalog, &mut span) {
            Ok(events) => Stage::Carried(events),
            // The one that was picked has just said that it stops, or none is there for a moment.
            Err(ApiError::NoRouter) if edge.upstream.expected() > Instant::now() => {
                let until = edge.upstream.expected();
                let failed = Failed::retryable(ErrorCode::ReplicaLost, "no router is connected");
                Lost::of(failed, until)
            }
            Err(error) => {
                let (kind, message) = trace::told(&error);
                span.fail(kind, message);
                return Err(error);
            }
        };
        Ok(Self {
            edge: edge.clone(),
            request: kept,
            begun: Instant::now(),
            passed: Passed::default(),
            moves: 0,
            stage,
            span,
        })
    }

    /// Whether another router may go on after this.
    fn may_move(&self, failed: &Failed) -> bool {
        let lost = matches!(failed.code(), ErrorCode::ReplicaLost | ErrorCode::ShuttingDown);
        lost && failed.retryable
            && !failed.exhausted
            && self.moves < MOST_MOVES
            && !self.edge.running.kill.is_cancelled()
    }

    /// Whether it was lost because this process ends, which breaks its sessions.
    fn is_ended_by_stop(&self, failed: &Failed) -> bool {
        failed.code() == ErrorCode::ReplicaLost && self.edge.running.kill.is_cancelled()
    }

    /// Looks for another router.
    fn take_up(&mut self) -> Option<Events> {
        let mut request = GenerateRequest { resumed: self.passed.resumed(), ..self.request.request() };
        let context = request.context.get_or_insert_default();
        let gone = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // 0 would be none at all.
        context.timeout_ms = context.timeout_ms.saturating_sub(gone).max(1);
        if let Some(ours) = self.span.context() {
            context.traceparent = ours.to_string();
        }
        self.edge.upstream.generate(request, &self.edge.catalog, &mut self.span).ok()
    }
}

fn stopping() -> Failed {
    Failed::retryable(ErrorCode::ShuttingDown, "this server is stopping")
}

impl Stream for Generating {
    type Item = GenerateEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GenerateEvent>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Carried(events) => {
                    let Some(mut event) = ready!(Pin::new(events).poll_next(context)) else {
                        this.stage = Stage::Over;
                        return Poll::Ready(None);
                    };
                    match &mut event.event {
                        Some(Event::Started(started)) => {
                            this.span.set_text(names::REPLICA, &started.replica);
                            this.passed.started(started);
                        }
                        Some(Event::Delta(delta)) => this.passed.delta(delta),
                        Some(Event::Failed(failed)) if this.is_ended_by_stop(failed) => {
                            let stopping = stopping();
                            this.stage = Stage::Over;
                            this.span.fail(stopping.kind(), stopping.for_operators());
                            return Poll::Ready(Some(stopping.into()));
                        }
                        Some(Event::Failed(failed)) if this.may_move(failed) => {
                            let request = this.request.request();
                            if let Some(finished) = this.passed.end(&request) {
                                this.stage = Stage::Over;
                                std::mem::take(&mut this.span).end();
                                return Poll::Ready(Some(finished.into()));
                            }
                            this.moves += 1;
                            this.span.keep(kept::RETRIED);
                            this.span.event(event::RESUME, || {
                                let tokens = i64::try_from(this.passed.tokens()).unwrap_or(i64::MAX);
                                let why = failed.message.clone();
                                vec![KeyValue::new(names::TOKENS, tokens), KeyValue::new(names::MESSAGE, why)]
                            });
                            warn!(
                                request = request.request_id,
                                trace_id = request.context.as_ref().and_then(|context| trace_id(&context.traceparent)),
                                tokens = this.passed.tokens(),
                                error = failed.message,
                                "a router was lost: its answer goes on through another one"
                            );
                            let patience = if this.passed.is_begun() { WITHIN } else { super::WITHIN };
                            let until = Instant::now() + patience;
                            this.stage = Lost::of(failed.clone(), until);
                            continue;
                        }
                        Some(Event::Failed(failed)) => this.span.fail(failed.kind(), failed.for_operators()),
                        Some(Event::Finished(_)) => std::mem::take(&mut this.span).end(),
                        Some(Event::Waiting(_)) | None => {}
                    }
                    return Poll::Ready(Some(event));
                }
                Stage::Lost(lost) => {
                    let Lost { failed, until, pause } = &mut **lost;
                    ready!(pause.as_mut().poll(context));
                    let stops = this.edge.running.kill.is_cancelled();
                    let failed = if stops { stopping() } else { failed.clone() };
                    let over = stops || Instant::now() >= *until;
                    pause.as_mut().reset(Instant::now() + EVERY);
                    match this.take_up() {
                        Some(events) => this.stage = Stage::Carried(events),
                        None if over => {
                            this.stage = Stage::Over;
                            this.span.fail(failed.kind(), failed.for_operators());
                            return Poll::Ready(Some(failed.into()));
                        }
                        None => {}
                    }
                }
            }
        }
    }
}

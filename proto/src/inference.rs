//! The Inference service over anything that generates and answers: the same on router and sidecar.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{future::FutureExt, sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use crate::{
    MAX_MESSAGE_BYTES,
    session::server::{self, Down, EventStream, Generate, Stopping},
    unary::{Answers, AnswersAll, Unary},
    v1::{
        DetokenizeRequest, DetokenizeResponse, EmbedRequest, EmbedResponse, ErrorCode, Failed, GenerateEvent,
        GenerateRequest, RequestContext, ScoreRequest, ScoreResponse, SessionUp, TokenizeRequest, TokenizeResponse,
        inference_server::{self, Inference, InferenceServer},
    },
};

/// Events of a single call that wait for its caller.
const EVENTS_AHEAD: usize = 64;

/// How long a single call's caller may leave its events unread before it is given up. Sessions merge instead.
const STALL: Duration = Duration::from_secs(30);

/// The name by which gRPC health checking knows the service.
pub const SERVICE_NAME: &str = inference_server::SERVICE_NAME;

/// Serves Inference by `runs`. Requests are tasks of `tasks`, so that a stop can wait for them.
pub fn service<R: Generate + AnswersAll>(
    runs: Arc<R>,
    tasks: TaskTracker,
    stopping: Stopping,
) -> InferenceServer<impl Inference> {
    InferenceServer::new(Service { runs, tasks, stopping })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// Hands on the events of one call until they end, its caller goes or stalls, or everything ends.
async fn pass_on(
    mut events: EventStream,
    caller: mpsc::Sender<Result<GenerateEvent, Status>>,
    kill: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = caller.closed() => return,
            () = kill.cancelled() => {
                let failed = Failed::retryable(ErrorCode::ShuttingDown, "this process is stopping");
                let _ = caller.try_send(Ok(failed.into()));
                return;
            }
        };
        let Some(event) = event else { return };
        tokio::select! {
            sent = timeout(STALL, caller.send(Ok(event))) => if !matches!(sent, Ok(Ok(()))) {
                return;
            },
            () = kill.cancelled() => return,
        }
    }
}

/// Whoever makes a single call may name its trace in the call's metadata, as is usual in gRPC, where the request names none.
fn take_trace(metadata: &MetadataMap, context: &mut Option<RequestContext>) {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if context.as_ref().is_some_and(|context| !context.traceparent.is_empty()) {
        return;
    }
    if let Some(traceparent) = text("traceparent") {
        let context = context.get_or_insert_default();
        context.traceparent = traceparent;
        context.tracestate = text("tracestate").unwrap_or_default();
    }
}

struct Service<R> {
    runs: Arc<R>,
    tasks: TaskTracker,
    stopping: Stopping,
}

impl<R> Service<R> {
    fn takes_requests(&self) -> Result<(), Status> {
        if self.stopping.drain.is_cancelled() {
            return Err(Status::unavailable("this process is stopping; try another"));
        }
        Ok(())
    }

    async fn answer<Q: Unary>(&self, request: Request<Q>) -> Result<Response<Q::Response>, Status>
    where
        R: Answers<Q>,
    {
        let stopped = || Err(Failed::retryable(ErrorCode::ShuttingDown, "this process is stopping"));
        if self.takes_requests().is_err() {
            // Not as a status, which would be that of a connection that broke.
            return Ok(Response::new(Q::respond(stopped())));
        }
        let _token = self.tasks.token();
        let (metadata, _, mut request) = request.into_parts();
        take_trace(&metadata, request.to_fill_in().1);
        let answering = self.runs.answer(request).with_cancellation_token(&self.stopping.kill);
        Ok(Response::new(Q::respond(answering.await.unwrap_or_else(stopped))))
    }
}

#[tonic::async_trait]
impl<R: Generate + AnswersAll> Inference for Service<R> {
    type SessionStream = Down;
    type GenerateStream = ReceiverStream<Result<GenerateEvent, Status>>;

    async fn session(&self, up: Request<Streaming<SessionUp>>) -> Result<Response<Down>, Status> {
        self.takes_requests()?;
        let runs = self.runs.clone();
        let down = server::serve(up.into_inner(), runs, &self.tasks, self.stopping.clone());
        Ok(Response::new(down))
    }

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<Self::GenerateStream>, Status> {
        self.takes_requests()?;
        let (caller, events) = mpsc::channel(EVENTS_AHEAD);
        let (metadata, _, mut request) = request.into_parts();
        take_trace(&metadata, &mut request.context);
        let running = self.runs.clone().generate(Box::new(request));
        self.tasks.spawn(pass_on(running, caller, self.stopping.kill.clone()));
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        self.answer(request).await
    }

    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        self.answer(request).await
    }

    async fn tokenize(&self, request: Request<TokenizeRequest>) -> Result<Response<TokenizeResponse>, Status> {
        self.answer(request).await
    }

    async fn detokenize(&self, request: Request<DetokenizeRequest>) -> Result<Response<DetokenizeResponse>, Status> {
        self.answer(request).await
    }
}

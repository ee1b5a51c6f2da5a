//! The relay: carries a request to a replica and its events back. Retrying happens here and nowhere else: a replica
//! that fails before its first token is replaced by another one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_stream::stream;
use cloudach_proto::{
    inference::Embed,
    session::{
        Refused,
        server::{EventStream, Generate},
    },
    v1::{
        EmbedRequest, Embeddings, ErrorCode, Failed, GenerateEvent, GenerateRequest, RequestContext, embed_response,
        generate_event::Event,
    },
};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::{
    catalogue::Names,
    config,
    fleet::{Fleet, Replica},
    metrics::{Metrics, Outcome},
    pick,
    placement::conduct::Placement,
};

/// What a client is told to wait for when no replica of its model is ready.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Carries requests between edges and replicas.
#[derive(Debug)]
pub struct Relay {
    pub names: Names,
    pub fleet: Arc<Fleet>,
    pub placement: Arc<Placement>,
    pub config: config::Relay,
    pub metrics: Metrics,
    pub turn: AtomicUsize,
}

impl Generate for Relay {
    fn generate(self: Arc<Self>, mut request: GenerateRequest) -> EventStream {
        let deadline = self.deadline(request.context.as_ref());
        let flight = self.metrics.start();
        let events = stream! {
            if let Err(failed) = self.resolve(&mut request.model) {
                flight.finish(Outcome::Failed);
                yield failed.into();
                return;
            }
            let _wanted = self.placement.wanted(&request.model);
            let expired = sleep_until(deadline);
            tokio::pin!(expired);
            let mut attempt = Attempt::at(&request.model);
            'attempts: loop {
                let (replica, mut events) = match self.start(&request, deadline, &mut attempt) {
                    Ok(started) => started,
                    Err(failed) => {
                        flight.finish(Outcome::Failed);
                        yield failed.into();
                        return;
                    }
                };
                loop {
                    let event = tokio::select! {
                        event = events.next() => event.unwrap_or_else(lost),
                        () = &mut expired => too_late(),
                    };
                    match &event.event {
                        Some(Event::Failed(failed)) if self.try_another(failed, &attempt) => {
                            warn!(
                                request = request.request_id,
                                replica = replica.name,
                                attempt = attempt.tried.len(),
                                error = failed.message,
                                "replica failed before its first token; trying another"
                            );
                            self.metrics.retried();
                            attempt.failed = Some(failed.clone());
                            continue 'attempts;
                        }
                        Some(Event::Delta(_)) => attempt.answering = true,
                        Some(Event::Finished(_)) => flight.finish(Outcome::Served),
                        Some(Event::Failed(_)) => flight.finish(Outcome::Failed),
                        Some(Event::Started(_)) | None => {}
                    }
                    let last = event.is_last();
                    yield event;
                    if last {
                        return;
                    }
                }
            }
        };
        events.boxed()
    }
}

impl Embed for Relay {
    async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, Failed> {
        let deadline = self.deadline(request.context.as_ref());
        let flight = self.metrics.start();
        self.resolve(&mut request.model).inspect_err(|_| flight.finish(Outcome::Failed))?;
        let _wanted = self.placement.wanted(&request.model);
        let mut attempt = Attempt::at(&request.model);
        loop {
            let replica = match self.choose(&request.model, &mut attempt) {
                Ok(replica) => replica,
                Err(failed) => {
                    flight.finish(Outcome::Failed);
                    return Err(failed);
                }
            };
            pass_on_time(&mut request.context, deadline);
            let mut client = replica.peer.unary();
            let failed = match timeout_at(deadline, client.embed(request.clone())).await {
                Err(_) => timed_out(),
                Ok(Err(status)) => not_embedded(&status),
                Ok(Ok(response)) => match response.into_inner().outcome {
                    Some(embed_response::Outcome::Failed(failed)) => failed,
                    Some(embed_response::Outcome::Embeddings(embeddings)) => {
                        flight.finish(Outcome::Served);
                        return Ok(embeddings);
                    }
                    None => Failed::new(ErrorCode::Internal, "the replica gave an empty answer"),
                },
            };
            if !self.try_another(&failed, &attempt) {
                flight.finish(Outcome::Failed);
                return Err(failed);
            }
            self.metrics.retried();
            attempt.failed = Some(failed);
        }
    }
}

/// What has been tried for one request.
#[derive(Debug, Default)]
struct Attempt {
    tried: Vec<Arc<Replica>>,
    /// The last failure, told to the client when nobody is left to try.
    failed: Option<Failed>,
    /// The client has seen part of the answer.
    answering: bool,
    model: String,
}

impl Attempt {
    fn at(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    fn has_tried(&self, replica: &Arc<Replica>) -> bool {
        self.tried.iter().any(|tried| Arc::ptr_eq(tried, replica))
    }
}

impl Relay {
    fn resolve(&self, model: &mut String) -> Result<(), Failed> {
        match self.names.resolve(model) {
            Some(id) => id.clone_into(model),
            None => {
                let message = format!("the catalogue has no model `{model}`");
                return Err(Failed::new(ErrorCode::ModelNotFound, message));
            }
        }
        Ok(())
    }

    /// Opens the request on the best replica that takes it.
    fn start(
        &self,
        request: &GenerateRequest,
        deadline: Instant,
        attempt: &mut Attempt,
    ) -> Result<(Arc<Replica>, cloudach_proto::session::client::Events), Failed> {
        loop {
            let replica = self.choose(&request.model, attempt)?;
            let mut request = request.clone();
            pass_on_time(&mut request.context, deadline);
            match replica.peer.generate(request) {
                Ok(events) => return Ok((replica, events)),
                Err(refused) => {
                    debug!(replica = replica.name, %refused, "replica takes no request");
                    attempt.failed = Some(refusal(refused));
                }
            }
        }
    }

    fn choose(&self, model: &str, attempt: &mut Attempt) -> Result<Arc<Replica>, Failed> {
        let ready = self.fleet.ready(model);
        let fresh = |replica: &&Arc<Replica>| !attempt.has_tried(replica);
        let choice: Vec<&Arc<Replica>> = ready.iter().filter(fresh).collect();
        let candidates: Vec<_> = choice.iter().map(|replica| replica.candidate()).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(index) = pick::least_loaded(&candidates, turn) else {
            return Err(attempt.failed.take().unwrap_or_else(|| self.unavailable(model)));
        };
        let replica = choice[index].clone();
        attempt.tried.push(replica.clone());
        Ok(replica)
    }

    /// Whether the failure is the replica's and the client has seen nothing yet.
    fn try_another(&self, failed: &Failed, attempt: &Attempt) -> bool {
        failed.retryable
            && !attempt.answering
            && attempt.tried.len() < self.config.attempts as usize
            && self.fleet.ready(&attempt.model).iter().any(|replica| !attempt.has_tried(replica))
    }

    fn unavailable(&self, model: &str) -> Failed {
        let why = self.fleet.why_not_ready(model);
        Failed {
            retry_after_ms: millis(RETRY_AFTER),
            ..Failed::retryable(ErrorCode::ModelUnavailable, format!("no replica of `{model}` is ready: {why}"))
        }
    }

    fn deadline(&self, context: Option<&RequestContext>) -> Instant {
        let asked = context.map(|context| context.timeout_ms).filter(|&timeout| timeout > 0);
        let timeout = asked.map_or(self.config.timeout, Duration::from_millis).min(self.config.timeout);
        Instant::now() + timeout
    }
}

/// Tells the next hop how much of the request's time is left.
fn pass_on_time(context: &mut Option<RequestContext>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    context.get_or_insert_default().timeout_ms = millis(left).max(1);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refusal(refused: Refused) -> Failed {
    let code = match refused {
        Refused::Draining => ErrorCode::ShuttingDown,
        Refused::Broken => ErrorCode::ReplicaLost,
        Refused::Full => ErrorCode::Overloaded,
        Refused::TooLarge(_) => return Failed::new(ErrorCode::InvalidRequest, refused.to_string()),
    };
    Failed::retryable(code, refused.to_string())
}

/// What a call that brought no answer means: a replica that is lost, or an answer that cannot be carried.
fn not_embedded(status: &Status) -> Failed {
    match status.code() {
        Code::Unavailable | Code::Aborted | Code::Cancelled | Code::Unknown => {
            Failed::retryable(ErrorCode::ReplicaLost, status.message())
        }
        _ => Failed::new(ErrorCode::Internal, status.message()),
    }
}

fn lost() -> GenerateEvent {
    Failed::retryable(ErrorCode::ReplicaLost, "the replica's stream ended without a result").into()
}

fn timed_out() -> Failed {
    Failed::new(ErrorCode::DeadlineExceeded, "the request took longer than its time-out")
}

fn too_late() -> GenerateEvent {
    timed_out().into()
}

//! `Inference` as the sidecar serves it: sessions for routers, single calls for people.

use std::{pin::Pin, sync::Arc};

use cloudach_proto::{
    session::server::{self, Down, Generate, Stopping},
    v1::{
        EmbedRequest, EmbedResponse, Embeddings, ErrorCode, Failed, GenerateEvent, GenerateRequest, SessionUp,
        embed_response::Outcome, inference_server::Inference,
    },
};
use cloudach_service::stop::Running;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::sidecar::Sidecar;

/// The service.
#[derive(Debug)]
pub(crate) struct InferenceService {
    pub(crate) sidecar: Arc<Sidecar>,
    pub(crate) running: Running,
}

#[tonic::async_trait]
impl Inference for InferenceService {
    type SessionStream = Down;
    type GenerateStream = Pin<Box<dyn Stream<Item = Result<GenerateEvent, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<SessionUp>>) -> Result<Response<Down>, Status> {
        let stopping = Stopping { drain: self.running.drain.clone(), kill: self.running.kill.clone() };
        let down = server::serve(request.into_inner(), self.sidecar.clone(), &self.running.requests, stopping);
        Ok(Response::new(down))
    }

    async fn generate(&self, request: Request<GenerateRequest>) -> Result<Response<Self::GenerateStream>, Status> {
        // Held until the stream is dropped: the stop sequence waits for it.
        let open = self.running.requests.token();
        let events = self.sidecar.clone().generate(request.into_inner());
        let events = events.take_until(self.running.kill.clone().cancelled_owned()).map(move |event| {
            let _ = &open;
            Ok(event)
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        let _open = self.running.requests.token();
        let embedding = self.sidecar.embed(request.into_inner());
        let outcome = match self.running.kill.run_until_cancelled(embedding).await {
            Some(Ok(embeddings)) => Outcome::Embeddings(embeddings),
            Some(Err(failed)) => Outcome::Failed(failed),
            None => Outcome::Failed(Failed::retryable(ErrorCode::ShuttingDown, "this replica has stopped")),
        };
        Ok(Response::new(EmbedResponse { outcome: Some(outcome) }))
    }
}

impl Sidecar {
    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Failed> {
        let (flight, model) = self.admit(&request.model)?;
        let embedded = self.engine.embed(request, &model).await;
        flight.end(embedded.as_ref().err());
        if let Err(failed) = &embedded {
            self.suspect(failed);
        }
        Ok(Embeddings { replica: self.replica.clone(), ..embedded? })
    }
}

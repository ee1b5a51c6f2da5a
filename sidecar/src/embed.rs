//! Embeddings at the sidecar: taken or refused, made by the engine, counted.

use cloudach_proto::{
    inference::Embed,
    v1::{EmbedRequest, Embeddings, Failed},
};

use crate::sidecar::Sidecar;

impl Embed for Sidecar {
    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Failed> {
        let (flight, model) = self.admit(&request.model)?;
        let hung = self.hangs();
        let embedded = tokio::select! {
            embedded = self.engine.embed(request, &model) => embedded,
            failed = hung => Err(failed),
        };
        flight.end(embedded.as_ref().err());
        if let Err(failed) = &embedded {
            self.suspect(failed);
        }
        Ok(Embeddings { replica: self.replica.clone(), ..embedded? })
    }
}

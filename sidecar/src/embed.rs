//! Embeddings at the sidecar: taken or refused, made by the engine, counted.

use cloudach_proto::{
    inference::Embed,
    v1::{EmbedRequest, Embeddings, Failed},
};

use crate::{sidecar::Sidecar, trace};

impl Embed for Sidecar {
    async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, Failed> {
        let trace = trace::begin_embedding(&self.tracer, &mut request);
        let (flight, model) = self.admit(&request.model).inspect_err(|failed| trace::fail(&trace, failed))?;
        let hung = self.hangs();
        let embedded = tokio::select! {
            embedded = self.engine.embed(request, &model) => embedded,
            failed = hung => Err(failed),
        };
        flight.end(embedded.as_ref().err());
        if let Err(failed) = &embedded {
            trace::fail(&trace, failed);
            self.suspect(failed);
        }
        Ok(Embeddings { replica: self.replica.clone(), ..embedded? })
    }
}

//! Requests that one message answers, at the sidecar: taken or refused, put to the engine, counted.

use cloudach_proto::{
    unary::{Answers, Unary},
    v1::Failed,
};

use crate::{engine::PutToEngine, sidecar::Sidecar, trace};

impl<Q: Unary + PutToEngine> Answers<Q> for Sidecar {
    async fn answer(&self, mut request: Q) -> Result<Q::Answer, Failed> {
        let trace = trace::begin_unary(&self.tracer, &mut request);
        let breaks_off = self.breaks_off();
        let (flight, model) = self.admit(request.model()).inspect_err(|failed| trace::fail(&trace, failed))?;
        let mut answered = tokio::select! {
            answered = request.put_to(&self.engine, &model) => answered,
            failed = breaks_off => Err(failed),
        };
        flight.end(answered.as_ref().err());
        match &mut answered {
            Ok(answer) => Q::sign(answer, &self.replica),
            Err(failed) => {
                trace::fail(&trace, failed);
                self.suspect(failed);
            }
        }
        answered
    }
}

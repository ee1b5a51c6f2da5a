//! Embeddings: one call, carried to another replica when the first one fails.

use cloudach_proto::{
    inference::Embed,
    passed::Passed,
    v1::{EmbedRequest, Embeddings, ErrorCode, Failed, embed_response},
};
use tokio::time::timeout_at;

use super::{
    Relay,
    attempts::{Attempts, is_loss},
    failure::{not_embedded, timed_out},
    pass_on_time, traced,
};
use crate::{metrics::Outcome, picker::Wanted};

impl Embed for Relay {
    async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, Failed> {
        let deadline = self.deadline(request.context.as_ref());
        let flight = self.metrics.start();
        let trace = traced::begin(&self.tracer, &mut request.context, "route", &request.model);
        self.resolve(&mut request.model).inspect_err(|failed| {
            traced::failed(&trace, failed);
            flight.finish(Outcome::Failed);
        })?;
        let _demand = self.placement.wanted(&request.model);
        let mut attempts = Attempts::of(trace.clone());
        let wanted = Wanted::embedding(&request.model);
        loop {
            let Some(placed) = self.picker.pick(&wanted, |replica| attempts.may_ask(replica)) else {
                flight.finish(Outcome::Failed);
                let failed = attempts.take_failure().unwrap_or_else(|| self.unavailable(&request.model));
                traced::failed(&trace, &failed);
                return Err(failed);
            };
            attempts.start(&placed.replica);
            let mut span = traced::attempt(&attempts, &placed, None, false);
            pass_on_time(&mut request.context, deadline);
            traced::pass_on(&span, &mut request.context);
            let mut client = placed.replica.peer.unary();
            let failed = match timeout_at(deadline, client.embed(request.clone())).await {
                Err(_) => timed_out(),
                Ok(Err(status)) => not_embedded(&status),
                Ok(Ok(response)) => match response.into_inner().outcome {
                    Some(embed_response::Outcome::Failed(failed)) => failed,
                    Some(embed_response::Outcome::Embeddings(embeddings)) => {
                        placed.learn(None);
                        span.end();
                        flight.finish(Outcome::Served);
                        return Ok(embeddings);
                    }
                    None => Failed::new(ErrorCode::Internal, "the replica gave an empty answer"),
                },
            };
            span.fail(failed.kind(), failed.for_operators());
            drop(span);
            if is_loss(failed.code()) {
                placed.lost();
            }
            if !attempts.fail(&failed, &self.config) || !self.has_another(&request.model, &attempts) {
                flight.finish(Outcome::Failed);
                traced::failed(&trace, &failed);
                return Err(failed);
            }
            traced::goes_on(&trace, &placed.replica, &failed, &Passed::default());
            self.metrics.retried();
        }
    }
}

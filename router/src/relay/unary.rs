//! Requests that one message answers: one call, carried to another replica when the first one fails.

use cloudach_proto::{
    passed::Passed,
    unary::{Answers, Unary},
    v1::Failed,
};
use tokio::time::timeout_at;

use super::{
    Relay,
    attempts::{Attempts, is_loss},
    failure::{not_answered, timed_out},
    pass_on_time, traced,
};
use crate::{metrics::Outcome, picker::Wanted};

impl<Q: Unary> Answers<Q> for Relay {
    async fn answer(&self, mut request: Q) -> Result<Q::Answer, Failed> {
        let (model, context) = request.to_fill_in();
        let deadline = self.deadline(context.as_ref());
        let mut flight = self.metrics.start();
        let trace = traced::begin(&self.tracer, context, "route", model);
        self.resolve(model).inspect_err(|failed| {
            traced::failed(&trace, failed);
            flight.finish(Outcome::Failed);
        })?;
        let model = model.clone();
        let _demand = self.placement.wanted(&model);
        let mut attempts = Attempts::of(trace.clone());
        let wanted = Wanted::anywhere(&model);
        loop {
            let Some(placed) = self.picker.pick(&wanted, |replica| attempts.may_ask(replica)) else {
                flight.finish(Outcome::Failed);
                let failed = attempts.take_failure().unwrap_or_else(|| self.unavailable(&model));
                traced::failed(&trace, &failed);
                return Err(failed);
            };
            attempts.start(&placed.replica);
            let mut span = traced::attempt(&attempts, &placed, None, false);
            let (_, context) = request.to_fill_in();
            pass_on_time(context, deadline);
            traced::pass_on(&span, context);
            let answering = request.clone().ask(placed.replica.peer.unary());
            let failed = match timeout_at(deadline, answering).await {
                Err(_) => timed_out(),
                Ok(Err(status)) => not_answered(&status),
                Ok(Ok(Err(failed))) => failed,
                Ok(Ok(Ok(answer))) => {
                    placed.learn(None);
                    span.end();
                    flight.finish(Outcome::Served);
                    return Ok(answer);
                }
            };
            span.fail(failed.kind(), failed.for_operators());
            drop(span);
            if is_loss(failed.code()) {
                placed.lost();
            }
            if !attempts.fail(&failed, &self.config) || !self.has_another(&model, &attempts) {
                flight.finish(Outcome::Failed);
                traced::failed(&trace, &failed);
                return Err(failed);
            }
            traced::goes_on(&trace, &placed.replica, &failed, &Passed::default());
            self.metrics.retried();
        }
    }
}

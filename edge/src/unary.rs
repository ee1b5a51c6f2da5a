//! Requests that one message answers: charged, followed and put to a router. Embeddings, scores and tokens go this way.

use std::sync::Arc;

use cloudach_openai::Invalid;
use cloudach_proto::{unary::Unary, v1::ErrorCode};

use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost},
    catalog::Model,
    error::ApiError,
    http::arrival::Arrival,
    metrics::Endpoint,
    usage::{Meter, Metered},
};

/// Who asks, and of what.
pub struct Asking<'a> {
    pub endpoint: Endpoint,
    pub arrival: &'a Arrival,
    pub caller: &'a Arc<Caller>,
    pub permit: Permit,
    /// The model as the client has named it.
    pub asked: &'a str,
    pub model: &'a Arc<Model>,
}

impl Asking<'_> {
    /// The answer to `request`, and the meter that follows it to its end.
    ///
    /// # Errors
    /// A limit is reached, or why there is no answer.
    pub async fn ask<Q: Unary>(mut self, edge: &Edge, cost: &Cost, request: Q) -> Result<(Q::Answer, Meter), ApiError> {
        self.permit.charge(edge, &self.arrival.request_id, self.model, cost).await?;
        let metered = Metered {
            endpoint: self.endpoint,
            caller: self.caller,
            arrival: self.arrival,
            asked: self.asked,
            model: self.model,
            prompt_tokens: cost.prompt_tokens,
            choices: 0,
            choices_per_prompt: 1,
            max_tokens: None,
        };
        let mut meter = Meter::start(edge, self.permit, &metered);
        match edge.upstream.answer(&self.arrival.trace, request, &edge.catalog).await {
            Ok(answer) => Ok((answer, meter)),
            Err(error) => {
                let error = too_long(error, cost.prompt_tokens);
                meter.fail(&error);
                Err(error)
            }
        }
    }
}

fn too_long(error: ApiError, counted: Option<u64>) -> ApiError {
    match error {
        ApiError::Upstream(failed)
            if failed.code() == ErrorCode::ContextLengthExceeded && failed.context_length > 0 =>
        {
            let prompt =
                if failed.prompt_tokens > 0 { failed.prompt_tokens.into() } else { counted.unwrap_or_default() };
            Invalid::prompt_context_length(failed.context_length.into(), prompt, 0).into()
        }
        error => error,
    }
}

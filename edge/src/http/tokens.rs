//! `POST /tokenize` and `POST /detokenize`, which vLLM's clients speak: the model's own tokens, as its engine knows them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::tokenization::{self, Tokenized};
use cloudach_proto::v1::{DetokenizeRequest, PromptText, TokenUsage, TokenizeRequest};

use super::{arrival::Arrival, body::Whole};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost},
    error::ApiError,
    metrics::{Endpoint, Outcome},
    offers::Offer,
    prompt,
    unary::Asking,
};

/// It is a request like any other, and uses no tokens.
const FREE: Cost = Cost { prompt_tokens: Some(0), prompt_bytes: 0, max_tokens: None, choices: 0 };

pub async fn tokenize(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let bytes = body.len();
    let request = edge.work.run(bytes, move || tokenization::parse_tokenize(&body)).await??;
    let model = edge.catalog.tokenizing(&request.model).await?;
    permit.check(&model.id)?;
    let text = match request.of {
        Tokenized::Prompt(text) => text,
        Tokenized::Chat(chat) => {
            let offer = Offer::or_of(None, &edge, &chat.tools, bytes).await?;
            prompt::chat(&edge, &caller.tenant, &model, chat, &offer, bytes).await?.1.text
        }
    };
    let asked = TokenizeRequest {
        request_id: arrival.request_id.to_string(),
        model: model.id.clone(),
        prompt: Some(PromptText { text, add_special_tokens: request.add_special_tokens }),
        texts: request.return_token_strs,
        context: Some(edge.context(&arrival, &caller, caller.priority)),
    };
    let asking = Asking {
        endpoint: Endpoint::Tokenize,
        arrival: &arrival,
        caller: &caller,
        permit,
        asked: &request.model,
        model: &model,
    };
    let (tokens, mut meter) = asking.ask(&edge, &FREE, asked).await?;
    meter.answered(tokens.replica, TokenUsage::default());
    let max_model_len = model.context_length();
    let write = move || {
        let texts = request.return_token_strs.then_some(tokens.texts.as_slice());
        tokenization::tokenize_body(&tokens.ids, texts, max_model_len)
    };
    let body = edge.work.run(bytes, write).await?;
    meter.finish(Outcome::Served);
    Ok(json(body))
}

pub async fn detokenize(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let request = edge.work.run(body.len(), move || tokenization::parse_detokenize(&body)).await??;
    let model = edge.catalog.tokenizing(&request.model).await?;
    permit.check(&model.id)?;
    let asked = DetokenizeRequest {
        request_id: arrival.request_id.to_string(),
        model: model.id.clone(),
        ids: request.tokens,
        context: Some(edge.context(&arrival, &caller, caller.priority)),
    };
    let asking = Asking {
        endpoint: Endpoint::Detokenize,
        arrival: &arrival,
        caller: &caller,
        permit,
        asked: &request.model,
        model: &model,
    };
    let (text, mut meter) = asking.ask(&edge, &FREE, asked).await?;
    meter.answered(text.replica, TokenUsage::default());
    let bytes = text.text.len();
    let body = edge.work.run(bytes, move || tokenization::detokenize_body(&text.text)).await?;
    meter.finish(Outcome::Served);
    Ok(json(body))
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_model::tokens::{Encoding, decode};
use cloudach_openai::{Invalid, PromptInput, embeddings};
use cloudach_proto::v1::EmbedRequest;
use cloudach_service::trace::names;

use super::{arrival::Arrival, body::Whole, headers};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost},
    catalog::{Counting, Model},
    error::ApiError,
    generations::text_prompt,
    metrics::{Endpoint, Outcome},
    tokens,
    unary::Asking,
    work::Work,
};

/// The encoding of token ids that clients send for embedding: LangChain uses it for every model it does not know.
const CLIENTS_ENCODING: Encoding = Encoding::Cl100kBase;

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let step = arrival.trace.step("translate");
    let request = edge.work.run(body.len(), move || embeddings::parse(&body)).await??;
    step.end();
    arrival.trace.set_text(names::MODEL_ASKED, &request.model);
    let model = edge.catalog.embedding(&request.model).await?;
    permit.check(&model.id)?;

    let prompt_bytes = tokens::bytes(&request.inputs);
    let (inputs, prompt_tokens) = prepare(&edge.work, &model, request.inputs).await?;
    let cost = Cost { prompt_tokens, prompt_bytes, max_tokens: None, choices: 0 };
    let embedding = EmbedRequest {
        request_id: arrival.request_id.to_string(),
        model: model.id.clone(),
        inputs: inputs.into_iter().map(|text| text_prompt(text, true)).collect(),
        dimensions: request.dimensions,
        context: Some(edge.context(&arrival, &caller, caller.priority)),
    };
    let asking = Asking {
        endpoint: Endpoint::Embeddings,
        arrival: &arrival,
        caller: &caller,
        permit,
        asked: &request.model,
        model: &model,
    };
    let (embeddings, mut meter) = asking.ask(&edge, &cost, embedding).await?;
    let usage = meter.answered(embeddings.replica, embeddings.usage.unwrap_or_default());
    let (name, encoding, data) = (request.model, request.encoding, embeddings.data);
    let bytes = data.iter().map(|embedding| size_of_val(embedding.values.as_slice())).sum();
    let write = move || {
        let vectors = data.iter().map(|embedding| embedding.values.as_slice());
        (embeddings::body(&name, vectors, encoding, usage.prompt_tokens), name)
    };
    let (body, name) = edge.work.run(bytes, write).await?;
    meter.finish(Outcome::Served);
    let response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    Ok(headers::name_model(response, &name))
}

/// The inputs as text, and their count. Engines would take token ids for their own model's, which no client of
/// OpenAI means (compat-spec, langchain-openai).
async fn prepare(work: &Work, model: &Model, inputs: Vec<PromptInput>) -> Result<(Vec<String>, Option<u64>), ApiError> {
    let counting = model.counting;
    let bytes = tokens::bytes(&inputs);
    let prepare = move || {
        let count = match counting {
            Counting::Engine => None,
            Counting::Tiktoken(encoding) => Some(inputs.iter().map(|input| tokens::count_input(encoding, input)).sum()),
        };
        let texts = inputs.into_iter().enumerate().map(|(index, input)| text(index, input));
        Ok((texts.collect::<Result<_, Invalid>>()?, count))
    };
    work.run(bytes, prepare).await?
}

fn text(index: usize, input: PromptInput) -> Result<String, Invalid> {
    match input {
        PromptInput::Text(text) => Ok(text),
        PromptInput::Tokens(ids) => decode(CLIENTS_ENCODING, &ids).map_err(|error| Invalid {
            message: format!("Invalid 'input[{index}]': {error}"),
            param: Some("input".to_owned()),
            code: None,
        }),
    }
}

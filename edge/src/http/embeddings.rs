//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_model::tokens::{Encoding, decode};
use cloudach_openai::{Invalid, PromptInput, embeddings};
use cloudach_proto::v1::{EmbedRequest, ErrorCode};
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
    usage::{Meter, Metered},
    work::Work,
};

/// The encoding of token ids that clients send for embedding: LangChain uses it for every model it does not know.
const CLIENTS_ENCODING: Encoding = Encoding::Cl100kBase;

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    mut permit: Permit,
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
    permit.charge(&edge, &arrival.request_id, &model, &cost).await?;
    let metered = Metered {
        endpoint: Endpoint::Embeddings,
        caller: &caller,
        arrival: &arrival,
        asked: &request.model,
        model: &model,
        prompt_tokens,
        choices: 0,
        choices_per_prompt: 1,
        max_tokens: None,
    };
    let mut meter = Meter::start(&edge, permit, &metered);
    let embedding = EmbedRequest {
        request_id: arrival.request_id.clone(),
        model: model.id.clone(),
        inputs: inputs.into_iter().map(|text| text_prompt(text, true)).collect(),
        dimensions: request.dimensions,
        context: Some(edge.context(&arrival, &caller, caller.priority)),
    };
    let embeddings = match edge.upstream.embed(&arrival.trace, embedding, &edge.catalog).await {
        Ok(embeddings) => embeddings,
        Err(error) => {
            let error = too_long(error, prompt_tokens);
            meter.fail(&error);
            return Err(error);
        }
    };
    let usage = meter.embedded(embeddings.replica, embeddings.usage.unwrap_or_default());
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

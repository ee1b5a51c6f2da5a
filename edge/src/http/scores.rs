//! `POST /v1/rerank` and `POST /v1/score`, each by its other names as well.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::{ids, scores};
use cloudach_proto::v1::{ScoreRequest, Scores};

use super::{
    arrival::{self, Arrival},
    body::Whole,
    headers,
};
use crate::{
    Edge,
    access::{admission::Permit, caller::Caller, limits::Cost},
    catalog::Counting,
    error::ApiError,
    metrics::{Endpoint, Outcome},
    tokens,
    unary::Asking,
    usage::Meter,
};

pub async fn rerank(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let request = edge.work.run(body.len(), move || scores::parse_rerank(&body)).await??;
    let (name, documents) = (request.scores.model.clone(), request.scores.documents.clone());
    let asked = Asked { endpoint: Endpoint::Rerank, arrival: &arrival, caller: &caller, permit };
    let (told, mut meter) = score(&edge, asked, request.scores).await?;
    let prompt_tokens = meter.answered(told.replica, told.usage.unwrap_or_default()).prompt_tokens;
    let id = ids::rerank(arrival::random());
    let bytes = documents.iter().map(String::len).sum();
    let write = move || {
        let documents = request.return_documents.then_some(documents.as_slice());
        (scores::rerank_body(&id, &name, &told.data, documents, request.top_n, prompt_tokens), name)
    };
    let (body, name) = edge.work.run(bytes, write).await?;
    meter.finish(Outcome::Served);
    Ok(respond(body, &name))
}

pub async fn create(
    State(edge): State<Edge>,
    arrival: Arrival,
    caller: Arc<Caller>,
    permit: Permit,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let request = edge.work.run(body.len(), move || scores::parse_score(&body)).await??;
    let name = request.model.clone();
    let asked = Asked { endpoint: Endpoint::Score, arrival: &arrival, caller: &caller, permit };
    let (told, mut meter) = score(&edge, asked, request).await?;
    let prompt_tokens = meter.answered(told.replica, told.usage.unwrap_or_default()).prompt_tokens;
    let id = ids::score(arrival::random());
    let body = scores::score_body(&id, arrival.unix, &name, &told.data, prompt_tokens);
    meter.finish(Outcome::Served);
    Ok(respond(body, &name))
}

/// Who asks.
struct Asked<'a> {
    endpoint: Endpoint,
    arrival: &'a Arrival,
    caller: &'a Arc<Caller>,
    permit: Permit,
}

async fn score(edge: &Edge, asked: Asked<'_>, request: scores::ScoreRequest) -> Result<(Scores, Meter), ApiError> {
    let Asked { endpoint, arrival, caller, permit } = asked;
    let name = request.model;
    let model = edge.catalog.scoring(&name).await?;
    permit.check(&model.id)?;
    let (queries, documents) = (request.queries, request.documents);
    let prompt_bytes = pairs(&queries, &documents, |text| text.len() as u64);
    let prompt_bytes = usize::try_from(prompt_bytes).unwrap_or(usize::MAX);
    let counting = model.counting;
    let count = move || {
        let tokens = match counting {
            Counting::Engine => None,
            Counting::Tiktoken(encoding) => {
                Some(pairs(&queries, &documents, |text| tokens::count_text(encoding, text)))
            }
        };
        (tokens, queries, documents)
    };
    let (prompt_tokens, queries, documents) = edge.work.run(prompt_bytes, count).await?;
    let cost = Cost { prompt_tokens, prompt_bytes, max_tokens: None, choices: 0 };
    let request = ScoreRequest {
        request_id: arrival.request_id.to_string(),
        model: model.id.clone(),
        queries,
        documents,
        truncate_tokens: request.truncate_tokens,
        context: Some(edge.context(arrival, caller, caller.priority)),
    };
    Asking { endpoint, arrival, caller, permit, asked: &name, model: &model }.ask(edge, &cost, request).await
}

/// What all pairs measure together, each text being measured once.
fn pairs(queries: &[String], documents: &[String], measure: impl Fn(&str) -> u64) -> u64 {
    let queries: u64 = match queries {
        [query] => measure(query).saturating_mul(documents.len() as u64),
        queries => queries.iter().map(|query| measure(query)).sum(),
    };
    documents.iter().map(|document| measure(document)).fold(queries, u64::saturating_add)
}

fn respond(body: Vec<u8>, model: &str) -> Response {
    headers::name_model(([(header::CONTENT_TYPE, "application/json")], body).into_response(), model)
}

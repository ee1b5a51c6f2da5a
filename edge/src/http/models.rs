//! `GET /v1/models` and `GET /v1/models/{id}`

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cloudach_openai::models::{self, Model};

use super::headers::Reach;
use crate::{Edge, access::caller::Caller, catalog, error::ApiError, http::url::Path};

pub async fn list(State(edge): State<Edge>, caller: Arc<Caller>) -> Result<Response, ApiError> {
    let all = edge.catalog.all()?;
    let all = all.iter().filter(|(_, routed)| routed.allows(|name| caller.may_use(name)));
    let body = models::list(all.map(|(name, routed)| shown(name, &routed.model)));
    Ok(json(body))
}

pub async fn show(State(edge): State<Edge>, caller: Arc<Caller>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let routed = edge.catalog.shown(&id).map_err(|error| match error {
        ApiError::UnknownModel(id) => ApiError::NoSuchModel(id),
        error => error,
    })?;
    if !routed.allows(|name| caller.may_use(name)) {
        return Err(ApiError::NoSuchModel(id));
    }
    Ok(json(models::one(shown(&id, &routed.model))))
}

fn shown<'a>(name: &'a str, model: &'a catalog::Model) -> Model<'a> {
    Model { id: name, created: model.created, owned_by: &model.owned_by }
}

fn json(body: Vec<u8>) -> Response {
    (Extension(Reach::Models), [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

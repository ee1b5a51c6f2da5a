//! `GET /v1/files/{id}/content`: what is in a file.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{find, place};
use crate::{Edge, access::caller::Caller, error::ApiError, http::url::Path, responses::follow::holding};

pub async fn show(State(edge): State<Edge>, caller: Arc<Caller>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let place = place(&caller, &id)?;
    let (file, bytes) = find(&edge.files, &place).await?;
    // Who reads a file holds a place for as long.
    let room = edge.admission.place()?;
    let content = Body::from_stream(holding(room, edge.files.content(place, &file)));
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_LENGTH, bytes.to_string())];
    Ok((headers, content).into_response())
}

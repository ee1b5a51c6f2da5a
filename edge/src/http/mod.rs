//! The HTTP surface: which path leads where.

pub mod accept;
pub mod api;
pub mod arrival;
mod batches;
mod body;
mod chat;
mod completions;
pub mod connection;
mod conversations;
mod embeddings;
mod files;
pub mod headers;
pub mod idempotent;
mod messages;
mod models;
mod pages;
pub mod peer;
mod respond;
mod responses;
mod scores;
mod socket;
mod streaming;
mod tokens;
mod unread;
mod url;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::Method,
    response::IntoResponse,
    routing::{get, post},
};

use crate::{Edge, access::account::Account, error::ApiError, trace};

/// Every path of the API.
fn routes(edge: Edge) -> Router {
    let files = if edge.config.files.enabled { files_and_batches() } else { Router::new() };
    Router::new()
        .merge(files)
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/completions", post(completions::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/rerank", post(scores::rerank))
        .route("/v2/rerank", post(scores::rerank))
        .route("/rerank", post(scores::rerank))
        .route("/v1/score", post(scores::create))
        .route("/score", post(scores::create))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/v1/responses", post(responses::create::create))
        .route("/v1/responses/input_tokens", post(responses::input_tokens::count))
        .route("/v1/responses/{id}", get(responses::retrieve::show).delete(responses::remove::remove))
        .route("/v1/responses/{id}/cancel", post(responses::cancel::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items::list))
        .route("/v1/conversations", post(conversations::create))
        .route(
            "/v1/conversations/{id}",
            get(conversations::show).post(conversations::update).delete(conversations::remove),
        )
        .route("/v1/conversations/{id}/items", get(conversations::items::list).post(conversations::items::add))
        .route(
            "/v1/conversations/{id}/items/{item}",
            get(conversations::items::show).delete(conversations::items::remove),
        )
        .route("/v1/models", get(models::list))
        // A wildcard, because ids may hold slashes.
        .route("/v1/models/{*id}", get(models::show))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_url)
        .with_state(edge)
}

fn files_and_batches() -> Router<Edge> {
    // Files have bounds of their own.
    let create = post(files::create::create).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/v1/files", get(files::list::list).merge(create))
        .route("/v1/files/{id}", get(files::retrieve::show).delete(files::remove::remove))
        .route("/v1/files/{id}/content", get(files::content::show))
        .route("/v1/batches", get(batches::list::list).post(batches::create::create))
        .route("/v1/batches/{id}", get(batches::retrieve::show))
        .route("/v1/batches/{id}/cancel", post(batches::cancel::cancel))
}

async fn unknown_url(request: Request) -> impl IntoResponse {
    let (method, path) = names(&request);
    ApiError::UnknownUrl { method, path }
}

async fn wrong_method(request: Request) -> impl IntoResponse {
    if let Some(account) = request.extensions().get::<Account>() {
        trace::matched(account.trace(), request.method(), request.extensions());
    }
    let (method, path) = names(&request);
    ApiError::WrongMethod { method, path }
}

fn names(request: &Request) -> (String, String) {
    const SHOWN: usize = 200;
    let method = if request.method() == Method::CONNECT { "CONNECT" } else { request.method().as_str() };
    let shorten = |text: &str| text.chars().take(SHOWN).collect();
    (shorten(method), shorten(request.uri().path()))
}

//! The API as clients meet it: its routes, and what surrounds every request.

use std::convert::Infallible;

use axum::{Router, extract::Request, response::Response};
use tower::Service;

use super::{arrival, idempotent, routes, unread};
use crate::Edge;

/// The API. Clones share it.
#[derive(Clone)]
pub struct Api {
    edge: Edge,
    routes: Router,
}

impl Api {
    /// The API of this edge.
    pub fn new(edge: Edge) -> Self {
        Self { routes: routes(edge.clone()), edge }
    }

    /// The edge that it is of.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Answers a request: gives it its id, a refusal its words and status, and every answer its headers, runs what has an
    /// idempotency key once, and reads what a refusal has left unread. Plain calls instead of layers, which cost each request
    /// some boxes and a copy of all the routes.
    pub async fn answer(&self, request: Request) -> Response {
        let once = |request| idempotent::once(&self.edge, request, |request| self.route(request));
        unread::discard(request, |request| arrival::stamp(&self.edge, request, once)).await
    }

    async fn route(&self, request: Request) -> Response {
        // Routes are ready at any time.
        let answered: Result<Response, Infallible> = self.routes.clone().call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

//! What operators look into a running process with, on its admin address: the traces that it remembers, and a profile of its
//! processor's time.

use axum::Router;

use crate::{admin_token::AdminToken, trace::Tracer};

/// The routes, for those who have the token. Where there is none, traces are for everybody who reaches the address, and
/// profiles, which cost something, for nobody.
pub fn routes(tracer: &Tracer, token: Option<AdminToken>) -> Router {
    let routes = tracer.routes();
    match token {
        Some(token) => token.protect(routes.merge(profile())),
        None => routes,
    }
}

#[cfg(feature = "pprof")]
fn profile() -> Router {
    crate::profile::routes()
}

/// Whoever asks is told what is missing.
#[cfg(not(feature = "pprof"))]
fn profile() -> Router {
    use axum::{http::StatusCode, routing::get};

    let missing = (StatusCode::NOT_IMPLEMENTED, "this program was built without the feature `pprof`\n");
    Router::new().route("/debug/pprof/profile", get(move || std::future::ready(missing)))
}

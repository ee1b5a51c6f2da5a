//! The admin API: keys and tenants, on the admin address, for whoever has the admin token. `openapi.json` describes it.

mod error;
mod fields;
mod keys;
mod patch;
mod tenants;

use std::{sync::Arc, time::SystemTime};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    access::{
        keys::{KeyHash, hex},
        pepper::Pepper,
    },
    http::arrival::random,
    store::Store,
};
use error::AdminError;

/// The description of this API.
const OPENAPI: &str = include_str!("openapi.json");

/// The largest body, in bytes.
const MOST_BODY: usize = 64 * 1024;

/// How the admin API is entered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminApi {
    /// The SHA-256 of the token, in hex: `printf %s "$TOKEN" | sha256sum`.
    pub token_sha256: KeyHash,
}

/// What the admin API works on. Clones share it.
#[derive(Debug, Clone)]
pub struct Admin(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    pepper: Pepper,
    token: KeyHash,
}

impl Admin {
    /// An API for what is in `store`.
    pub fn new(api: &AdminApi, store: Store, pepper: Pepper) -> Self {
        Self(Arc::new(Parts { store, pepper, token: api.token_sha256 }))
    }

    /// Every path.
    pub fn routes(self) -> Router {
        let guarded = Router::new()
            .route("/admin/v1/keys", post(keys::create).get(keys::list))
            .route("/admin/v1/keys/{id}", get(keys::show).patch(keys::change).delete(keys::delete))
            .route("/admin/v1/keys/{id}/rotate", post(keys::rotate))
            .route("/admin/v1/keys/{id}/revoke", post(keys::revoke))
            .route("/admin/v1/tenants", post(tenants::create).get(tenants::list))
            .route("/admin/v1/tenants/{id}", get(tenants::show).patch(tenants::change).delete(tenants::delete))
            .layer(DefaultBodyLimit::max(MOST_BODY))
            .layer(middleware::from_fn_with_state(self.clone(), enter))
            .with_state(self);
        guarded.route("/admin/v1/openapi.json", get(openapi)).method_not_allowed_fallback(wrong_method)
    }
}

/// Compares hashes, whose bytes nobody can choose, so its time tells nothing.
async fn enter(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if token.is_some_and(|token| KeyHash::of(token) == admin.0.token) {
        next.run(request).await
    } else {
        AdminError::WrongToken.into_response()
    }
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn wrong_method() -> AdminError {
    AdminError::WrongMethod
}

/// Seconds since 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// An id that sorts by age.
fn new_id(prefix: &str) -> String {
    let ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{prefix}_{ms:012x}{}", hex(&random::<8>()))
}

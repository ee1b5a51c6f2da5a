//! The admin API: keys, tenants and what was used, on the admin address, for whoever has the admin token. `openapi.json` describes it.

mod error;
pub(crate) mod fields;
mod keys;
mod organization;
mod page;
mod patch;
mod tenants;
mod usage;

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
            .route("/admin/v1/usage", get(usage::report))
            .route("/admin/v1/usage/records", get(usage::records))
            .route("/v1/organization/usage/completions", get(organization::completions))
            .route("/v1/organization/usage/embeddings", get(organization::embeddings))
            .route("/v1/organization/costs", get(organization::costs))
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::access::directory::{KeyRecord, TenantRecord};

    fn schemas() -> Value {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        document["components"]["schemas"].clone()
    }

    fn names(value: &Value) -> Vec<String> {
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// What is described is what is kept, but for what nobody is shown.
    #[test]
    fn the_description_has_the_fields_of_the_documents() {
        let everything = r#"{
            "id": "i", "name": "n", "tenant": "t", "project": "p", "hint": "h", "fingerprint": "f",
            "previous": { "fingerprint": "f", "until": 1 }, "created": 1, "expires": 2, "revoked": 3, "models": ["m"], "priority": "low"
        }"#;
        let schemas = schemas();
        let key: KeyRecord = serde_json::from_str(everything).unwrap();
        let shown = keys::shown(&key).unwrap();
        assert_eq!(names(&shown), names(&schemas["Key"]["properties"]));
        assert_eq!(names(&shown["previous"]), names(&schemas["Key"]["properties"]["previous"]["properties"]));
        let tenant: TenantRecord = serde_json::from_str(everything).unwrap();
        assert_eq!(names(&serde_json::to_value(tenant).unwrap()), names(&schemas["Tenant"]["properties"]));
    }

    /// Each field that is described is taken, and no other is.
    #[test]
    fn the_description_has_the_fields_that_are_taken() {
        let schemas = schemas();
        let refused = |name: &str, body: Value| match name {
            "NewKey" => serde_json::from_value::<keys::New>(body).err(),
            "KeyChange" => serde_json::from_value::<keys::Change>(body).err(),
            "Rotation" => serde_json::from_value::<keys::Rotation>(body).err(),
            "NewTenant" => serde_json::from_value::<tenants::New>(body).err(),
            _ => serde_json::from_value::<tenants::Change>(body).err(),
        };
        for name in ["NewKey", "KeyChange", "Rotation", "NewTenant", "TenantChange"] {
            let described = names(&schemas[name]["properties"]);
            // The refusal of what is unknown lists what is known.
            let error = refused(name, serde_json::json!({ "nobody": 1 })).unwrap().to_string();
            let known: Vec<_> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
            let mut sorted = known.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, described, "{name}: {error}");
        }
    }
}

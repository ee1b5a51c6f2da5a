//! The token of an admin address: who has it may see what is not for everybody who reaches the port.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;

/// How what is protected on an admin address is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminAccess {
    /// The SHA-256 of the token, in hex: `printf %s "$TOKEN" | sha256sum`.
    pub token_sha256: AdminToken,
}

/// The hash of an admin token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AdminToken([u8; 32]);

/// The text is no SHA-256.
#[derive(Debug, thiserror::Error)]
#[error("a token's sha256 is 64 hexadecimal digits; `printf %s \"$TOKEN\" | sha256sum` prints it")]
pub struct NotAHash;

impl From<[u8; 32]> for AdminToken {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl TryFrom<String> for AdminToken {
    type Error = NotAHash;

    fn try_from(hex: String) -> Result<Self, NotAHash> {
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotAHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(bytes))
    }
}

impl AdminToken {
    /// Whether a request bears it. Compares hashes, whose bytes nobody can choose, so its time tells nothing.
    fn lets_in(self, request: &Request) -> bool {
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        token.is_some_and(|token| digest(&SHA256, token.as_bytes()).as_ref() == self.0)
    }

    /// The same routes, for those who have the token.
    pub fn protect(self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self, enter))
    }
}

async fn enter(State(token): State<AdminToken>, request: Request, next: Next) -> Response {
    if token.lets_in(&request) {
        return next.run(request).await;
    }
    let message = "the admin token is missing or wrong";
    let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": "wrong_token" } });
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_the_token_lets_in() {
        // The words `open sesame`.
        let hash = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
        let token = AdminToken::try_from(hash.to_owned()).unwrap();
        assert_eq!(AdminToken::try_from(hash.to_uppercase()).unwrap(), token);
        for wrong in ["", &hash[1..], &hash.replace('4', "g"), &hash.replacen("41", "+1", 1)] {
            assert!(AdminToken::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        let request =
            |value: &str| Request::builder().header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
        assert!(token.lets_in(&request("Bearer open sesame")) && token.lets_in(&request("bearer  open sesame ")));
        for wrong in ["Bearer open", "Bearer ", "open sesame", "Basic open sesame", hash] {
            assert!(!token.lets_in(&request(wrong)), "{wrong}");
        }
        assert!(!token.lets_in(&Request::new(Body::empty())));
    }
}

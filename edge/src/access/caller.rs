//! Who asks: read from the request's headers before anything else of it.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use crate::{Edge, error::ApiError};

/// The owner of a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's name.
    pub key: String,
    /// The organisation or project. Empty: none.
    pub tenant: String,
}

impl FromRequestParts<Edge> for Arc<Caller> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let key = key(&parts.headers).ok_or(ApiError::NoKey)?;
        edge.keys.find(key).ok_or_else(|| ApiError::WrongKey(masked(key)))
    }
}

/// The key of `Authorization: Bearer` or `x-api-key`.
fn key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let api_key = || headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(api_key).filter(|key| !key.is_empty())
}

/// A wrong key as OpenAI shows it: enough to recognise a mix-up, not enough to use.
fn masked(key: &str) -> String {
    const WHOLE: usize = 12;
    let chars: Vec<char> = key.chars().take(512).collect();
    if chars.len() <= WHOLE {
        return chars.into_iter().collect();
    }
    let first: String = chars[..8].iter().collect();
    let last: String = chars[chars.len() - 4..].iter().collect();
    format!("{first}{}{last}", "*".repeat(chars.len() - WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn keys_come_by_either_header() {
        assert_eq!(key(&headers("authorization", "Bearer sk-1")), Some("sk-1"));
        assert_eq!(key(&headers("authorization", "bearer  sk-1 ")), Some("sk-1"));
        assert_eq!(key(&headers("x-api-key", "sk-1")), Some("sk-1"));
        for nothing in ["", "Bearer", "Bearer  ", "Basic abc"] {
            assert_eq!(key(&headers("authorization", nothing)), None, "{nothing}");
        }
    }

    #[test]
    fn wrong_keys_are_masked() {
        assert_eq!(masked("short"), "short");
        assert_eq!(masked("abcdefgh1234wxyz"), "abcdefgh****wxyz");
    }
}

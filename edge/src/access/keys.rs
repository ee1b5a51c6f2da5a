//! The keys that may ask, held as hashes: the edge never knows a key, only recognises it.

use std::{collections::HashMap, fmt::Write, num::NonZeroU64, sync::Arc, time::Instant};

use axum::http::HeaderValue;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{caller::Caller, limits::Limiter};
use crate::{config::RateLimits, http::headers::header_value};

/// The organization and the project of keys that name none.
const DEFAULT: &str = "default";

/// A key as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// For people: shown in usage records.
    pub name: String,
    /// The SHA-256 of the key, in hex. Keys are long and random, so the plain hash gives nothing away.
    pub sha256: KeyHash,
    /// The organisation that its requests belong to: in usage records, in the header `openai-organization` and in the
    /// texts of rate limits, there as `default` where it is empty.
    #[serde(default)]
    pub tenant: String,
    /// For the header `openai-project`.
    #[serde(default = "default_name")]
    pub project: String,
    /// What differs from the limits of all keys.
    #[serde(default)]
    pub rate_limits: KeyRateLimits,
    /// Requests are refused as at OpenAI when the quota is used up, until this is taken back.
    #[serde(default)]
    pub suspended: bool,
}

impl KeyConfig {
    /// A key of no tenant, with the limits of all keys.
    pub fn new(name: impl Into<String>, sha256: KeyHash) -> Self {
        Self {
            name: name.into(),
            sha256,
            tenant: String::new(),
            project: default_name(),
            rate_limits: KeyRateLimits::default(),
            suspended: false,
        }
    }
}

/// A key's own limits, at each edge. What is absent is as for all keys.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRateLimits {
    /// Requests a minute.
    pub requests_per_minute: Option<NonZeroU64>,
    /// Tokens a minute, prompts and completions together.
    pub tokens_per_minute: Option<NonZeroU64>,
}

/// The SHA-256 of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyHash([u8; 32]);

/// The text is no SHA-256.
#[derive(Debug, thiserror::Error)]
#[error("a key's sha256 is 64 hexadecimal digits; `printf %s \"$KEY\" | sha256sum` prints it")]
pub struct NotAHash;

impl KeyHash {
    /// Hashes a key as a client sends it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The form that [`KeyConfig`] reads.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl TryFrom<String> for KeyHash {
    type Error = NotAHash;

    fn try_from(hex: String) -> Result<Self, NotAHash> {
        if hex.len() != 64 || !hex.is_ascii() {
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

/// All keys. Looking one up compares hashes, whose bytes a client cannot choose, so its time tells nothing.
#[derive(Debug)]
pub struct Keys {
    callers: HashMap<KeyHash, Arc<Caller>>,
}

impl Keys {
    /// The keys of a configuration, with the limits of those that have none of their own.
    pub fn new(keys: &[KeyConfig], limits: RateLimits, now: Instant) -> Self {
        let caller = |key: &KeyConfig| Caller {
            key: key.name.clone(),
            tenant: key.tenant.clone(),
            organization: label(&key.tenant),
            project: label(&key.project),
            suspended: key.suspended,
            limiter: Arc::new(Limiter::new(limits.overridden_by(key.rate_limits), now)),
        };
        Self { callers: keys.iter().map(|key| (key.sha256, Arc::new(caller(key)))).collect() }
    }

    /// Whose key this is.
    pub fn find(&self, key: &str) -> Option<Arc<Caller>> {
        self.callers.get(&KeyHash::of(key)).cloned()
    }
}

/// A name of the configuration as a header carries it.
fn label(name: &str) -> HeaderValue {
    header_value(name).unwrap_or(HeaderValue::from_static(DEFAULT))
}

fn default_name() -> String {
    DEFAULT.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let hash = KeyHash::of("sk-test");
        assert_eq!(KeyHash::try_from(hash.to_hex()).unwrap(), hash);
        assert!(KeyHash::try_from("zz".repeat(32)).is_err());
        assert!(KeyHash::try_from("é".repeat(32)).is_err());
        let key = KeyConfig { tenant: "t".to_owned(), ..KeyConfig::new("a", hash) };
        let keys = Keys::new(&[key], RateLimits::default(), Instant::now());
        assert_eq!(keys.find("sk-test").unwrap().tenant, "t");
        assert!(keys.find("sk-tesu").is_none());
    }

    #[test]
    fn names_become_fit_for_headers() {
        for (name, header) in
            [("", "default"), ("acme", "acme"), ("a\r\nb: c", "ab: c"), ("\u{fc}ber", "ber"), ("\u{fc} ", "default")]
        {
            let key = KeyConfig { tenant: name.to_owned(), ..KeyConfig::new("a", KeyHash::of("sk-test")) };
            let caller = Keys::new(&[key], RateLimits::default(), Instant::now()).find("sk-test").unwrap();
            assert_eq!((caller.organization_name(), caller.tenant.as_str()), (header, name));
            assert_eq!(caller.project, "default");
        }
    }

    #[test]
    fn a_key_may_have_limits_of_its_own() {
        let limits = KeyRateLimits { tokens_per_minute: NonZeroU64::new(7), ..KeyRateLimits::default() };
        let key = KeyConfig { rate_limits: limits, ..KeyConfig::new("a", KeyHash::of("sk-test")) };
        let keys = Keys::new(&[key], RateLimits::default(), Instant::now());
        let standing = keys.find("sk-test").unwrap().limiter.standing(Instant::now());
        assert_eq!((standing.requests.limit, standing.tokens.limit), (600_000, 7));
    }
}

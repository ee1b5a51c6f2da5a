//! The keys that the configuration names, held as hashes: the edge never knows a key, only recognises it.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    caller::{Caller, label},
    limits::{Limit, Limits},
    priority::Priority,
};

/// The organization and the project of keys that name none.
const DEFAULT: &str = "default";

/// What the ids of the configuration's keys begin with.
pub const CONFIGURED: &str = "configured-";

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
    pub rate_limits: Limits,
    /// Requests are refused as at OpenAI when the quota is used up, until this is taken back.
    #[serde(default)]
    pub suspended: bool,
    /// How urgent its requests are among others that wait for the same model: `high`, `normal` or `low`.
    #[serde(default)]
    pub priority: Priority,
}

impl KeyConfig {
    /// A key of no tenant, with the limits of all keys.
    pub fn new(name: impl Into<String>, sha256: KeyHash) -> Self {
        Self {
            name: name.into(),
            sha256,
            tenant: String::new(),
            project: default_name(),
            rate_limits: Limits::default(),
            suspended: false,
            priority: Priority::default(),
        }
    }
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
        hex(&self.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
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

/// Bytes as people write them.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let mut hex = String::with_capacity(2 * bytes.len());
    hex.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]));
    hex
}

/// The limits of keys that have none of their own, beside what is configured: high enough that nobody meets them unawares.
pub const DEFAULT_LIMITS: Limits = Limits {
    requests_per_minute: Limit::new(600_000),
    tokens_per_minute: Limit::new(1_000_000_000),
    requests_per_day: None,
    tokens_per_day: None,
    concurrent_requests: None,
};

/// The keys of the configuration. Looking one up compares hashes, whose bytes a client cannot choose, so its time tells
/// nothing.
#[derive(Debug)]
pub struct ConfiguredKeys {
    callers: HashMap<KeyHash, Arc<Caller>>,
}

impl ConfiguredKeys {
    /// The keys of a configuration, with the limits of those that have none of their own.
    pub fn new(keys: &[KeyConfig], limits: Limits) -> Self {
        let caller = |key: &KeyConfig| {
            // Names may be the same; hashes are not.
            let id = format!("{CONFIGURED}{}", hex(&key.sha256.0[..8]));
            let limits = key.rate_limits.or(limits).or(DEFAULT_LIMITS);
            Caller {
                suspended: key.suspended,
                priority: key.priority,
                organization: label(&key.tenant),
                project: label(&key.project),
                ..Caller::new(id, key.name.clone(), key.tenant.clone(), limits)
            }
        };
        Self { callers: keys.iter().map(|key| (key.sha256, Arc::new(caller(key)))).collect() }
    }

    /// Whose key has this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<Caller>> {
        self.callers.values().find(|caller| caller.key_id == id).cloned()
    }

    /// Whose key has this hash.
    pub fn find(&self, hash: &KeyHash) -> Option<Arc<Caller>> {
        self.callers.get(hash).cloned()
    }
}

/// The name of what has none.
pub fn default_name() -> String {
    DEFAULT.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(key: KeyConfig, limits: Limits) -> Arc<Caller> {
        ConfiguredKeys::new(&[key], limits).find(&KeyHash::of("sk-test")).unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let hash = KeyHash::of("sk-test");
        assert_eq!(KeyHash::try_from(hash.to_hex()).unwrap(), hash);
        assert!(KeyHash::try_from("zz".repeat(32)).is_err());
        assert!(KeyHash::try_from("é".repeat(32)).is_err());
        let key = KeyConfig { tenant: "t".to_owned(), ..KeyConfig::new("a", hash) };
        let keys = ConfiguredKeys::new(&[key], Limits::default());
        assert_eq!(*keys.find(&hash).unwrap().tenant, *"t");
        assert!(keys.find(&KeyHash::of("sk-tesu")).is_none());
    }

    #[test]
    fn names_become_fit_for_headers() {
        for (name, header) in
            [("", "default"), ("acme", "acme"), ("a\r\nb: c", "ab: c"), ("\u{fc}ber", "ber"), ("\u{fc} ", "default")]
        {
            let key = KeyConfig { tenant: name.to_owned(), ..KeyConfig::new("a", KeyHash::of("sk-test")) };
            let caller = find(key, Limits::default());
            assert_eq!((caller.organization_name(), &*caller.tenant), (header, name));
            assert_eq!(caller.project, "default");
        }
    }

    #[test]
    fn a_key_may_have_limits_of_its_own() {
        let limits = |requests, tokens| Limits {
            requests_per_minute: Limit::new(requests),
            tokens_per_minute: Limit::new(tokens),
            ..Limits::default()
        };
        let key = KeyConfig { rate_limits: limits(0, 7), ..KeyConfig::new("a", KeyHash::of("sk-test")) };
        let caller = find(key, limits(9, 8));
        assert_eq!(caller.scopes(None)[0].limits, limits(9, 7));
        let caller = find(KeyConfig::new("a", KeyHash::of("sk-test")), limits(0, 5));
        assert_eq!(caller.scopes(None)[0].limits, limits(600_000, 5));
    }
}

//! The keys that may ask, held as hashes: the edge never knows a key, only recognises it.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::caller::Caller;

/// A key as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// For people: shown in usage records.
    pub name: String,
    /// The SHA-256 of the key, in hex. Keys are long and random, so the plain hash gives nothing away.
    pub sha256: KeyHash,
    /// The organisation or project that its requests belong to.
    #[serde(default)]
    pub tenant: String,
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
    /// The keys of a configuration.
    pub fn new(keys: &[KeyConfig]) -> Self {
        let caller = |key: &KeyConfig| Arc::new(Caller { key: key.name.clone(), tenant: key.tenant.clone() });
        Self { callers: keys.iter().map(|key| (key.sha256, caller(key))).collect() }
    }

    /// Whose key this is.
    pub fn find(&self, key: &str) -> Option<Arc<Caller>> {
        self.callers.get(&KeyHash::of(key)).cloned()
    }
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
        let keys = Keys::new(&[KeyConfig { name: "a".into(), sha256: hash, tenant: "t".into() }]);
        assert_eq!(keys.find("sk-test").unwrap().tenant, "t");
        assert!(keys.find("sk-tesu").is_none());
    }
}

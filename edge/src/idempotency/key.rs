//! The key that says that two requests are one, and what they are told apart by.

use axum::http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use crate::access::keys::hex;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// As at Stripe, whose keys everybody knows.
const MOST_CHARACTERS: usize = 255;

/// What the header holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

/// The header holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl Key {
    /// The key of a request that has the header.
    ///
    /// # Errors
    /// There are several, or it is empty, too long or not printable ASCII.
    pub fn of(headers: &HeaderMap) -> Result<Self, InvalidKey> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(InvalidKey) };
        let text = value.to_str().map_err(|_| InvalidKey)?.trim();
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if text.is_empty() || text.len() > MOST_CHARACTERS || !is_printable {
            return Err(InvalidKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// Where the request and its answer are in the store: of this caller's key and this endpoint alone. A hash, so that the
    /// store holds nothing of the key and names have one length.
    pub fn slot(&self, key_id: &str, path: &str) -> String {
        let mut hash = Sha256::new();
        for part in [key_id, path, &self.0] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}

/// What a body is told apart by from others.
pub fn fingerprint(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Result<Key, InvalidKey> {
        let values = values.iter().map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        Key::of(&headers)
    }

    #[test]
    fn a_key_is_one_short_printable_text() {
        for right in ["x", "stainless-node-retry-8e03978e", "\"8e03978e\"", &"k".repeat(255)] {
            assert_eq!(of(&[right.as_bytes()]), Ok(Key(right.to_owned())));
        }
        for wrong in [&b""[..], b"  ", b"a\tb", "\u{e4}".as_bytes(), &[b'k'; 256]] {
            assert_eq!(of(&[wrong]), Err(InvalidKey), "{wrong:?}");
        }
        assert_eq!(of(&[b"a", b"a"]), Err(InvalidKey));
    }

    #[test]
    fn callers_and_endpoints_have_slots_of_their_own() {
        let slots = [("k1", "/a", "x"), ("k2", "/a", "x"), ("k1", "/b", "x"), ("k1", "/a", "y"), ("k", "1/a", "x")]
            .map(|(caller, path, key)| Key(key.to_owned()).slot(caller, path));
        let distinct: std::collections::BTreeSet<_> = slots.iter().collect();
        assert_eq!(distinct.len(), slots.len());
        assert!(slots.iter().all(|slot| slot.len() == 64));
    }
}

//! Counts of texts that were counted before: a conversation that comes again with one more turn costs that turn.

use cloudach_model::tokens::{self, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;

/// A shorter text is counted as fast as it is looked up. In bytes.
const SHORTEST: usize = 256;

/// Texts that are remembered, about 60 bytes each: the hash and the count, never the text.
const MOST: usize = 65_536;

/// A text of a tenant.
type Name = [u8; 16];

/// What texts came to. Tenants share nothing, not even how long it takes to count.
pub struct Remembered {
    /// Of this process alone: nobody can make two texts that are taken for each other.
    key: Hmac<Sha256>,
    counts: Cache<Name, u64>,
}

impl Remembered {
    /// Nothing yet, under a key that nobody knows.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let key = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        Ok(Self { key, counts: Cache::new(MOST) })
    }

    /// The same as [`tokens::count`].
    pub fn count(&self, tenant: &str, encoding: Encoding, text: &str) -> u64 {
        if text.len() < SHORTEST {
            return tokens::count(encoding, text);
        }
        let name = self.name(tenant, encoding, text);
        if let Some(count) = self.counts.get(&name) {
            return count;
        }
        let count = tokens::count(encoding, text);
        self.counts.insert(name, count);
        count
    }

    fn name(&self, tenant: &str, encoding: Encoding, text: &str) -> Name {
        let mut hash = self.key.clone();
        // The tenant's name cannot run into what follows it.
        hash.update(&(tenant.len() as u64).to_le_bytes());
        for part in [tenant, encoding.name(), text] {
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize().into_bytes();
        let mut name = Name::default();
        name.copy_from_slice(&hash[..size_of::<Name>()]);
        name
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remembered({} texts)", self.counts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_counted() {
        let remembered = Remembered::new().unwrap();
        let text = "stones of the river, ".repeat(100);
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            for _ in 0..2 {
                assert_eq!(remembered.count("acme", encoding, &text), tokens::count(encoding, &text));
            }
        }
        assert_eq!(remembered.counts.len(), 2);
        remembered.count("globex", Encoding::O200kBase, &text);
        assert_eq!(remembered.counts.len(), 3, "tenants do not share");
        remembered.count("acme", Encoding::O200kBase, "short");
        assert_eq!(remembered.counts.len(), 3);
    }

    #[test]
    fn a_tenants_name_does_not_run_into_the_text() {
        let remembered = Remembered::new().unwrap();
        let name = |tenant, text| remembered.name(tenant, Encoding::O200kBase, text);
        assert_ne!(name("a", "b"), name("ao", "b"));
        assert_ne!(name("ab", ""), name("a", "b"));
        assert_eq!(name("a", "b"), name("a", "b"));
        assert_ne!(name("a", "b"), Remembered::new().unwrap().name("a", Encoding::O200kBase, "b"));
    }
}

//! Counts of texts that were counted before: a conversation that comes again with one more turn costs that turn.

use cloudach_model::tokens::{self, Encoding};
use quick_cache::sync::Cache;

use crate::names::{Name, Names};

/// A shorter text is counted as fast as it is looked up. In bytes.
const SHORTEST: usize = 256;

/// Texts that are remembered, about 60 bytes each: the hash and the count, never the text.
const MOST: usize = 65_536;

/// What texts came to. Tenants share nothing, not even how long it takes to count.
pub struct Remembered {
    names: Names,
    counts: Cache<Name, u64>,
}

impl Remembered {
    /// Nothing yet, under a key that nobody knows.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { names: Names::new()?, counts: Cache::new(MOST) })
    }

    /// The same as [`tokens::count`].
    pub fn count(&self, tenant: &str, encoding: Encoding, text: &str) -> u64 {
        if text.len() < SHORTEST {
            return tokens::count(encoding, text);
        }
        let name = self.names.of([tenant, encoding.name(), text]);
        if let Some(count) = self.counts.get(&name) {
            return count;
        }
        let count = tokens::count(encoding, text);
        self.counts.insert(name, count);
        count
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
}

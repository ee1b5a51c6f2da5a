//! Names of what a tenant sends: a keyed hash, so that what is remembered under it holds none of it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A text of a tenant.
pub type Name = [u8; 16];

/// Gives names. Those of one process alone: nobody can make two texts that are taken for each other.
pub struct Names(Hmac<Sha256>);

impl Names {
    /// Under a key that nobody knows.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length")))
    }

    /// The name of these together, of which none runs into the next.
    pub fn of(&self, parts: [&str; 3]) -> Name {
        let mut hash = self.0.clone();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize().into_bytes();
        let mut name = Name::default();
        name.copy_from_slice(&hash[..size_of::<Name>()]);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let names = Names::new().unwrap();
        let name = |tenant, text| names.of([tenant, "o200k_base", text]);
        assert_ne!(name("a", "b"), name("ao", "b"));
        assert_ne!(name("ab", ""), name("a", "b"));
        assert_ne!(names.of(["a", "b", "c"]), names.of(["a", "bc", ""]));
        assert_eq!(name("a", "b"), name("a", "b"));
        assert_ne!(name("a", "b"), Names::new().unwrap().of(["a", "o200k_base", "b"]), "each process has its own");
    }
}

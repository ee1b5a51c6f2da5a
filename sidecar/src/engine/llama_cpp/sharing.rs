//! Who may find what in the engine's cache. llama.cpp knows no salts: a prompt stays in its slot, and whoever comes next
//! with the same beginning has it read sooner. No I/O.

use parking_lot::Mutex;

/// Whose prompts the engine has had.
#[derive(Debug, Default)]
pub(super) struct Sharing(Mutex<Salts>);

#[derive(Debug, Default)]
enum Salts {
    #[default]
    None,
    One(String),
    Several,
}

impl Sharing {
    /// Whether a prompt under this salt may be found in the cache, and others find it there: as long as all had the same.
    /// After the first that has not, the cache is nobody's for as long as this lives.
    pub(super) fn admit(&self, salt: &str) -> bool {
        let mut salts = self.0.lock();
        match &*salts {
            Salts::None => *salts = Salts::One(salt.to_owned()),
            Salts::One(one) if one == salt => {}
            Salts::One(_) | Salts::Several => *salts = Salts::Several,
        }
        matches!(*salts, Salts::One(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_has_a_cache_and_two_have_none() {
        for one in ["", "a"] {
            let sharing = Sharing::default();
            assert!((0..3).all(|_| sharing.admit(one)));
            assert!(!sharing.admit("b"), "what {one:?} had read is there");
            assert!(!sharing.admit(one), "what `b` had read is there");
            assert!(!sharing.admit("b"));
        }
    }
}

//! What one schema may cost. A few lines of JSON can describe exponentially much.

use super::error::SchemaError;

/// Levels of arrays and objects in the client's schema.
pub(super) const MAX_DEPTH: usize = 128;

/// Values, names and members in the client's schema.
pub(super) const MAX_VALUES: usize = 200_000;

/// Bytes of text in the client's schema.
pub(super) const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Schemas that apply to the same value, one inside or behind the other (`allOf` in `allOf`, `$ref` to `$ref`).
pub(super) const MAX_NESTED: usize = 64;

/// Numbers, or kinds of strings, that may stand side by side.
pub(super) const MAX_ALTERNATIVES: usize = 20_000;

/// The same for arrays and objects, which cost more.
pub(super) const MAX_BRANCHES: usize = 2_000;

/// Steps of work: comparisons of two alternatives, members looked at, alternatives written. Less than a second.
const MAX_STEPS: usize = 1_000_000;

/// Steps for one attempt.
const SHARE: usize = MAX_STEPS / 50;

/// Counts work down.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: MAX_STEPS }
    }

    /// A small share for what may be given up.
    pub(super) fn part(&self) -> Self {
        Self { left: self.left.min(SHARE) }
    }

    /// Pays for what was spent of a share.
    pub(super) fn take(&mut self, part: Self) {
        self.left -= self.left.min(SHARE) - part.left;
    }

    /// Pays for `steps` of work at a place.
    pub(super) fn spend(&mut self, steps: usize, path: &str) -> Result<(), SchemaError> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(SchemaError::TooLarge { path: path.to_owned(), reason: "too much work" }),
        }
    }
}

//! A fleet that the tests of one file share, started with the first of them.

use std::ops::Deref;
use std::sync::LazyLock;

use crate::fleet::Fleet;

/// A fleet in a static.
pub struct Shared(LazyLock<Fleet>);

/// One test's use of a shared fleet: at its end every process must live and none may have panicked.
pub struct Visit(&'static Fleet);

impl Shared {
    /// A fleet that is started when it is first used.
    pub const fn new(start: fn() -> Fleet) -> Self {
        Self(LazyLock::new(start))
    }

    /// The fleet, for one test.
    pub fn visit(&'static self) -> Visit {
        Visit(&self.0)
    }
}

impl Deref for Visit {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_logs();
        } else {
            self.0.assert_well();
        }
    }
}

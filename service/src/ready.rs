//! Whether a process may be sent work: true while every named condition holds and it is not stopping.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// The conditions of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<Conditions>>,
}

#[derive(Debug, Default)]
struct Conditions {
    holds: BTreeMap<&'static str, bool>,
    stopping: bool,
}

impl Readiness {
    /// Says whether the condition called `name` holds.
    pub fn set(&self, name: &'static str, holds: bool) {
        self.conditions.lock().holds.insert(name, holds);
    }

    /// From now on this process is not ready, whatever its conditions.
    pub fn stopping(&self) {
        self.conditions.lock().stopping = true;
    }

    /// What this process waits for; empty when it is ready.
    pub fn waits_for(&self) -> Vec<&'static str> {
        let conditions = self.conditions.lock();
        if conditions.stopping {
            return vec!["stopping"];
        }
        conditions.holds.iter().filter(|(_, holds)| !**holds).map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_hold_and_not_stopping() {
        let ready = Readiness::default();
        ready.set("catalogue received", false);
        ready.set("listening", true);
        assert_eq!(ready.waits_for(), ["catalogue received"]);
        ready.set("catalogue received", true);
        assert!(ready.waits_for().is_empty());
        ready.stopping();
        assert_eq!(ready.waits_for(), ["stopping"]);
    }
}

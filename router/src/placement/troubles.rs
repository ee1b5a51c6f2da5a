//! What went wrong lately, and how long it is not tried again.

use std::{collections::BTreeMap, time::Duration};

use super::situation::Moment;

/// Before something that failed is tried again, for the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What can go wrong at a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Load(String),
    Wake,
    Sleep,
    /// Drain or unload.
    Release,
    Adapter(String),
}

/// Failures by replica and by what was tried. Bounded by the fleet and the catalogue: those of replicas that have left are
/// forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    failed: BTreeMap<(String, What), Failed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    times: u32,
    last: Moment,
}

impl Troubles {
    /// It failed, once more.
    pub fn note(&mut self, replica: &str, what: What, now: Moment) {
        let failed = self.failed.entry((replica.to_owned(), what)).or_insert(Failed { times: 0, last: now });
        *failed = Failed { times: failed.times.saturating_add(1), last: now };
    }

    /// It went well: the next failure is a first one again.
    pub fn forget(&mut self, replica: &str, what: &What) {
        self.failed.remove(&(replica.to_owned(), what.clone()));
    }

    /// Forgets what is not said of a replica that is still there.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.failed.retain(|(replica, _), _| is_there(replica));
    }

    /// Whether it is too early to try this again.
    pub fn blocks(&self, replica: &str, what: &What, now: Moment) -> bool {
        self.failed.get(&(replica.to_owned(), what.clone())).is_some_and(|failed| failed.until() > now)
    }

    /// Whether the model's load has failed anywhere so lately that it is too early to try again there.
    pub fn troubled(&self, model: &str, now: Moment) -> bool {
        self.failed
            .iter()
            .any(|((_, what), failed)| matches!(what, What::Load(of) if of == model) && failed.until() > now)
    }
}

impl Failed {
    fn until(&self) -> Moment {
        let doublings = self.times.saturating_sub(1).min(16);
        self.last + (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_anew() {
        let mut troubles = Troubles::default();
        let load = || What::Load("m".into());
        let mut now = Duration::from_secs(100);
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            troubles.note("r", load(), now);
            assert!(troubles.blocks("r", &load(), now + Duration::from_secs(pause) - Duration::from_millis(1)));
            assert!(troubles.troubled("m", now));
            now += Duration::from_secs(pause);
            assert!(!troubles.blocks("r", &load(), now) && !troubles.troubled("m", now), "{pause}");
        }
        troubles.forget("r", &load());
        troubles.note("r", load(), now);
        assert!(!troubles.blocks("r", &load(), now + FIRST_PAUSE));
        assert!(!troubles.blocks("r", &What::Wake, now) && !troubles.blocks("other", &load(), now));
        troubles.keep(|replica| replica != "r");
        assert_eq!(troubles, Troubles::default());
    }
}

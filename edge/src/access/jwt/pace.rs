//! When an issuer's keys are fetched: at the start, every `refresh`, when a token names a key that is not known, and, while
//! the issuer is away, in growing distances.

use std::time::{Duration, Instant};

/// A token that names an unknown key leads to a fetch so often at most: anybody can write such tokens.
pub const BETWEEN: Duration = Duration::from_secs(10);

/// After a failed fetch, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is known of the fetches so far. It reads no clock.
#[derive(Debug, Clone)]
pub struct Pace {
    refresh: Duration,
    began: Option<Instant>,
    failures: u32,
    next: Instant,
}

impl Pace {
    /// Nothing was fetched yet: it is time to.
    pub fn new(refresh: Duration, now: Instant) -> Self {
        Self { refresh, began: None, failures: 0, next: now }
    }

    /// When to fetch next, unless somebody asks for it before.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether a token that names an unknown key may lead to a fetch now.
    pub fn may_ask(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now.saturating_duration_since(began) >= BETWEEN)
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// It has brought keys.
    pub fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        self.next = now + self.refresh;
    }

    /// It has brought none.
    pub fn failed(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(5)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.next = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn failures_are_followed_by_growing_pauses() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(900), now);
        assert_eq!(pace.next(), now);
        let pauses: Vec<_> = (0..40)
            .map(|_| {
                pace.begin(now);
                pace.failed(now);
                (pace.next() - now).as_secs()
            })
            .collect();
        assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses[39], 30);
        pace.succeeded(now);
        assert_eq!((pace.next() - now).as_secs(), 900);
        pace.failed(now);
        assert_eq!((pace.next() - now).as_secs(), 1);
    }

    proptest! {
        /// However tokens come, what they lead to is at most one fetch in ten seconds.
        #[test]
        fn tokens_lead_to_few_fetches(gaps in prop::collection::vec(0_u64..4000, 1..200)) {
            let start = Instant::now();
            let mut pace = Pace::new(Duration::from_secs(900), start);
            let (mut now, mut fetches) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if pace.may_ask(now) {
                    pace.begin(now);
                    pace.succeeded(now);
                    fetches.push(now);
                }
            }
            prop_assert_eq!(fetches.is_empty(), false);
            prop_assert!(fetches.windows(2).all(|pair| pair[1] - pair[0] >= BETWEEN));
        }
    }
}

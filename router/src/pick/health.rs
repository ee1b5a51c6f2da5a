//! Which replicas are left out because they fail: not at once, for a time that doubles, and then tried with one request.
//! How many may be out together is decided by whoever knows them all. No I/O.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Eject;

/// After so long what was counted is worth half.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Shares of fewer requests than this say nothing.
const ENOUGH: f64 = 10.0;

/// From which share of failures on a replica may be an outlier.
const SHARE: f64 = 0.3;

/// And how many times the share of its peers that is.
const TIMES_PEERS: f64 = 3.0;

/// How a replica has done lately.
#[derive(Debug, Default)]
pub struct Health {
    failures_in_row: u32,
    lately: Lately,
    out: Option<Out>,
    /// How often it was put out without being well in between, and when it came back last.
    times: u32,
    back_since: Option<Instant>,
}

/// Requests that ended, the older the less they count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lately {
    well: f64,
    failed: f64,
    at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    until: Instant,
    /// One request finds out whether it is well again.
    tried: bool,
}

/// What became of a replica by how a request ended there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    /// It is left out for so long.
    Out(Duration),
    /// It is well again.
    Back,
}

impl Lately {
    /// The same, as it counts at `now`.
    pub fn at(self, now: Instant) -> Self {
        let age = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let worth = 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64());
        Self { well: self.well * worth, failed: self.failed * worth, at: Some(now) }
    }

    /// Of this and another together.
    pub fn and(self, other: Self) -> Self {
        Self { well: self.well + other.well, failed: self.failed + other.failed, at: self.at.or(other.at) }
    }

    fn count(self) -> f64 {
        self.well + self.failed
    }

    fn share(self) -> f64 {
        if self.count() > 0.0 { self.failed / self.count() } else { 0.0 }
    }
}

impl Health {
    /// How it has done lately.
    pub fn lately(&self, now: Instant) -> Lately {
        self.lately.at(now)
    }

    /// Whether it is left out, or on trial.
    pub fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// Whether it takes a request: always, unless it is out; then one when its time is over.
    pub fn takes(&self, now: Instant) -> bool {
        self.out.is_none_or(|out| now >= out.until && !out.tried)
    }

    /// A request is sent there. Whether it is the one that tries it.
    pub fn begin(&mut self, now: Instant) -> bool {
        let tries = self.takes(now);
        match &mut self.out {
            Some(out) if tries => {
                out.tried = true;
                true
            }
            _ => false,
        }
    }

    /// The request that tried it ended, and nobody knows how it was there.
    pub fn untried(&mut self) {
        if let Some(out) = &mut self.out {
            out.tried = false;
        }
    }

    /// The request that tries it has the first of its answer: how long the rest takes is the answer's affair.
    pub fn answer(&mut self, now: Instant) -> Change {
        if self.out.take().is_none() {
            return Change::None;
        }
        self.back_since = Some(now);
        self.lately = Lately::default();
        self.failures_in_row = 0;
        Change::Back
    }

    /// A request ended well there.
    pub fn succeed(&mut self, now: Instant, tried: bool) -> Change {
        self.lately = self.lately.at(now);
        self.lately.well += 1.0;
        self.failures_in_row = 0;
        // What was sent there before says little of it now.
        if tried { self.answer(now) } else { Change::None }
    }

    /// Another engine answers there: what the one before did says nothing of it. Should it fail as well, it is left out for
    /// longer, as the replica is the same.
    pub fn renew(&mut self, now: Instant) {
        self.answer(now);
        self.lately = Lately::default();
        self.failures_in_row = 0;
    }

    /// A request failed there. `peers` is how all the others have done; it is put out only where it `may` be.
    pub fn fail(&mut self, now: Instant, tried: bool, peers: Lately, may: bool, config: &Eject) -> Change {
        self.lately = self.lately.at(now);
        self.lately.failed += 1.0;
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let is_over = self.out.is_some() && tried;
        if self.out.is_some() && !is_over {
            return Change::None;
        }
        let in_row = config.failures > 0 && self.failures_in_row >= config.failures;
        let share = self.lately.share();
        let is_outlier = self.lately.count() >= ENOUGH && share >= SHARE && share >= TIMES_PEERS * peers.share();
        if !is_over && (config.failures == 0 || !may || !(in_row || is_outlier)) {
            return Change::None;
        }
        let was_well = self.back_since.is_none_or(|back| now.saturating_duration_since(back) > config.most);
        self.times = if was_well && !is_over { 0 } else { self.times.saturating_add(1) };
        let time =
            config.base.saturating_mul(1_u32.checked_shl(self.times.min(31)).unwrap_or(u32::MAX)).min(config.most);
        self.out = Some(Out { until: now + time, tried: false });
        Change::Out(time)
    }
}

/// Whether one more of so many replicas may be put out, with so many out already: never more than half, so never the last.
pub fn may_eject(out: usize, all: usize) -> bool {
    out < all / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: Eject = Eject { failures: 3, base: Duration::from_secs(10), most: Duration::from_secs(60) };

    fn fail(health: &mut Health, now: Instant, tried: bool) -> Change {
        health.fail(now, tried, Lately::default(), true, &CONFIG)
    }

    #[test]
    fn failures_in_a_row_put_it_out_for_a_time_that_doubles() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        assert_eq!(fail(&mut health, now, false), Change::None);
        assert_eq!(fail(&mut health, now, false), Change::None);
        assert_eq!(health.succeed(now, false), Change::None, "it begins anew");
        assert_eq!([(); 2].map(|()| fail(&mut health, now, false)), [Change::None; 2]);
        assert_eq!(fail(&mut health, now, false), Change::Out(CONFIG.base));
        assert_eq!(fail(&mut health, now, false), Change::None, "those that were there already");
        for seconds in [20, 40, 60, 60] {
            assert!(!health.takes(now) && health.is_out());
            now += CONFIG.most;
            assert!(health.takes(now) && health.begin(now));
            assert!(!health.takes(now) && !health.begin(now), "one tries it");
            health.untried();
            assert!(health.begin(now), "the next one, where it left");
            assert_eq!(health.succeed(now, false), Change::None, "of old");
            assert_eq!(fail(&mut health, now, true), Change::Out(Duration::from_secs(seconds)));
        }
        now += CONFIG.most;
        assert!(health.begin(now));
        assert_eq!(health.succeed(now, true), Change::Back);
        assert!(health.takes(now) && !health.is_out());
        // Soon again: longer. After it was well for long: as at first.
        let again = |health: &mut Health, now| [(); 3].map(|()| fail(health, now, false))[2];
        assert_eq!(again(&mut health, now), Change::Out(CONFIG.most));
        now += CONFIG.most;
        assert!(health.begin(now));
        assert_eq!(health.succeed(now, true), Change::Back);
        assert_eq!(again(&mut health, now + CONFIG.most * 2), Change::Out(CONFIG.base));
    }

    #[test]
    fn it_is_back_with_the_first_of_an_answer() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        assert_eq!(health.answer(now), Change::None);
        assert_eq!([(); 3].map(|()| fail(&mut health, now, false))[2], Change::Out(CONFIG.base));
        now += CONFIG.base;
        assert!(health.begin(now) && !health.takes(now));
        assert_eq!(health.answer(now), Change::Back);
        assert!(health.takes(now) && !health.is_out());
        // The rest of it is a request like any other.
        assert_eq!(fail(&mut health, now, false), Change::None);
        assert_eq!(health.succeed(now, false), Change::None);
        assert_eq!([(); 3].map(|()| fail(&mut health, now, false))[2], Change::Out(CONFIG.base * 2));
    }

    #[test]
    fn another_engine_begins_with_nothing_against_it() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert_eq!([(); 2].map(|()| fail(&mut health, now, false)), [Change::None; 2]);
        health.renew(now);
        assert_eq!(
            [(); 3].map(|()| fail(&mut health, now, false)).map(|change| change != Change::None),
            [false, false, true]
        );
        health.renew(now);
        assert!(health.takes(now) && !health.is_out());
        assert_eq!(health.lately(now).share(), 0.0);
        assert_eq!([(); 3].map(|()| fail(&mut health, now, false))[2], Change::Out(CONFIG.base * 2));
    }

    #[test]
    fn a_share_of_failures_counts_against_that_of_the_peers() {
        let put_out = |failing: usize, peers: Lately| {
            let (mut health, now) = (Health::default(), Instant::now());
            (0..40).any(|request| match request % failing {
                0 => health.fail(now, false, peers, true, &CONFIG) != Change::None,
                _ => health.succeed(now, false) != Change::None,
            })
        };
        let peers = |failed| Lately { well: 100.0 - failed, failed, at: None };
        assert!(put_out(2, peers(1.0)), "half, where others fail one of a hundred");
        assert!(!put_out(2, peers(40.0)), "all fail");
        assert!(!put_out(10, peers(0.0)), "one of ten");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let now = Instant::now();
        let lately = Lately { well: 0.0, failed: 8.0, at: Some(now) };
        assert!((lately.at(now + HALF_LIFE * 3).failed - 1.0).abs() < 1e-9);
    }

    #[test]
    fn never_more_than_half_and_never_the_last() {
        let most = |all| (0..=all).take_while(|&out| may_eject(out, all)).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(most), [0, 0, 1, 1, 2, 2]);
    }

    proptest! {
        /// Whatever happens there: it is out only where it may be, and takes requests again after the longest time.
        #[test]
        fn it_always_comes_back(events in prop::collection::vec((0..3u8, 0..90u64), 1..100), may: bool) {
            let (mut health, mut now) = (Health::default(), Instant::now());
            for (event, seconds) in events {
                now += Duration::from_secs(seconds);
                let tried = health.begin(now);
                match event {
                    0 => { health.succeed(now, tried); }
                    1 => { health.fail(now, tried, Lately::default(), may, &CONFIG); }
                    _ => if tried { health.untried() },
                }
                prop_assert!(may || !health.is_out());
                prop_assert!(health.takes(now + CONFIG.most));
            }
        }
    }
}

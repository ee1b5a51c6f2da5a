//! A token bucket: holds a minute's worth and is refilled continuously. Pure: the time comes from outside.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// Parts of one unit. A limit of L a minute refills L of them in a nanosecond, so that no rounding ever adds up.
const PARTS: i128 = 60_000_000_000;

/// So much a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    limit: NonZeroU64,
    /// In parts: full with a minute's worth. Below zero where more was used than reserved; by a minute's worth at most,
    /// so that nobody is shut out for longer than two minutes.
    level: i128,
    at: Instant,
}

/// What a bucket holds, as the headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub limit: u64,
    pub remaining: u64,
    /// Until it is full again.
    pub reset: Duration,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// More than the bucket ever holds.
    TooLarge,
    /// There will be enough after `wait`. `used` is what the last minute's worth is short of; above the limit where more
    /// was used than reserved.
    NotYet { used: u64, wait: Duration },
}

impl Bucket {
    /// A full one.
    pub fn full(limit: NonZeroU64, now: Instant) -> Self {
        Self { limit, level: parts(limit.get()), at: now }
    }

    /// What it lets through in a minute.
    pub fn limit(&self) -> u64 {
        self.limit.get()
    }

    /// Takes `amount`, or nothing.
    ///
    /// # Errors
    /// There is not so much in it now.
    pub fn take(&mut self, now: Instant, amount: u64) -> Result<(), Refused> {
        self.refill(now);
        if amount > self.limit() {
            return Err(Refused::TooLarge);
        }
        let short = parts(amount) - self.level;
        if short > 0 {
            let used = i128::from(self.limit()) - self.level.div_euclid(PARTS);
            return Err(Refused::NotYet { used: u64::try_from(used).unwrap_or_default(), wait: self.time_for(short) });
        }
        self.level -= parts(amount);
        Ok(())
    }

    /// Puts right what was taken too much or too little: `taken` at first, `used` in the end.
    pub fn settle(&mut self, now: Instant, taken: u64, used: u64) {
        self.refill(now);
        let full = parts(self.limit());
        self.level = (self.level + parts(taken) - parts(used)).clamp(-full, full);
    }

    /// What it holds.
    pub fn level(&mut self, now: Instant) -> Level {
        self.refill(now);
        let remaining = u64::try_from(self.level.div_euclid(PARTS)).unwrap_or_default();
        Level { limit: self.limit(), remaining, reset: self.time_for(parts(self.limit()) - self.level) }
    }

    /// A clock that goes backwards refills nothing.
    fn refill(&mut self, now: Instant) {
        let Some(passed) = now.checked_duration_since(self.at) else { return };
        self.at = now;
        let nanoseconds = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX);
        let refilled = nanoseconds.saturating_mul(self.limit().into());
        self.level = self.level.saturating_add(refilled).min(parts(self.limit()));
    }

    /// How long refilling so many parts takes, rounded up.
    fn time_for(&self, parts: i128) -> Duration {
        let limit = i128::from(self.limit());
        let nanoseconds = (parts + limit - 1).div_euclid(limit);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    }
}

fn parts(amount: u64) -> i128 {
    i128::from(amount) * PARTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(limit: u64, now: Instant) -> Bucket {
        Bucket::full(NonZeroU64::new(limit).unwrap(), now)
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Recordings: 30000 requests a minute are reset 2ms after one, 10000 after 6ms, 500 after 120ms.
    #[test]
    fn one_request_is_back_as_soon_as_in_the_recordings() {
        let now = Instant::now();
        for (limit, reset) in [(30_000, 2), (10_000, 6), (15_000, 4), (5000, 12), (500, 120), (3, 20_000)] {
            let mut bucket = bucket(limit, now);
            bucket.take(now, 1).unwrap();
            assert_eq!(bucket.level(now), Level { limit, remaining: limit - 1, reset: ms(reset) });
            let almost = bucket.level(now + ms(reset) - Duration::from_nanos(1));
            assert_eq!((almost.remaining, almost.reset), (limit - 1, Duration::from_nanos(1)));
            assert_eq!(bucket.level(now + ms(reset)), Level { limit, remaining: limit, reset: Duration::ZERO });
        }
    }

    /// The numbers of two refusals that people have quoted.
    #[test]
    fn refusals_wait_as_long_as_openais() {
        let now = Instant::now();
        let mut tokens = bucket(30_000, now);
        tokens.take(now, 29_937).unwrap();
        assert_eq!(tokens.take(now, 385), Err(Refused::NotYet { used: 29_937, wait: ms(644) }));
        assert_eq!(tokens.take(now, 30_601), Err(Refused::TooLarge));
        assert!(tokens.take(now + ms(643), 385).is_err());
        tokens.take(now + ms(644), 385).unwrap();
        let mut requests = bucket(3, now);
        for _ in 0..3 {
            requests.take(now, 1).unwrap();
        }
        assert_eq!(requests.take(now, 1), Err(Refused::NotYet { used: 3, wait: ms(20_000) }));
    }

    #[test]
    fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
        let now = Instant::now();
        let mut bucket = bucket(600, now);
        bucket.take(now, 500).unwrap();
        bucket.settle(now, 500, 100);
        assert_eq!(bucket.level(now).remaining, 500);
        bucket.settle(now, 0, 700);
        assert_eq!(bucket.level(now).remaining, 0);
        assert_eq!(bucket.take(now, 100), Err(Refused::NotYet { used: 800, wait: ms(30_000) }));
        bucket.settle(now, 0, u64::MAX);
        assert_eq!(bucket.level(now).reset, ms(120_000), "a minute's worth is owed at most");
        bucket.settle(now, u64::MAX, 0);
        assert_eq!(bucket.level(now).remaining, 600, "never more than full");
    }

    #[test]
    fn a_clock_that_goes_backwards_refills_nothing() {
        let (past, now) = (Instant::now(), Instant::now() + ms(60_000));
        let mut bucket = bucket(60, now);
        bucket.take(now, 60).unwrap();
        assert_eq!(bucket.level(past).remaining, 0);
        assert_eq!(bucket.level(now + ms(1000)).remaining, 1, "nor is the time in between counted twice");
    }

    proptest! {
        /// However often one looks, exactly as much is refilled as the time that has passed is worth.
        #[test]
        fn looking_changes_nothing(limit in 1..=u64::MAX, steps in prop::collection::vec(0_u64..3_000_000_000, 1..50)) {
            let begin = Instant::now();
            let (mut looked_at, mut left_alone) = (bucket(limit, begin), bucket(limit, begin));
            looked_at.take(begin, limit).unwrap();
            left_alone.take(begin, limit).unwrap();
            let mut now = begin;
            for step in steps {
                now += Duration::from_nanos(step);
                looked_at.level(now);
            }
            prop_assert_eq!(looked_at.level(now), left_alone.level(now));
        }

        /// Over any stretch of time no more gets through than a bucket and its refill; and who waits as told gets it.
        #[test]
        fn never_more_than_the_limit(limit in 1_u64..1000, asks in prop::collection::vec((0_u64..5000, 0_u64..1200), 1..100)) {
            let begin = Instant::now();
            let (mut bucket, mut now, mut taken) = (bucket(limit, begin), begin, 0);
            for (pause, amount) in asks {
                now += ms(pause);
                match bucket.take(now, amount) {
                    Ok(()) => taken += amount,
                    Err(Refused::TooLarge) => prop_assert!(amount > limit),
                    Err(Refused::NotYet { wait, .. }) => {
                        prop_assert!(bucket.clone().take(now + wait, amount).is_ok());
                        prop_assert!(bucket.clone().take(now + wait - Duration::from_nanos(1), amount).is_err());
                    }
                }
                let passed = (now - begin).as_nanos();
                prop_assert!(u128::from(taken) * 60_000_000_000 <= u128::from(limit) * (60_000_000_000 + passed));
            }
        }

        #[test]
        fn no_numbers_make_it_panic(limit in 1..=u64::MAX, amounts in prop::collection::vec(any::<(u64, u64, u32)>(), 1..20)) {
            let mut now = Instant::now();
            let mut bucket = bucket(limit, now);
            for (taken, used, seconds) in amounts {
                let _ = bucket.take(now, taken);
                bucket.settle(now, taken, used);
                now += Duration::from_secs(seconds.into());
                let level = bucket.level(now);
                prop_assert!(level.remaining <= limit && level.reset <= ms(120_000));
            }
        }
    }
}

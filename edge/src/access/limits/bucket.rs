//! A token bucket: holds a period's worth and is refilled continuously. Pure: the time and the limit come from outside, so
//! that whoever keeps buckets keeps two numbers. `edge/src/store/redis/reserve.lua` does the same sums in doubles: every number here
//! is an integer below 2^53.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Parts of one unit: a limit of L refills L of them in a tick, so that no rounding ever adds up.
pub const PARTS: i64 = 60_000;

/// Time that matters at most, in ticks: a bucket that owes a whole period's worth is full after two.
const MOST_TICKS: i64 = 2 * PARTS;

/// A limit. At most 40 billion, or doubles could not count its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Limit(u64);

/// The number is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit is at least 1 and at most {most}", most = Limit::MOST)]
pub struct NotALimit;

impl Limit {
    /// The largest.
    pub const MOST: u64 = 40_000_000_000;

    /// A limit of so many.
    pub const fn new(amount: u64) -> Option<Self> {
        if amount >= 1 && amount <= Self::MOST { Some(Self(amount)) } else { None }
    }

    /// How many.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// One edge's part of it, where so many edges share it.
    pub fn share(self, edges: u64) -> Self {
        Self((self.0 / edges.max(1)).max(1))
    }
}

impl TryFrom<u64> for Limit {
    type Error = NotALimit;

    fn try_from(amount: u64) -> Result<Self, NotALimit> {
        Self::new(amount).ok_or(NotALimit)
    }
}

impl From<Limit> for u64 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

/// The time in which a limit may be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Minute,
    Day,
}

impl Period {
    /// The time in which a part of each unit of the limit comes back.
    pub const fn tick(self) -> Duration {
        Duration::from_millis(self.tick_ms().unsigned_abs())
    }

    /// A period has as many ticks as a unit has parts.
    const fn tick_ms(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Day => 1440,
        }
    }
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// In parts. Below zero where more was used than reserved; by a period's worth at most, so that nobody is shut out for
    /// longer than two periods.
    level: i64,
    /// In ticks since 1970.
    at: i64,
}

/// What a bucket holds, as the headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub limit: u64,
    pub remaining: u64,
    /// Until it is full again, in whole ticks, rounded down as OpenAI does.
    pub reset: Duration,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// More than the limit ever lets through at once.
    TooLarge,
    /// There will be enough after `wait`. `used` is what the period's worth is short of; above the limit where more was
    /// used than reserved.
    NotYet { used: u64, wait: Duration },
}

/// A bucket, its limit and the time, for a few sums.
#[derive(Debug)]
pub struct Filled<'a> {
    bucket: &'a mut Bucket,
    limit: Limit,
    period: Period,
}

impl Bucket {
    /// A full one.
    pub fn full(limit: Limit, period: Period, now_ms: i64) -> Self {
        Self { level: parts(limit.get()), at: now_ms.div_euclid(period.tick_ms()) }
    }

    /// One that holds so many parts.
    pub fn told(level: i64, period: Period, now_ms: i64) -> Self {
        Self { level, at: now_ms.div_euclid(period.tick_ms()) }
    }

    /// One edge's part of what is in it, where so many edges share this limit. Rounded down.
    pub fn share(self, limit: Limit, edges: u64) -> Self {
        let (share, limit) = (i128::from(limit.share(edges).get()), i128::from(limit.get()));
        let level = (i128::from(self.level) * share).div_euclid(limit);
        Self { level: i64::try_from(level).unwrap_or(i64::MIN), ..self }
    }

    /// Leaves no more than `known` holds by now.
    pub fn lower_to(&mut self, mut known: Self, limit: Limit, period: Period, now_ms: i64) {
        let known = known.at(limit, period, now_ms).bucket.level;
        let own = self.at(limit, period, now_ms).bucket;
        own.level = own.level.min(known);
    }

    /// Refills it up to now, by the limit that holds now. A clock that goes backwards refills nothing.
    pub fn at(&mut self, limit: Limit, period: Period, now_ms: i64) -> Filled<'_> {
        let tick = now_ms.div_euclid(period.tick_ms());
        let passed = (tick - self.at).clamp(0, MOST_TICKS);
        let full = parts(limit.get());
        self.level = (self.level.max(-full) + passed * limit_i64(limit)).min(full);
        self.at = self.at.max(tick);
        Filled { bucket: self, limit, period }
    }

    /// Whether it may not be full again yet, whatever the limit is.
    pub fn is_recent(&self, period: Period, now_ms: i64) -> bool {
        now_ms.div_euclid(period.tick_ms()) - self.at < MOST_TICKS
    }
}

impl Filled<'_> {
    /// Whether `amount` could be taken.
    ///
    /// # Errors
    /// There is not so much in it now.
    pub fn check(&self, amount: u64) -> Result<(), Refused> {
        if amount > self.limit.get() {
            return Err(Refused::TooLarge);
        }
        let short = parts(amount) - self.bucket.level;
        if short <= 0 {
            return Ok(());
        }
        let used = limit_i64(self.limit) - self.bucket.level.div_euclid(PARTS);
        Err(Refused::NotYet { used: u64::try_from(used).unwrap_or_default(), wait: self.time_for(short) })
    }

    /// Takes `taken`, which may be more than there is, and gives back `given`.
    pub fn settle(&mut self, taken: u64, given: u64) {
        let full = parts(self.limit.get());
        let [taken, given] = [taken, given].map(|amount| parts(amount.min(Limit::MOST)));
        self.bucket.level = (self.bucket.level + given - taken).clamp(-full, full);
    }

    /// What it holds, in parts.
    #[cfg(test)]
    pub fn parts(&self) -> i64 {
        self.bucket.level
    }

    /// What it holds.
    pub fn level(&self) -> Level {
        let remaining = u64::try_from(self.bucket.level.div_euclid(PARTS)).unwrap_or_default();
        let missing = parts(self.limit.get()) - self.bucket.level;
        let reset = self.time_of(missing.div_euclid(limit_i64(self.limit)));
        Level { limit: self.limit.get(), remaining, reset }
    }

    /// How long refilling so many parts takes.
    fn time_for(&self, parts: i64) -> Duration {
        let limit = limit_i64(self.limit);
        self.time_of((parts + limit - 1).div_euclid(limit))
    }

    fn time_of(&self, ticks: i64) -> Duration {
        Duration::from_millis(u64::try_from(ticks * self.period.tick_ms()).unwrap_or_default())
    }
}

/// At most [`Limit::MOST`] units have parts that fit.
fn parts(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(PARTS)
}

fn limit_i64(limit: Limit) -> i64 {
    i64::try_from(limit.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use Period::{Day, Minute};
    use proptest::prelude::*;

    use super::*;

    /// Some time in 2026.
    const NOW: i64 = 1_790_000_000_123;

    fn limit(amount: u64) -> Limit {
        Limit::new(amount).unwrap()
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn take(bucket: &mut Filled<'_>, amount: u64) -> Result<(), Refused> {
        bucket.check(amount)?;
        bucket.settle(amount, 0);
        Ok(())
    }

    /// Recordings: 30000 requests a minute are reset 2ms after one, 10000 after 6ms, 500 after 120ms; 200 a day after
    /// 7m12s.
    #[test]
    fn one_request_is_back_as_soon_as_in_the_recordings() {
        for (most, period, reset) in [
            (30_000, Minute, 2),
            (10_000, Minute, 6),
            (15_000, Minute, 4),
            (5000, Minute, 12),
            (500, Minute, 120),
            (3, Minute, 20_000),
            (200, Day, 432_000),
        ] {
            let limit = limit(most);
            let mut bucket = Bucket::full(limit, period, NOW);
            take(&mut bucket.at(limit, period, NOW), 1).unwrap();
            let level = bucket.at(limit, period, NOW).level();
            assert_eq!(level, Level { limit: most, remaining: most - 1, reset: ms(reset) });
            let later = NOW + i64::try_from(reset).unwrap();
            let almost = bucket.at(limit, period, later - period.tick_ms()).level();
            assert_eq!(almost.remaining, most - 1);
            let full = Level { limit: most, remaining: most, reset: Duration::ZERO };
            assert_eq!(bucket.at(limit, period, later).level(), full);
        }
    }

    /// The numbers of two refusals that people have quoted.
    #[test]
    fn refusals_wait_as_long_as_openais() {
        let tokens = limit(30_000);
        let mut bucket = Bucket::full(tokens, Minute, NOW);
        take(&mut bucket.at(tokens, Minute, NOW), 29_937).unwrap();
        assert_eq!(bucket.at(tokens, Minute, NOW).check(385), Err(Refused::NotYet { used: 29_937, wait: ms(644) }));
        assert_eq!(bucket.at(tokens, Minute, NOW).check(30_601), Err(Refused::TooLarge));
        assert!(bucket.at(tokens, Minute, NOW + 643).check(385).is_err());
        bucket.at(tokens, Minute, NOW + 644).check(385).unwrap();
        let requests = limit(3);
        let mut bucket = Bucket::full(requests, Minute, NOW);
        for _ in 0..3 {
            take(&mut bucket.at(requests, Minute, NOW), 1).unwrap();
        }
        let refused = bucket.at(requests, Minute, NOW).check(1);
        assert_eq!(refused, Err(Refused::NotYet { used: 3, wait: ms(20_000) }));
    }

    #[test]
    fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
        let limit = limit(600);
        let mut bucket = Bucket::full(limit, Minute, NOW);
        let mut bucket = bucket.at(limit, Minute, NOW);
        take(&mut bucket, 500).unwrap();
        bucket.settle(100, 500);
        assert_eq!(bucket.level().remaining, 500);
        bucket.settle(700, 0);
        assert_eq!(bucket.level().remaining, 0);
        assert_eq!(bucket.check(100), Err(Refused::NotYet { used: 800, wait: ms(30_000) }));
        bucket.settle(u64::MAX, 0);
        assert_eq!(bucket.level().reset, ms(120_000), "a minute's worth is owed at most");
        bucket.settle(0, u64::MAX);
        assert_eq!(bucket.level().remaining, 600, "never more than full");
    }

    #[test]
    fn a_limit_that_changes_holds_from_now_on() {
        let mut bucket = Bucket::full(limit(1000), Minute, NOW);
        assert_eq!(bucket.at(limit(10), Minute, NOW).level().remaining, 10);
        assert_eq!(bucket.at(limit(1000), Minute, NOW).level().remaining, 10);
        assert_eq!(bucket.at(limit(1000), Minute, NOW + 6000).level().remaining, 110);
    }

    #[test]
    fn a_clock_that_goes_backwards_refills_nothing() {
        let limit = limit(60);
        let mut bucket = Bucket::full(limit, Minute, NOW);
        take(&mut bucket.at(limit, Minute, NOW), 60).unwrap();
        assert_eq!(bucket.at(limit, Minute, NOW - 60_000).level().remaining, 0);
        assert_eq!(bucket.at(limit, Minute, NOW + 1000).level().remaining, 1, "nor is it counted twice");
    }

    fn periods() -> impl Strategy<Value = Period> {
        prop_oneof![Just(Minute), Just(Day)]
    }

    proptest! {
        /// However often one looks, exactly as much is refilled as the time that has passed is worth.
        #[test]
        fn looking_changes_nothing(most in 1..=Limit::MOST, period in periods(), steps in prop::collection::vec(0_i64..3000, 1..50)) {
            let limit = limit(most);
            let mut looked_at = Bucket::full(limit, period, NOW);
            looked_at.at(limit, period, NOW).settle(most, 0);
            let mut left_alone = looked_at;
            let mut now = NOW;
            for step in steps {
                now += step * period.tick_ms();
                looked_at.at(limit, period, now);
            }
            prop_assert_eq!(looked_at.at(limit, period, now).level(), left_alone.at(limit, period, now).level());
        }

        /// Over any stretch of time no more gets through than a bucket and its refill; and who waits as told gets it.
        #[test]
        fn never_more_than_the_limit(most in 1_u64..1000, period in periods(), asks in prop::collection::vec((0_i64..5000, 0_u64..1200), 1..100)) {
            let limit = limit(most);
            let begin = NOW.div_euclid(period.tick_ms());
            let (mut bucket, mut now, mut taken) = (Bucket::full(limit, period, NOW), NOW, 0);
            for (pause, amount) in asks {
                now += pause * period.tick_ms();
                match take(&mut bucket.at(limit, period, now), amount) {
                    Ok(()) => taken += amount,
                    Err(Refused::TooLarge) => prop_assert!(amount > most),
                    Err(Refused::NotYet { wait, .. }) => {
                        let then = now + i64::try_from(wait.as_millis()).unwrap();
                        prop_assert!(bucket.clone().at(limit, period, then).check(amount).is_ok());
                        prop_assert!(bucket.clone().at(limit, period, then - period.tick_ms()).check(amount).is_err());
                    }
                }
                let passed = now.div_euclid(period.tick_ms()) - begin;
                prop_assert!(parts(taken) <= parts(most) + limit_i64(limit) * passed);
            }
        }

        /// Every number stays where doubles are exact.
        #[test]
        fn no_numbers_are_too_large(most in 1..=Limit::MOST, amounts in prop::collection::vec(any::<(u64, u64, u32)>(), 1..20)) {
            let limit = limit(most);
            let (mut bucket, mut now) = (Bucket::full(limit, Minute, NOW), NOW);
            for (taken, given, seconds) in amounts {
                let mut filled = bucket.at(limit, Minute, now);
                let _ = filled.check(taken);
                filled.settle(taken, given);
                let level = filled.level();
                prop_assert!(level.remaining <= most && level.reset <= ms(120_000));
                prop_assert!(bucket.level.abs() + MOST_TICKS * limit_i64(limit) < 1 << 53);
                now += i64::from(seconds) * 1000;
            }
        }
    }
}

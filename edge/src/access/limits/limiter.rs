//! The limits of one key: requests are taken, tokens are reserved and settled.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::bucket::{Bucket, Level, Refused};
use crate::config::RateLimits;

/// What a key may still use. Each key has its own lock, held for a few sums.
#[derive(Debug)]
pub struct Limiter {
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    requests: Bucket,
    tokens: Bucket,
}

/// How a key's limits stand, for the headers of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub requests: Level,
    pub tokens: Level,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    Requests,
    Tokens,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub measure: Measure,
    pub limit: u64,
    pub requested: u64,
    pub refused: Refused,
}

impl Exceeded {
    /// When the same will be let through, in whole milliseconds, rounded up; none: never.
    pub fn wait(&self) -> Option<Duration> {
        match self.refused {
            Refused::TooLarge => None,
            Refused::NotYet { wait, .. } => {
                let milliseconds = wait.as_nanos().div_ceil(1_000_000);
                Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
            }
        }
    }
}

impl Limiter {
    /// Nothing is used yet.
    pub fn new(limits: RateLimits, now: Instant) -> Self {
        let requests = Bucket::full(limits.requests_per_minute, now);
        let tokens = Bucket::full(limits.tokens_per_minute, now);
        Self { buckets: Mutex::new(Buckets { requests, tokens }) }
    }

    /// Counts a request. It stays counted, however it ends, as at OpenAI.
    ///
    /// # Errors
    /// There were too many. This one is not counted.
    pub fn take_request(&self, now: Instant) -> Result<(), Exceeded> {
        let requests = &mut self.buckets.lock().requests;
        requests.take(now, 1).map_err(|refused| Exceeded {
            measure: Measure::Requests,
            limit: requests.limit(),
            requested: 1,
            refused,
        })
    }

    /// Reserves tokens.
    ///
    /// # Errors
    /// There are not so many. Nothing is reserved.
    pub fn reserve(self: &Arc<Self>, now: Instant, tokens: u64) -> Result<Reservation, Exceeded> {
        let bucket = &mut self.buckets.lock().tokens;
        match bucket.take(now, tokens) {
            Ok(()) => Ok(Reservation { limiter: self.clone(), tokens, used: 0 }),
            Err(refused) => {
                Err(Exceeded { measure: Measure::Tokens, limit: bucket.limit(), requested: tokens, refused })
            }
        }
    }

    /// How the limits stand.
    pub fn standing(&self, now: Instant) -> Standing {
        let mut buckets = self.buckets.lock();
        Standing { requests: buckets.requests.level(now), tokens: buckets.tokens.level(now) }
    }
}

/// Tokens that are kept for a request. Dropped, it gives back all that was not claimed as used.
#[derive(Debug)]
#[must_use = "dropping it gives the tokens back"]
pub struct Reservation {
    limiter: Arc<Limiter>,
    tokens: u64,
    used: u64,
}

impl Reservation {
    /// The request is over and has used so many.
    pub fn settle(mut self, used: u64) {
        self.used = used;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.limiter.buckets.lock().tokens.settle(Instant::now(), self.tokens, self.used);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn limiter(requests: u64, tokens: u64) -> (Arc<Limiter>, Instant) {
        let per_minute = |amount| NonZeroU64::new(amount).unwrap();
        let limits = RateLimits { requests_per_minute: per_minute(requests), tokens_per_minute: per_minute(tokens) };
        // Reservations are settled by the real clock, which is never this far.
        let now = Instant::now() + Duration::from_secs(3600);
        (Arc::new(Limiter::new(limits, now)), now)
    }

    #[test]
    fn requests_and_tokens_are_counted_apart() {
        let (limiter, now) = limiter(2, 1000);
        limiter.take_request(now).unwrap();
        let reserved = limiter.reserve(now, 600).unwrap();
        let standing = limiter.standing(now);
        assert_eq!((standing.requests.remaining, standing.tokens.remaining), (1, 400));
        let exceeded = limiter.reserve(now, 401).unwrap_err();
        assert_eq!((exceeded.measure, exceeded.limit, exceeded.requested), (Measure::Tokens, 1000, 401));
        assert_eq!(exceeded.wait(), Some(Duration::from_millis(60)));
        limiter.take_request(now).unwrap();
        let exceeded = limiter.take_request(now).unwrap_err();
        assert_eq!((exceeded.measure, exceeded.wait()), (Measure::Requests, Some(Duration::from_secs(30))));
        drop(reserved);
        assert_eq!(limiter.reserve(now, 1001).unwrap_err().wait(), None);
    }

    #[test]
    fn a_reservation_gives_back_what_was_not_used() {
        let (limiter, now) = limiter(1, 1000);
        limiter.reserve(now, 600).unwrap().settle(100);
        assert_eq!(limiter.standing(now).tokens.remaining, 900);
        limiter.reserve(now, 100).unwrap().settle(300);
        assert_eq!(limiter.standing(now).tokens.remaining, 600);
        drop(limiter.reserve(now, 600).unwrap());
        assert_eq!(limiter.standing(now).tokens.remaining, 600);
    }
}

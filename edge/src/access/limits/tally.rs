//! What one scope has used so far. Pure; `edge/src/store/redis/reserve.lua` does the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    bucket::{Bucket, Level, Limit, Period, Refused},
    scope::{Bound, Scope},
    standing::{Exceeded, Measure, Standing},
};

/// When to come back for a place among the requests in progress: nobody knows when one ends.
const SOON: Duration = Duration::from_secs(1);

/// The numbers of one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub(super) requests_minute: Option<Bucket>,
    pub(super) tokens_minute: Option<Bucket>,
    pub(super) requests_day: Option<Bucket>,
    pub(super) tokens_day: Option<Bucket>,
    /// Requests in progress.
    pub(super) open: u64,
    /// What they are taken to cost, in billionths of a dollar.
    pub(super) held: u64,
    pub(super) day: Spent,
    pub(super) month: Spent,
}

/// What was spent in a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    /// Which one, counted since 1970.
    pub(super) period: u32,
    /// In billionths of a dollar.
    pub(super) billionths: u64,
}

/// The time, and the days and months since 1970 that it falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub ms: i64,
    pub day: u32,
    pub month: u32,
}

/// What is taken from every scope of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub tokens: u64,
    /// In billionths of a dollar.
    pub cost: u64,
}

impl Tally {
    /// Whether one more request may start, whatever its size.
    ///
    /// # Errors
    /// It may not. Budgets go before requests, as nothing is worth waiting for then.
    pub fn check_request(&mut self, scope: &Scope, now: Now, cost: u64) -> Result<(), Exceeded> {
        for (bound, spent) in
            [(scope.budget.day, self.day.in_period(now.day)), (scope.budget.month, self.month.in_period(now.month))]
        {
            check_budget(bound, spent + self.held, cost)?;
        }
        if let Some(limit) = scope.limits.concurrent_requests
            && self.open >= limit.get()
        {
            let refused = Refused::NotYet { used: self.open, wait: SOON };
            return Err(Exceeded { measure: Measure::Concurrent, limit: limit.get(), requested: 1, refused });
        }
        self.check_count(scope, now)
    }

    /// Whether one more request may be counted.
    ///
    /// # Errors
    /// There were too many.
    pub fn check_count(&mut self, scope: &Scope, now: Now) -> Result<(), Exceeded> {
        let limits = &scope.limits;
        check(
            &mut self.requests_minute,
            limits.requests_per_minute,
            Period::Minute,
            now,
            Measure::RequestsPerMinute,
            1,
        )?;
        check(&mut self.requests_day, limits.requests_per_day, Period::Day, now, Measure::RequestsPerDay, 1)
    }

    /// Counts a request. It stays counted, however it ends, as at OpenAI.
    pub fn count(&mut self, scope: &Scope, now: Now) {
        let limits = &scope.limits;
        settle(&mut self.requests_minute, limits.requests_per_minute, Period::Minute, now, 1, 0);
        settle(&mut self.requests_day, limits.requests_per_day, Period::Day, now, 1, 0);
    }

    /// Whether so many tokens are left.
    ///
    /// # Errors
    /// They are not.
    pub fn check_tokens(&mut self, scope: &Scope, now: Now, tokens: u64) -> Result<(), Exceeded> {
        let limits = &scope.limits;
        check(
            &mut self.tokens_minute,
            limits.tokens_per_minute,
            Period::Minute,
            now,
            Measure::TokensPerMinute,
            tokens,
        )?;
        check(&mut self.tokens_day, limits.tokens_per_day, Period::Day, now, Measure::TokensPerDay, tokens)
    }

    /// Holds what a request is taken to need.
    pub fn hold(&mut self, scope: &Scope, now: Now, amounts: Amounts) {
        self.settle_tokens(scope, now, amounts.tokens, 0);
        self.open += 1;
        self.held += amounts.cost;
    }

    /// The request is over: what was held for it is given back.
    pub fn release(&mut self, scope: &Scope, now: Now, held: Amounts) {
        self.settle_tokens(scope, now, 0, held.tokens);
        self.open = self.open.saturating_sub(1);
        self.held = self.held.saturating_sub(held.cost);
    }

    /// Charges what a request has really used. Late: so long ago that the minute's limits have forgotten it. True: a soft
    /// bound of the budget was passed by this.
    pub fn charge(&mut self, scope: &Scope, now: Now, used: Amounts, late: bool) -> bool {
        let limits = &scope.limits;
        if !late {
            settle(&mut self.tokens_minute, limits.tokens_per_minute, Period::Minute, now, used.tokens, 0);
        }
        settle(&mut self.tokens_day, limits.tokens_per_day, Period::Day, now, used.tokens, 0);
        let day = self.day.spend(now.day, used.cost, scope.budget.day.soft.map(|soft| soft.billionths()));
        let month = self.month.spend(now.month, used.cost, scope.budget.month.soft.map(|soft| soft.billionths()));
        day || month
    }

    /// How the limits of a minute stand.
    pub fn standing(&mut self, scope: &Scope, now: Now) -> Standing {
        let limits = &scope.limits;
        Standing {
            requests: level(&mut self.requests_minute, limits.requests_per_minute, Period::Minute, now),
            tokens: level(&mut self.tokens_minute, limits.tokens_per_minute, Period::Minute, now),
        }
    }

    /// What was spent today and this month, in billionths of a dollar.
    pub fn spent(&self, now: Now) -> (u64, u64) {
        (self.day.in_period(now.day), self.month.in_period(now.month))
    }

    /// Whether a new one would not do as well: requests are in progress, money was spent, or a bucket is not full again
    /// for sure.
    pub fn is_of_use(&self, now: Now) -> bool {
        let is_recent = |bucket: &Option<Bucket>, period| bucket.is_some_and(|bucket| bucket.is_recent(period, now.ms));
        self.open > 0
            || self.spent(now) != (0, 0)
            || [self.requests_minute, self.tokens_minute].iter().any(|bucket| is_recent(bucket, Period::Minute))
            || [self.requests_day, self.tokens_day].iter().any(|bucket| is_recent(bucket, Period::Day))
    }

    fn settle_tokens(&mut self, scope: &Scope, now: Now, taken: u64, given: u64) {
        let limits = &scope.limits;
        settle(&mut self.tokens_minute, limits.tokens_per_minute, Period::Minute, now, taken, given);
        settle(&mut self.tokens_day, limits.tokens_per_day, Period::Day, now, taken, given);
    }
}

impl Spent {
    /// The later one; of the same period, the one in which more was spent.
    pub(super) fn higher(self, other: Self) -> Self {
        if (other.period, other.billionths) > (self.period, self.billionths) { other } else { self }
    }

    pub(super) fn in_period(self, period: u32) -> u64 {
        if period > self.period { 0 } else { self.billionths }
    }

    /// Returns whether this passed the soft bound.
    fn spend(&mut self, period: u32, cost: u64, soft: Option<u64>) -> bool {
        let before = self.in_period(period);
        *self = Self { period: self.period.max(period), billionths: before + cost };
        soft.is_some_and(|soft| before < soft && soft <= self.billionths)
    }
}

fn check_budget(bound: Bound, spent: u64, cost: u64) -> Result<(), Exceeded> {
    let Some(hard) = bound.hard.map(|hard| hard.billionths()) else { return Ok(()) };
    // What costs nothing is refused too once the budget is used up.
    if spent + cost > hard || spent >= hard {
        let refused = Refused::TooLarge;
        return Err(Exceeded { measure: Measure::Budget, limit: hard, requested: cost, refused });
    }
    Ok(())
}

fn check(
    bucket: &mut Option<Bucket>,
    limit: Option<Limit>,
    period: Period,
    now: Now,
    measure: Measure,
    amount: u64,
) -> Result<(), Exceeded> {
    let Some(limit) = limit else { return Ok(()) };
    let bucket = bucket.get_or_insert_with(|| Bucket::full(limit, period, now.ms));
    bucket.at(limit, period, now.ms).check(amount).map_err(|refused| Exceeded {
        measure,
        limit: limit.get(),
        requested: amount,
        refused,
    })
}

fn settle(bucket: &mut Option<Bucket>, limit: Option<Limit>, period: Period, now: Now, taken: u64, given: u64) {
    let Some(limit) = limit else { return };
    let bucket = bucket.get_or_insert_with(|| Bucket::full(limit, period, now.ms));
    bucket.at(limit, period, now.ms).settle(taken, given);
}

fn level(bucket: &mut Option<Bucket>, limit: Option<Limit>, period: Period, now: Now) -> Option<Level> {
    let limit = limit?;
    let bucket = bucket.get_or_insert_with(|| Bucket::full(limit, period, now.ms));
    Some(bucket.at(limit, period, now.ms).level())
}

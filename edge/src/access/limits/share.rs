//! Where an edge's share of the limits begins when the store goes away: at its part of what the store told last. Or going away
//! would give everybody a full bucket at every edge, and a budget that is used up once more.

use super::{
    bucket::{Bucket, Limit, Period},
    scope::{Limits, Scope},
    tally::{Now, Spent, Tally},
};

/// What the store tells of a scope with each decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What is left in parts: of requests and tokens a minute, then a day. None: not limited.
    pub levels: [Option<i64>; 4],
    /// What was spent today and this month, in billionths of a dollar.
    pub spent: [u64; 2],
}

const PERIODS: [Period; 4] = [Period::Minute, Period::Minute, Period::Day, Period::Day];

impl Tally {
    /// As the store told it at this time.
    pub fn told(told: &Told, now: Now) -> Self {
        let bucket = |of: usize| told.levels[of].map(|level| Bucket::told(level, PERIODS[of], now.ms));
        let [day, month] = told.spent;
        Self {
            requests_minute: bucket(0),
            tokens_minute: bucket(1),
            requests_day: bucket(2),
            tokens_day: bucket(3),
            day: Spent { period: now.day, billionths: day },
            month: Spent { period: now.month, billionths: month },
            ..Self::default()
        }
    }

    /// One edge's part of it, where so many edges share these limits. What is spent is rounded up.
    pub fn share(&self, limits: &Limits, edges: u64) -> Self {
        let bucket =
            |bucket: Option<Bucket>, limit: Option<Limit>| bucket.zip(limit).map(|(it, limit)| it.share(limit, edges));
        let spent = |spent: Spent| Spent { billionths: spent.billionths.div_ceil(edges.max(1)), ..spent };
        Self {
            requests_minute: bucket(self.requests_minute, limits.requests_per_minute),
            tokens_minute: bucket(self.tokens_minute, limits.tokens_per_minute),
            requests_day: bucket(self.requests_day, limits.requests_per_day),
            tokens_day: bucket(self.tokens_day, limits.tokens_per_day),
            day: spent(self.day),
            month: spent(self.month),
            ..*self
        }
    }

    /// Leaves no more than `known` does. Doing so again, at whatever time, changes nothing that was not used since.
    pub fn lower_to(&mut self, known: &Self, scope: &Scope, now: Now) {
        let limits = &scope.limits;
        for (own, known, limit, period) in [
            (&mut self.requests_minute, known.requests_minute, limits.requests_per_minute, Period::Minute),
            (&mut self.tokens_minute, known.tokens_minute, limits.tokens_per_minute, Period::Minute),
            (&mut self.requests_day, known.requests_day, limits.requests_per_day, Period::Day),
            (&mut self.tokens_day, known.tokens_day, limits.tokens_per_day, Period::Day),
        ] {
            let (Some(known), Some(limit)) = (known, limit) else { continue };
            let own = own.get_or_insert_with(|| Bucket::full(limit, period, now.ms));
            own.lower_to(known, limit, period, now.ms);
        }
        self.day = self.day.higher(known.day);
        self.month = self.month.higher(known.month);
    }

    /// What a store tells of it.
    #[cfg(test)]
    pub fn tell(&mut self, scope: &Scope, now: Now) -> Told {
        let limits = &scope.limits;
        let level = |bucket: &mut Option<Bucket>, limit: Option<Limit>, period| {
            let limit = limit?;
            let bucket = bucket.get_or_insert_with(|| Bucket::full(limit, period, now.ms));
            Some(bucket.at(limit, period, now.ms).parts())
        };
        Told {
            levels: [
                level(&mut self.requests_minute, limits.requests_per_minute, Period::Minute),
                level(&mut self.tokens_minute, limits.tokens_per_minute, Period::Minute),
                level(&mut self.requests_day, limits.requests_per_day, Period::Day),
                level(&mut self.tokens_day, limits.tokens_per_day, Period::Day),
            ],
            spent: [self.day.in_period(now.day), self.month.in_period(now.month)],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::access::limits::{Amounts, Ask, Budget, Ledger, Settlement, calendar};

    const NOW: i64 = 1_790_000_000_123;

    /// One token a request, for a billionth of a dollar.
    fn ask(limits: serde_json::Value, hard: u64) -> Ask {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let hard = json!({ "day": { "hard": hard as f64 / 1e9 }, "month": { "hard": 2e-9 * hard as f64 } });
        let budget: Budget = serde_json::from_value(hard).unwrap();
        let scope = Scope { name: "key".into(), limits: serde_json::from_value(limits).unwrap(), budget };
        Ask { tenant: "acme".into(), scopes: [scope].into(), amounts: Amounts { tokens: 1, cost: 1 } }
    }

    fn shared(ask: &Ask, edges: u64) -> Ask {
        let scope = &ask.scopes[0];
        let (limits, budget) = (scope.limits.share(edges), scope.budget.share(edges));
        Ask { scopes: [Scope { name: scope.name.clone(), limits, budget }].into(), ..ask.clone() }
    }

    /// How many requests a ledger lets through at this moment, each of which uses what it asked for.
    fn let_through(ledger: &mut Ledger, ask: &Ask, most: u64, ms: i64, name: &str) -> u64 {
        let now = calendar(ms);
        (0..most)
            .take_while(|number| {
                let lease = format!("{name}-{ms}-{number}").into();
                let admitted = ledger.reserve(now, &lease, ask).exceeded.is_none();
                if admitted {
                    ledger.settle(now, &lease, ask, &Settlement { used: ask.amounts, late: false });
                }
                admitted
            })
            .count() as u64
    }

    proptest! {
        /// When the store goes away, all edges together let through no more than it would have, whatever was used before, and
        /// from then on no more than is refilled, however often they look at what they knew.
        #[test]
        fn going_away_gives_nothing(
            limits in (8_u64..60, 8_u64..60, 8_u64..60, 8_u64..60, 8_u64..60),
            used in 0_u64..60,
            edges in 1_u64..8,
            waits in prop::collection::vec(0_i64..4000, 0..4),
        ) {
            let (rm, tm, rd, td, hard) = limits;
            let ask = ask(json!({
                "requests_per_minute": rm, "tokens_per_minute": tm, "requests_per_day": rd, "tokens_per_day": td,
            }), hard);
            let mut store = Ledger::default();
            let used = let_through(&mut store, &ask, used, NOW, "before");
            let told = store.tell(calendar(NOW), &ask);
            let mut waited = NOW;
            let shared = shared(&ask, edges);
            let mut shares: Vec<_> = (0..edges).map(|_| Ledger::default()).collect();
            let mut passed = 0;
            for wait in std::iter::once(0).chain(waits) {
                waited += wait;
                for share in &mut shares {
                    let known = Tally::told(&told[0], calendar(NOW)).share(&ask.scopes[0].limits, edges);
                    share.lower_to(calendar(waited), &shared.tenant, &shared.scopes[0], &known);
                    passed += let_through(share, &shared, 100, waited, "share");
                }
                if waited == NOW {
                    let left = let_through(&mut store, &ask, 100, NOW, "store");
                    prop_assert!(passed <= left, "{passed} of {left}, {used} were used");
                }
            }
            // What is left of each limit, and what is refilled of those of a minute and of a day.
            let elapsed = u64::try_from(waited - NOW).unwrap();
            for (limit, period_ms) in [(rm, 60_000), (tm, 60_000), (rd, 86_400_000), (td, 86_400_000)] {
                prop_assert!((passed + used) * period_ms < limit * (period_ms + elapsed) + period_ms);
            }
            prop_assert!(passed + used <= hard);
        }
    }

    /// An edge that has learnt nothing of a scope begins with its whole share.
    #[test]
    fn what_nobody_knows_is_full() {
        let ask = ask(json!({ "requests_per_minute": 40 }), 1000);
        assert_eq!(let_through(&mut Ledger::default(), &shared(&ask, 2), 100, NOW, "a"), 20);
    }

    /// And one that hears of a full bucket gets no more than it had left itself.
    #[test]
    fn what_is_known_never_fills() {
        let ask = ask(json!({ "requests_per_minute": 40 }), 1000);
        let (shared, now) = (shared(&ask, 2), calendar(NOW));
        let mut share = Ledger::default();
        assert_eq!(let_through(&mut share, &shared, 15, NOW, "a"), 15);
        let full = Ledger::default().tell(now, &ask);
        let known = Tally::told(&full[0], now).share(&ask.scopes[0].limits, 2);
        share.lower_to(now, &shared.tenant, &shared.scopes[0], &known);
        assert_eq!(let_through(&mut share, &shared, 100, NOW, "b"), 5);
    }
}

//! Refusals that hold for a while, so that who asks again and again costs the store a call a second and not one a request.
//!
//! Only those of the limits of requests. What they count never comes back early, so until the time that the store named nobody is
//! let through, however others fare; and a request that they refuse changes nothing in the store. Tokens and requests at
//! once come back whenever a request ends: those are asked for each time.

use std::{
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

use crate::access::limits::{Ask, Decision, Exceeded, Level, Measure, Period, Refused, Scope, Standing};

/// Refusals that are remembered, about a kilobyte each. The callers of others are asked for each time.
const MOST: usize = 10_000;

/// For so long at most: what headers say of other limits is no older.
const LONGEST: Duration = Duration::from_secs(1);

/// Those of this edge.
#[derive(Debug)]
pub struct Refusals {
    latest: Cache<u64, Arc<Refusal>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Refusal {
    tenant: Arc<str>,
    /// With their limits: others ask anew.
    scopes: Arc<[Scope]>,
    decision: Decision,
    /// Before the store was asked, which says how long from then.
    at: Instant,
    until: Instant,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { latest: Cache::new(MOST), hasher: RandomState::new() }
    }
}

impl Refusals {
    /// The store was asked at this time, and decided so.
    pub fn note(&self, at: Instant, ask: &Ask, decision: &Decision) {
        let Some(Exceeded { measure, refused: Refused::NotYet { wait, .. }, .. }) = decision.exceeded else { return };
        let period = match measure {
            Measure::RequestsPerMinute => Period::Minute,
            Measure::RequestsPerDay => Period::Day,
            _ => return,
        };
        // The store counts in whole ticks: one that has begun may be over any moment.
        let holds = wait.saturating_sub(period.tick()).min(LONGEST);
        let refusal = Refusal {
            tenant: ask.tenant.clone(),
            scopes: ask.scopes.clone(),
            decision: *decision,
            at,
            until: at + holds,
        };
        self.latest.insert(self.name(ask), Arc::new(refusal));
    }

    /// What the store would say, where it is known that it refuses.
    pub fn find(&self, now: Instant, ask: &Ask) -> Option<Decision> {
        if self.latest.is_empty() {
            return None;
        }
        let name = self.name(ask);
        let refusal = self.latest.get(&name)?;
        if now >= refusal.until {
            self.latest.remove(&name);
            return None;
        }
        let is_of_the_same = refusal.tenant == ask.tenant && refusal.scopes == ask.scopes;
        is_of_the_same.then(|| later(&refusal.decision, now.saturating_duration_since(refusal.at)))
    }

    fn name(&self, ask: &Ask) -> u64 {
        let mut hash = self.hasher.build_hasher();
        ask.tenant.hash(&mut hash);
        ask.scopes.iter().for_each(|scope| scope.name.hash(&mut hash));
        hash.finish()
    }
}

/// A refusal when so much time has passed since.
fn later(decision: &Decision, passed: Duration) -> Decision {
    // The refusal's wait is in milliseconds, as the store's is.
    let passed = Duration::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
    let level = |level: Level| Level { reset: level.reset.saturating_sub(passed), ..level };
    let standing =
        Standing { requests: decision.standing.requests.map(level), tokens: decision.standing.tokens.map(level) };
    let exceeded = decision.exceeded.map(|exceeded| match exceeded.refused {
        Refused::NotYet { used, wait } => {
            Exceeded { refused: Refused::NotYet { used, wait: wait.saturating_sub(passed) }, ..exceeded }
        }
        Refused::TooLarge => exceeded,
    });
    Decision { standing, exceeded }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::access::limits::{Amounts, Budget, Ledger, Settlement, calendar};

    const NOW: i64 = 1_790_000_000_123;

    fn ask(scopes: &[(&str, serde_json::Value)], tokens: u64) -> Ask {
        let scope = |(name, limits): &(&str, serde_json::Value)| Scope {
            name: (*name).into(),
            limits: serde_json::from_value(limits.clone()).unwrap(),
            budget: Budget::default(),
        };
        Ask { tenant: "acme".into(), scopes: scopes.iter().map(scope).collect(), amounts: Amounts { tokens, cost: 0 } }
    }

    proptest! {
        /// Whatever other edges do, nobody is refused here whom the store would let through at this moment, and no one is
        /// told to wait for longer.
        #[test]
        fn the_store_would_have_refused(
            limits in (1_u64..200, 1_u64..200, 1_u64..5000),
            steps in prop::collection::vec((0_usize..3, 0_i64..400, 0_u64..100, any::<bool>()), 1..150),
        ) {
            let (rm, rd, tm) = limits;
            let tenant = ("tenant", json!({ "requests_per_minute": rm, "tokens_per_minute": tm, "concurrent_requests": 9 }));
            let asks = [
                vec![("key:1", json!({ "requests_per_day": rd })), tenant.clone()],
                vec![("key:2", json!({ "requests_per_minute": rd + 200 })), tenant.clone()],
                vec![tenant],
            ];
            let (refusals, mut ledger, begun) = (Refusals::default(), Ledger::default(), Instant::now());
            let mut ms = 0;
            for (number, (who, pause, tokens, is_here)) in steps.into_iter().enumerate() {
                ms += pause;
                let (now, at) = (calendar(NOW + ms), begun + Duration::from_millis(u64::try_from(ms).unwrap()));
                let (ask, lease) = (ask(&asks[who], tokens), number.to_string().into());
                let found = if is_here { refusals.find(at, &ask) } else { None };
                // Where it refuses, asking changes nothing.
                let decision = ledger.reserve(now, &lease, &ask);
                if let Some(found) = found {
                    let (told, true_one) = (found.exceeded.unwrap(), decision.exceeded);
                    prop_assert!(true_one.is_some(), "{told:?}");
                    // Another limit may be reached by now, which is told first. No two are alike.
                    let names = |exceeded: &Exceeded| (exceeded.measure, exceeded.limit);
                    if let Some(same) = true_one.filter(|true_one| names(true_one) == names(&told)) {
                        let tick = if told.measure == Measure::RequestsPerDay { Period::Day } else { Period::Minute }.tick();
                        prop_assert!(told.wait().unwrap() <= same.wait().unwrap() + tick);
                    }
                } else if is_here {
                    refusals.note(at, &ask, &decision);
                }
                if decision.exceeded.is_none() && tokens % 2 == 0 {
                    let used = Amounts { tokens: tokens / 2, cost: 0 };
                    ledger.settle(now, &lease, &ask, &Settlement { used, late: false });
                }
            }
        }
    }

    #[test]
    fn it_holds_for_its_time_its_limits_and_its_scopes() {
        let (refusals, mut ledger, at) = (Refusals::default(), Ledger::default(), Instant::now());
        let own = ask(&[("key", json!({ "requests_per_minute": 600 }))], 1);
        let decide = |ledger: &mut Ledger, ask: &Ask| ledger.reserve(calendar(NOW), &"a".into(), ask);
        while decide(&mut ledger, &own).exceeded.is_none() {}
        refusals.note(at, &own, &decide(&mut ledger, &own));
        let wait = |after: u64| {
            let found = refusals.find(at + Duration::from_millis(after), &own)?;
            found.exceeded.unwrap().wait().map(|wait| wait.as_millis())
        };
        assert_eq!((wait(0), wait(98)), (Some(100), Some(2)));
        let raised = ask(&[("key", json!({ "requests_per_minute": 601 }))], 1);
        let other = ask(&[("other", json!({ "requests_per_minute": 600 }))], 1);
        let elsewhere = Ask { tenant: "other".into(), ..own.clone() };
        for ask in [raised, other, elsewhere] {
            assert_eq!(refusals.find(at, &ask), None);
        }
        assert_eq!(wait(99), None);
        assert_eq!(wait(0), None, "it is forgotten");
    }

    #[test]
    fn tokens_and_requests_at_once_are_asked_for_each_time() {
        for limits in [json!({ "tokens_per_minute": 10 }), json!({ "concurrent_requests": 1 })] {
            let (refusals, mut ledger) = (Refusals::default(), Ledger::default());
            let ask = ask(&[("key", limits)], 9);
            assert_eq!(ledger.reserve(calendar(NOW), &"a".into(), &ask).exceeded, None);
            let refused = ledger.reserve(calendar(NOW), &"b".into(), &ask);
            assert!(refused.exceeded.is_some());
            refusals.note(Instant::now(), &ask, &refused);
            assert_eq!(refusals.find(Instant::now(), &ask), None);
        }
    }
}

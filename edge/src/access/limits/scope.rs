//! What is limited: the scopes that a request belongs to (its key, its tenant, each with its model), and what each may use.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bucket::Limit;

/// Something with limits of its own. A request belongs to several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Unique in its tenant.
    pub name: Arc<str>,
    pub limits: Limits,
    pub budget: Budget,
}

/// How much may be used. What is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Refilled continuously, as are the three that follow. Requests that fail count too, as at OpenAI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<Limit>,
    /// Prompts and completions together. A request reserves its prompt and `max_tokens` for each choice when it starts;
    /// what it really used is settled when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<Limit>,
    /// In progress at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<Limit>,
}

/// How much may be spent, by the prices of the catalogue. Days and months are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    #[serde(skip_serializing_if = "Bound::is_none")]
    pub day: Bound,
    #[serde(skip_serializing_if = "Bound::is_none")]
    pub month: Bound,
}

/// The bounds of one period's spend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bound {
    /// Passing it is logged and counted, no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft: Option<Usd>,
    /// What would pass it is refused with `insufficient_quota`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<Usd>,
}

/// US dollars, held in billionths and written as a number of dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Usd(u64);

/// The number is no sum of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum of money is a number of dollars from 0 to 9000000")]
pub struct NotMoney;

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, `others`.
    pub fn or(self, others: Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.or(others.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(others.tokens_per_minute),
            requests_per_day: self.requests_per_day.or(others.requests_per_day),
            tokens_per_day: self.tokens_per_day.or(others.tokens_per_day),
            concurrent_requests: self.concurrent_requests.or(others.concurrent_requests),
        }
    }

    /// One edge's part of them, where so many edges share them.
    pub fn share(self, edges: u64) -> Self {
        let share = |limit: Option<Limit>| limit.map(|limit| limit.share(edges));
        Self {
            requests_per_minute: share(self.requests_per_minute),
            tokens_per_minute: share(self.tokens_per_minute),
            requests_per_day: share(self.requests_per_day),
            tokens_per_day: share(self.tokens_per_day),
            concurrent_requests: share(self.concurrent_requests),
        }
    }
}

impl Budget {
    /// Whether nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// One edge's part of it, where so many edges share it.
    pub fn share(self, edges: u64) -> Self {
        let usd = |usd: Usd| Usd(usd.0 / edges.max(1));
        let share = |bound: Bound| Bound { soft: bound.soft.map(usd), hard: bound.hard.map(usd) };
        Self { day: share(self.day), month: share(self.month) }
    }
}

impl Bound {
    /// Whether nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Usd {
    /// Doubles count so many billionths exactly.
    const MOST: u64 = 9_000_000 * 1_000_000_000;

    /// So many billionths of a dollar.
    pub fn from_billionths(billionths: u64) -> Self {
        Self(billionths.min(Self::MOST))
    }

    /// In billionths of a dollar.
    pub fn billionths(self) -> u64 {
        self.0
    }
}

impl TryFrom<f64> for Usd {
    type Error = NotMoney;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    fn try_from(dollars: f64) -> Result<Self, NotMoney> {
        if (0.0..=9_000_000.0).contains(&dollars) { Ok(Self((dollars * 1e9).round() as u64)) } else { Err(NotMoney) }
    }
}

impl From<Usd> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 there is none")]
    fn from(usd: Usd) -> Self {
        usd.0 as Self / 1e9
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in [json!({ "tokens_per_minute": 0 }), json!({ "requests_per_minute": -1 }), json!({ "rpm": 1 })] {
            assert!(serde_json::from_value::<Limits>(wrong.clone()).is_err(), "{wrong}");
        }
        for wrong in [json!({ "day": { "hard": -1 } }), json!({ "month": { "soft": 1e9 } }), json!({ "week": {} })] {
            assert!(serde_json::from_value::<Budget>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn money_is_exact_to_a_billionth() {
        let budget: Budget = serde_json::from_value(json!({ "month": { "hard": 12.000_000_001 } })).unwrap();
        assert_eq!(budget.month.hard.unwrap().billionths(), 12_000_000_001);
        assert_eq!(serde_json::to_value(budget).unwrap(), json!({ "month": { "hard": 12.000_000_001 } }));
    }

    #[test]
    fn a_share_is_never_nothing() {
        let limits: Limits =
            serde_json::from_value(json!({ "requests_per_minute": 3, "tokens_per_day": 1000 })).unwrap();
        let share = serde_json::to_value(limits.share(4)).unwrap();
        assert_eq!(share, json!({ "requests_per_minute": 1, "tokens_per_day": 250 }));
        assert_eq!(limits.share(0), limits);
    }
}

//! The ledger in Redis: what `Ledger` does, in scripts.

use std::{sync::Arc, time::Duration};

use redis::RedisResult;
use serde::Serialize;

use super::{Redis, tenants_key};
use crate::{
    access::limits::{
        Ask, Bound, Decision, Exceeded, Level, Limit, Measure, Now, Refused, Scope, Settlement, Standing, Told,
    },
    metrics::Call,
    store::Away,
};

/// The numbers that `reserve.lua` gives of the decision.
type Decided = [i64; 12];

/// Those of each scope.
const OF_SCOPE: usize = 6;

/// An ask as the scripts read it, and as a lease holds it.
#[derive(Debug, Serialize)]
struct Wire {
    tokens: u64,
    cost: u64,
    scopes: Vec<WireScope>,
}

/// Only what is limited is there.
#[derive(Debug, Serialize)]
struct WireScope {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rm: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tm: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rd: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    td: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_soft: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_hard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    month_soft: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    month_hard: Option<u64>,
}

impl Redis {
    pub async fn reserve(&self, now: Now, lease: &str, ask: &Ask) -> Result<(Decision, Vec<Told>), Away> {
        self.ask(now, lease, ask).await
    }

    pub async fn count(&self, now: Now, ask: &Ask) -> Result<(Decision, Vec<Told>), Away> {
        self.ask(now, "", ask).await
    }

    pub async fn settle(&self, now: Now, lease: &str, ask: &Ask, settlement: &Settlement) -> Result<bool, Away> {
        let mut invocation = self.scripts.settle.prepare_invoke();
        let used = settlement.used;
        keys(&mut invocation, ask)
            .arg(now.ms)
            .arg(now.day)
            .arg(now.month)
            .arg(lease)
            .arg(text(ask))
            .arg(used.tokens.min(Limit::MOST))
            .arg(used.cost)
            .arg(i32::from(settlement.late));
        let passed: u8 =
            self.link.call(Call::Settle, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        Ok(passed == 1)
    }

    pub async fn renew(&self, now: Now, tenant: &str, leases: &[Arc<str>]) -> Result<(), Away> {
        let mut invocation = self.scripts.renew.prepare_invoke();
        invocation.key(leases_key(tenant)).key(held_key(tenant)).arg(now.ms);
        for lease in leases {
            invocation.arg(&**lease);
        }
        self.link.call(Call::Renew, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await
    }

    pub async fn spent(&self, now: Now, tenant: &str, scope: &str) -> Result<(u64, u64), Away> {
        let key = tally_key(tenant, scope);
        let read = |mut wire| async move {
            let fields = ["day", "day_spent", "month", "month_spent"];
            let values: RedisResult<Vec<Option<u64>>> =
                redis::cmd("HMGET").arg(key).arg(&fields).query_async(&mut wire).await;
            values
        };
        let values = self.link.call(Call::Document, read).await?;
        let number = |at: usize| values.get(at).copied().flatten().unwrap_or_default();
        let day = if number(0) >= now.day.into() { number(1) } else { 0 };
        let month = if number(2) >= now.month.into() { number(3) } else { 0 };
        Ok((day, month))
    }

    async fn ask(&self, now: Now, lease: &str, ask: &Ask) -> Result<(Decision, Vec<Told>), Away> {
        let mut invocation = self.scripts.reserve.prepare_invoke();
        keys(&mut invocation, ask).arg(now.ms).arg(now.day).arg(now.month).arg(lease).arg(text(ask));
        let told: Vec<Option<i64>> =
            self.link.call(Call::Reserve, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        let (decided, scopes) = told.split_at(told.len().min(Decided::default().len()));
        let decided = std::array::from_fn(|at| decided.get(at).copied().flatten().unwrap_or_default());
        Ok((decision(&decided), scopes.chunks_exact(OF_SCOPE).map(scope_told).collect()))
    }
}

fn keys<'a, 'b>(invocation: &'a mut redis::ScriptInvocation<'b>, ask: &Ask) -> &'a mut redis::ScriptInvocation<'b> {
    invocation.key(leases_key(&ask.tenant)).key(held_key(&ask.tenant));
    for scope in &*ask.scopes {
        invocation.key(tally_key(&ask.tenant, &scope.name));
    }
    invocation
}

fn text(ask: &Ask) -> String {
    let scopes = ask.scopes.iter().map(|scope| WireScope::of(&ask.tenant, scope)).collect();
    let wire = Wire { tokens: ask.amounts.tokens.min(Limit::MOST + 1), cost: ask.amounts.cost, scopes };
    serde_json::to_string(&wire).expect("numbers and names are JSON")
}

impl WireScope {
    fn of(tenant: &str, scope: &Scope) -> Self {
        let (limits, [day, month]) = (&scope.limits, [scope.budget.day, scope.budget.month]);
        let [soft, hard] = [|bound: Bound| bound.soft, |bound: Bound| bound.hard]
            .map(|which| move |bound| which(bound).map(crate::access::limits::Usd::billionths));
        Self {
            key: tally_key(tenant, &scope.name),
            rm: limits.requests_per_minute,
            tm: limits.tokens_per_minute,
            rd: limits.requests_per_day,
            td: limits.tokens_per_day,
            open: limits.concurrent_requests,
            day_soft: soft(day),
            day_hard: hard(day),
            month_soft: soft(month),
            month_hard: hard(month),
        }
    }
}

fn scope_told(numbers: &[Option<i64>]) -> Told {
    let number = |at: usize| numbers.get(at).copied().flatten();
    let spent = |at| number(at).and_then(|spent| u64::try_from(spent).ok()).unwrap_or_default();
    Told { levels: std::array::from_fn(number), spent: [spent(4), spent(5)] }
}

fn decision(told: &Decided) -> Decision {
    let [measure, limit, requested, waits, used, wait, rest @ ..] = *told;
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let measure = match measure {
        1 => Some(Measure::RequestsPerMinute),
        2 => Some(Measure::TokensPerMinute),
        3 => Some(Measure::RequestsPerDay),
        4 => Some(Measure::TokensPerDay),
        5 => Some(Measure::Concurrent),
        6 => Some(Measure::Budget),
        _ => None,
    };
    let refused = match waits {
        0 => Refused::TooLarge,
        _ => Refused::NotYet { used: number(used), wait: Duration::from_millis(number(wait)) },
    };
    let exceeded =
        measure.map(|measure| Exceeded { measure, limit: number(limit), requested: number(requested), refused });
    let level = |limit, remaining, reset| {
        (limit > 0).then(|| Level {
            limit: number(limit),
            remaining: number(remaining),
            reset: Duration::from_millis(number(reset)),
        })
    };
    let [limit, left, reset, token_limit, tokens_left, tokens_reset] = rest;
    let requests = level(limit, left, reset);
    let tokens = level(token_limit, tokens_left, tokens_reset);
    Decision { standing: Standing { requests, tokens }, exceeded }
}

fn leases_key(tenant: &str) -> String {
    tenants_key(tenant, "leases")
}

fn held_key(tenant: &str) -> String {
    tenants_key(tenant, "held")
}

fn tally_key(tenant: &str, scope: &str) -> String {
    tenants_key(tenant, &format!("tally:{scope}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_have_slots_of_their_own() {
        assert_eq!(tally_key("acme", "key:1"), "cloudach:{t:acme}:tally:key:1");
        assert_eq!(leases_key(""), "cloudach:{t:}:leases");
        assert_eq!(held_key("a}{b"), "cloudach:{t:a%7d%%7b%b}:held");
    }
}

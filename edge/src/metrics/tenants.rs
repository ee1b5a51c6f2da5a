//! What tenants use, each of a bounded number by its name.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use axum::http::StatusCode;
use cloudach_service::{label, label_set, metrics::Exposition, named};
use foldhash::HashMap;
use parking_lot::RwLock;
use prometheus_client::metrics::{counter::Counter, family::Family};
use strum::{IntoStaticStr, VariantArray};

use super::Outcome;
use crate::{access::limits::Usd, usage::Record};

/// Whoever came when all names were taken.
const OTHER: &str = "other";

/// Keys that are of no tenant.
const NONE: &str = "none";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Tokens {
    Prompt,
    Cached,
    Completion,
}

label!(Tokens);

named! {
    struct Tenant(String) = "one of `metrics.tenants` tenants; `other`: all others; `none`: keys of no tenant";
}

label_set! {
    struct TenantLabel { tenant: Tenant }
    struct OutcomeLabels { tenant: Tenant, outcome: Outcome }
    struct TokensLabels { tenant: Tenant, kind: Tokens }
}

/// What is counted of tenants.
#[derive(Debug, Clone)]
pub struct TenantMetrics {
    names: Arc<Names>,
    requests: Family<OutcomeLabels, Counter>,
    tokens: Family<TokensLabels, Counter>,
    cost: Family<TenantLabel, Dollars>,
    limited: Family<TenantLabel, Counter>,
    /// Those of each name, looked up once for each.
    by_name: Arc<RwLock<HashMap<String, Arc<OfName>>>>,
}

type Dollars = Counter<f64, AtomicU64>;

/// What is counted under one name.
#[derive(Debug)]
struct OfName {
    requests: [OnceLock<Counter>; Outcome::VARIANTS.len()],
    prompt_tokens: Counter,
    cached_tokens: Counter,
    completion_tokens: Counter,
    cost: Dollars,
}

/// The tenants that have names of their own: the first that came.
#[derive(Debug)]
struct Names {
    most: usize,
    taken: RwLock<HashSet<String>>,
}

impl Names {
    fn of<'a>(&self, tenant: &'a str) -> &'a str {
        if tenant.is_empty() {
            return NONE;
        }
        let has_name = self.taken.read().contains(tenant) || {
            let mut taken = self.taken.write();
            taken.contains(tenant) || taken.len() < self.most && taken.insert(tenant.to_owned())
        };
        if has_name { tenant } else { OTHER }
    }
}

impl TenantMetrics {
    /// With the names of so many at most.
    pub(super) fn register(page: &mut Exposition, most: usize) -> Self {
        let metrics = Self {
            names: Arc::new(Names { most, taken: RwLock::default() }),
            requests: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            limited: Family::default(),
            by_name: Arc::default(),
        };
        page.add("tenant_requests", "Requests of a tenant that ended, by outcome", &metrics.requests)
            .add("tenant_tokens", "Tokens of a tenant as it is told them", &metrics.tokens)
            .add("tenant_cost_usd", "What a tenant has used, in dollars by the catalogue's prices", &metrics.cost)
            .add(
                "tenant_limited",
                "Requests of a tenant that were refused with 429: a limit or a budget is reached",
                &metrics.limited,
            );
        metrics
    }

    pub(super) fn ended(&self, record: &Record) {
        let (name, outcome) = (self.names.of(&record.caller.tenant), record.outcome);
        let of_name = self.of_name(name);
        let requests = of_name.requests[outcome as usize].get_or_init(|| {
            self.requests.get_or_create_owned(&OutcomeLabels { tenant: Tenant(name.to_owned()), outcome })
        });
        requests.inc();
        of_name.prompt_tokens.inc_by(record.shown.prompt_tokens);
        of_name.cached_tokens.inc_by(record.shown.cached_tokens);
        of_name.completion_tokens.inc_by(record.shown.completion_tokens);
        of_name.cost.inc_by(f64::from(Usd::from_billionths(record.cost)));
    }

    fn of_name(&self, name: &str) -> Arc<OfName> {
        if let Some(found) = self.by_name.read().get(name) {
            return found.clone();
        }
        let tenant = || Tenant(name.to_owned());
        let tokens = |kind| self.tokens.get_or_create_owned(&TokensLabels { tenant: tenant(), kind });
        let new = OfName {
            requests: Default::default(),
            prompt_tokens: tokens(Tokens::Prompt),
            cached_tokens: tokens(Tokens::Cached),
            completion_tokens: tokens(Tokens::Completion),
            cost: self.cost.get_or_create_owned(&TenantLabel { tenant: tenant() }),
        };
        self.by_name.write().entry(name.to_owned()).or_insert_with(|| Arc::new(new)).clone()
    }

    pub(super) fn refused(&self, tenant: &str, status: StatusCode) {
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.limited.get_or_create(&TenantLabel { tenant: Tenant(self.names.of(tenant).to_owned()) }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let names = Names { most: 2, taken: RwLock::default() };
        let told = ["acme", "globex", "", "initech", "acme", "hooli"].map(|tenant| names.of(tenant));
        assert_eq!(told, ["acme", "globex", "none", "other", "acme", "other"]);
        assert_eq!(Names { most: 0, taken: RwLock::default() }.of("acme"), "other");
    }
}

//! What tenants use, each of a bounded number by its name.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicU64},
};

use axum::http::StatusCode;
use cloudach_service::{label, label_set, metrics::Exposition, named};
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
    cost: Family<TenantLabel, Counter<f64, AtomicU64>>,
    limited: Family<TenantLabel, Counter>,
}

/// The tenants that have names of their own: the first that came.
#[derive(Debug)]
struct Names {
    most: usize,
    taken: RwLock<HashSet<String>>,
}

impl Names {
    fn of(&self, tenant: &str) -> Tenant {
        if tenant.is_empty() {
            return Tenant(NONE.to_owned());
        }
        let has_name = self.taken.read().contains(tenant) || {
            let mut taken = self.taken.write();
            taken.contains(tenant) || taken.len() < self.most && taken.insert(tenant.to_owned())
        };
        Tenant(if has_name { tenant } else { OTHER }.to_owned())
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
        // The name goes from one to the next: it is not copied for each.
        let labels = OutcomeLabels { tenant: self.names.of(&record.caller.tenant), outcome: record.outcome };
        self.requests.get_or_create(&labels).inc();
        let shown = &record.shown;
        let tokens = [
            (Tokens::Prompt, shown.prompt_tokens),
            (Tokens::Cached, shown.cached_tokens),
            (Tokens::Completion, shown.completion_tokens),
        ];
        let mut labels = TokensLabels { tenant: labels.tenant, kind: Tokens::Prompt };
        for (kind, tokens) in tokens {
            labels.kind = kind;
            self.tokens.get_or_create(&labels).inc_by(tokens);
        }
        let label = TenantLabel { tenant: labels.tenant };
        self.cost.get_or_create(&label).inc_by(f64::from(Usd::from_billionths(record.cost)));
    }

    pub(super) fn refused(&self, tenant: &str, status: StatusCode) {
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.limited.get_or_create(&TenantLabel { tenant: self.names.of(tenant) }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let names = Names { most: 2, taken: RwLock::default() };
        let told = ["acme", "globex", "", "initech", "acme", "hooli"].map(|tenant| names.of(tenant).0);
        assert_eq!(told, ["acme", "globex", "none", "other", "acme", "other"]);
        assert_eq!(Names { most: 0, taken: RwLock::default() }.of("acme").0, "other");
    }
}

//! What travels with a request beside what it asks for: who asks, how urgent it is, and what it may share with others.

use cloudach_proto::v1::{self, RequestContext};
use sha2::{Digest, Sha256};

use crate::{
    Edge,
    access::{caller::Caller, keys::hex, priority::Priority},
    http::arrival::Arrival,
};

/// Bytes of a digest that are enough to tell tenants apart.
const DIGEST: usize = 16;

impl Edge {
    /// What travels with a request of this urgency, to the router and on to the engine.
    pub fn context(&self, arrival: &Arrival, caller: &Caller, priority: Priority) -> RequestContext {
        let session = arrival.session.as_deref();
        RequestContext {
            traceparent: arrival.traceparent.clone(),
            tracestate: arrival.tracestate.clone(),
            tenant: caller.tenant.to_string(),
            timeout_ms: u64::try_from(self.config.limits.request_time.as_millis()).unwrap_or(u64::MAX),
            priority: v1::Priority::from(priority).into(),
            session: session.map(|name| digest("session", &caller.tenant, name)).unwrap_or_default(),
            explain: arrival.explain,
        }
    }

    /// What the engine keeps this caller's prompts apart from others' by; the client may have asked to keep some apart from
    /// its own.
    pub fn cache_salt(&self, caller: &Caller, asked: Option<&str>) -> Option<String> {
        match (self.config.isolation.prefix_cache, asked) {
            (true, None) => Some(caller.cache_salt.to_string()),
            (true, Some(asked)) => Some(cache_salt(&caller.tenant, asked)),
            (false, asked) => asked.map(str::to_owned),
        }
    }
}

/// What a tenant's prompts are kept apart by; `asked`: what the client would keep some apart from its own by.
pub fn cache_salt(tenant: &str, asked: &str) -> String {
    digest("cache", tenant, asked)
}

/// A name that no other tenant can have, whatever it calls its own. All edges make the same of it, so it takes no secret:
/// a client chooses `name`, and never the tenant.
fn digest(of: &str, tenant: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in [of, tenant, name] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..DIGEST])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tenants_never_meet() {
        let told = [("session", "a", "bc"), ("session", "ab", "c"), ("session", "", "abc"), ("cache", "a", "bc")];
        let digests: HashSet<String> = told.iter().map(|(of, tenant, name)| digest(of, tenant, name)).collect();
        assert_eq!(digests.len(), told.len());
        assert_eq!(digest("session", "a", "bc"), digest("session", "a", "bc"));
        assert!(digests.iter().all(|digest| digest.len() == 2 * DIGEST));
    }
}

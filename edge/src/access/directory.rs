//! Keys and tenants as the store keeps them: JSON documents.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    caller::{Allowance, Caller, label},
    keys::{DEFAULT_LIMITS, default_name},
    limits::{Budget, Limits},
    priority::Priority,
};
use crate::store::{Fingerprint, Found};

/// A key. Whoever reads it cannot make the key of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub id: String,
    /// For people: shown in usage records.
    pub name: String,
    /// The tenant's id. Empty: none.
    pub tenant: String,
    /// For the header `openai-project`.
    #[serde(default = "default_name")]
    pub project: String,
    /// The key's beginning and end, to recognise it by.
    pub hint: String,
    /// None: it is revoked.
    pub fingerprint: Option<Fingerprint>,
    /// The key before this one, where it was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Seconds since 1970, as are the others.
    pub created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
    /// Refused with `insufficient_quota`.
    #[serde(default)]
    pub suspended: bool,
    /// How urgent its requests are. None: as its tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The models that may be asked for. None: all that the tenant may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<String>>,
    /// Where requests may come from. Empty: from anywhere.
    #[serde(default)]
    pub ip_ranges: Vec<IpNet>,
    #[serde(default)]
    pub rate_limits: Limits,
    /// With one model each.
    #[serde(default)]
    pub model_rate_limits: BTreeMap<String, Limits>,
    #[serde(default)]
    pub budget: Budget,
    /// The caller's own notes.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A key that still works although another has taken its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    pub fingerprint: Fingerprint,
    /// Seconds since 1970.
    pub until: u64,
}

/// An organisation or a project: keys belong to it and share what it may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    pub id: String,
    /// For people, and for the header `openai-organization`.
    pub name: String,
    pub created: u64,
    /// Refused with `insufficient_quota`.
    #[serde(default)]
    pub suspended: bool,
    /// How urgent the requests of its keys are. None: normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The models that its keys may ask for. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<String>>,
    #[serde(default)]
    pub rate_limits: Limits,
    /// With one model each.
    #[serde(default)]
    pub model_rate_limits: BTreeMap<String, Limits>,
    #[serde(default)]
    pub budget: Budget,
    /// Texts of its requests and answers stand in their spans, redacted.
    #[serde(default)]
    pub trace_texts: bool,
    /// The caller's own notes.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Who asks with the key of this fingerprint, as the store has found it. None: the key is no longer one.
///
/// # Errors
/// The store holds what is no document.
pub fn caller(found: &Found, fingerprint: &Fingerprint, limits: Limits) -> Result<Option<Caller>, serde_json::Error> {
    let key: KeyRecord = serde_json::from_str(&found.key)?;
    let tenant: Option<TenantRecord> = found.tenant.as_deref().map(serde_json::from_str).transpose()?;
    if !key.tenant.is_empty() && tenant.is_none() {
        return Ok(None);
    }
    let ends = match &key.previous {
        _ if key.fingerprint.as_ref() == Some(fingerprint) => None,
        Some(previous) if previous.fingerprint == *fingerprint => Some(previous.until),
        _ => return Ok(None),
    };
    let caller = Caller {
        project: label(&key.project),
        suspended: key.suspended,
        models: key.models,
        ip_ranges: key.ip_ranges,
        expires: [key.expires, ends].into_iter().flatten().min(),
        own: Allowance {
            limits: key.rate_limits.or(limits).or(DEFAULT_LIMITS),
            of_models: key.model_rate_limits,
            budget: key.budget,
        },
        ..Caller::new(key.id, key.name, key.tenant, Limits::default())
    };
    Ok(Some(member(caller, key.priority, tenant.as_ref())))
}

/// A caller with what their tenant says, however they were recognised. A class of their own goes before the tenant's. None: the
/// store knows of no tenant.
pub fn member(caller: Caller, class: Option<Priority>, tenant: Option<&TenantRecord>) -> Caller {
    let class = class.or(tenant.and_then(|tenant| tenant.priority)).unwrap_or_default();
    let caller = Caller { priority: class, ..caller };
    let Some(tenant) = tenant else { return caller };
    let models = match (caller.models, &tenant.models) {
        (Some(own), Some(tenants)) => Some(own.intersection(tenants).cloned().collect()),
        (own, tenants) => own.or_else(|| tenants.clone()),
    };
    Caller {
        organization: label(&tenant.name),
        suspended: caller.suspended || tenant.suspended,
        models,
        tenants: Some(Allowance {
            limits: tenant.rate_limits,
            of_models: tenant.model_rate_limits.clone(),
            budget: tenant.budget,
        }),
        trace_texts: tenant.trace_texts,
        ..caller
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_its_own_class_or_its_tenants() {
        let class = |own: Option<&str>, tenants: Option<&str>| {
            let key = json!({ "id": "k", "name": "k", "tenant": "t", "hint": "", "fingerprint": "f", "created": 0, "priority": own });
            let tenant = json!({ "id": "t", "name": "t", "created": 0, "priority": tenants });
            let found = Found { key: key.to_string(), tenant: Some(tenant.to_string()) };
            caller(&found, &Fingerprint("f".to_owned()), Limits::default()).unwrap().unwrap().priority
        };
        assert_eq!(class(None, None), Priority::Normal);
        assert_eq!(class(None, Some("low")), Priority::Low);
        assert_eq!(class(Some("high"), Some("low")), Priority::High);
        assert_eq!(class(Some("normal"), Some("low")), Priority::Normal);
    }
}

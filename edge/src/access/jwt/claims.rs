//! What the claims of a token that its issuer has signed come to: who asks, and what they may use.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    config::{Claim, IssuerConfig, Source},
    refusal::Refusal,
};
use crate::{
    access::{
        caller::{Caller, label},
        keys::{DEFAULT_LIMITS, hex},
        limits::Limits,
    },
    admin::fields::check_id,
};

/// The longest subject that is shown as it is, in bytes.
const MOST_SUBJECT: usize = 128;

/// What stands before the hash of a subject that is not fit for ids.
const HASHED: &str = "sha256-";

/// Whether a text may be the id of a tenant.
pub fn is_tenant(id: &str) -> bool {
    check_id("tenant", id).is_ok()
}

/// What the ids of callers with tokens begin with; the name of their issuer and a colon follow.
pub const CALLERS: &str = "jwt:";

/// Who asks with a token of these claims, without what their tenant says. `now` is in seconds since 1970, and `limits` are
/// those of keys that have none of their own.
///
/// # Errors
/// The claims let nobody in.
pub fn caller(issuer: &IssuerConfig, claims: &Map<String, Value>, now: u64, limits: Limits) -> Result<Caller, Refusal> {
    let expires = times(claims, now, issuer.leeway)?;
    let audience = claims.get("aud").ok_or(Refusal::Audience)?;
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.issuer.as_str()) {
        return Err(Refusal::Issuer);
    }
    if !issuer.audiences.iter().any(|known| is_or_has(audience, known)) {
        return Err(Refusal::Audience);
    }
    if !issuer.require.iter().all(|required| contains(find(claims, &required.claim), &required.contains)) {
        return Err(Refusal::Required);
    }
    let subject = match find(claims, &issuer.subject) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Refusal::Subject),
    };
    let tenant = text(claims, &issuer.tenant).filter(|id| is_tenant(id)).ok_or(Refusal::Tenant)?;
    let project = issuer.project.as_ref().and_then(|project| text(claims, project)).unwrap_or_default();
    let plan = issuer.plans.iter().find(|plan| contains(find(claims, &plan.claim), &plan.contains));
    let own = plan.map_or(issuer.limits, |plan| plan.limits.or(issuer.limits));
    let subject = fit_for_ids(subject);
    let id = format!("{CALLERS}{}:{subject}", issuer.name);
    Ok(Caller {
        project: label(project),
        models: issuer.models.as_ref().map(|models| words(find(claims, models))),
        expires: Some(expires),
        ..Caller::new(id, subject, tenant.to_owned(), own.or(limits).or(DEFAULT_LIMITS))
    })
}

/// What a token says in the claim for which it is refused, shortened: for the operator's log. None: it says nothing, or what
/// concerns a person.
pub fn concerned(issuer: &IssuerConfig, claims: &Map<String, Value>, refusal: Refusal) -> Option<String> {
    const SHOWN: usize = 100;
    let value = match (refusal, &issuer.tenant) {
        (Refusal::Expired, _) => claims.get("exp"),
        (Refusal::NotYet, _) => claims.get("nbf").or_else(|| claims.get("iat")),
        (Refusal::Audience, _) => claims.get("aud"),
        (Refusal::Tenant, Source::Claim(claim)) => find(claims, claim),
        _ => None,
    };
    value.map(|value| value.to_string().chars().take(SHOWN).collect())
}

/// Until when a token of these claims is good, with what clocks may differ by.
fn times(claims: &Map<String, Value>, now: u64, leeway: Duration) -> Result<u64, Refusal> {
    let leeway = leeway.as_secs();
    let time = |name| claims.get(name).map(seconds);
    let expires = time("exp").flatten().ok_or(Refusal::Expired)?.saturating_add(leeway);
    if expires <= now {
        return Err(Refusal::Expired);
    }
    for name in ["nbf", "iat"] {
        match time(name) {
            None => {}
            Some(Some(from)) if from <= now.saturating_add(leeway) => {}
            Some(_) => return Err(Refusal::NotYet),
        }
    }
    Ok(expires)
}

/// A time of a claim, in whole seconds since 1970. None: it is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats ends at the type's bounds"
)]
fn seconds(claim: &Value) -> Option<u64> {
    claim.as_u64().or_else(|| claim.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
}

fn find<'a>(claims: &'a Map<String, Value>, claim: &Claim) -> Option<&'a Value> {
    let (first, inside) = claim.names().split_first()?;
    inside.iter().try_fold(claims.get(first)?, |value, name| value.get(name))
}

fn text<'a>(claims: &'a Map<String, Value>, source: &'a Source) -> Option<&'a str> {
    match source {
        Source::Fixed(text) => Some(text),
        Source::Claim(claim) => find(claims, claim)?.as_str(),
    }
}

/// The text itself, or a list that has it.
fn is_or_has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().any(|value| value.as_str() == Some(text)),
        _ => false,
    }
}

/// The text itself, a text in which it is a word, a list that has it, or a number or truth value by that name.
fn contains(value: Option<&Value>, text: &str) -> bool {
    match value {
        Some(Value::String(value)) => value == text || value.split_ascii_whitespace().any(|word| word == text),
        Some(Value::Array(values)) => values.iter().any(|value| value.as_str() == Some(text)),
        Some(Value::Bool(value)) => text == if *value { "true" } else { "false" },
        Some(Value::Number(value)) => text == value.to_string().as_str(),
        Some(Value::Null | Value::Object(_)) | None => false,
    }
}

/// The words of a text, or the texts of a list. Nothing where there is neither: then nothing is allowed.
fn words(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

/// A subject by which limits and usage may be kept. A colon and `model` in it would name another scope, so such subjects are
/// hashed; and those that look like a hash, so that nobody can choose to be another.
fn fit_for_ids(subject: String) -> String {
    let is_fit = subject.len() <= MOST_SUBJECT
        && !subject.contains(":model:")
        && !subject.starts_with(HASHED)
        && !subject.chars().any(char::is_control);
    if is_fit { subject } else { format!("{HASHED}{}", hex(&Sha256::digest(subject.as_bytes()))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::access::limits::Limit;

    const NOW: u64 = 1_800_000_000;

    fn issuer(fields: Value) -> IssuerConfig {
        let mut config = json!({
            "name": "sso", "issuer": "https://sso", "audiences": ["gateway", "other"], "leeway": "10s", "tenant": { "claim": "org" },
        });
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    /// With these claims over those of a good token; null: without it.
    fn read(config: Value, over: Value) -> Result<Caller, Refusal> {
        let mut claims = json!({
            "iss": "https://sso", "aud": "gateway", "exp": NOW + 60, "sub": "ann", "org": "acme",
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in over.as_object().unwrap() {
            claims.insert(name.clone(), value.clone());
        }
        claims.retain(|_, value| !value.is_null());
        caller(&issuer(config), claims, NOW, Limits::default())
    }

    #[test]
    fn a_good_token_names_its_caller() {
        let config = json!({ "project": { "claim": ["ext", "team"] }, "models": "models" });
        let caller = read(config, json!({ "ext": { "team": "ml" }, "models": "a b", "aud": ["x", "other"] })).unwrap();
        assert_eq!((caller.key_id.as_str(), caller.key.as_str(), &*caller.tenant), ("jwt:sso:ann", "ann", "acme"));
        assert_eq!((caller.project_name(), caller.organization_name()), ("ml", "acme"));
        assert!(caller.may_use("a") && caller.may_use("b") && !caller.may_use("a b"));
        assert_eq!(caller.expires, Some(NOW + 70));
        assert_eq!(caller.own.limits, DEFAULT_LIMITS);
        assert!(read(json!({ "models": "models" }), json!({})).unwrap().models.unwrap().is_empty());
        assert_eq!(read(json!({}), json!({ "sub": 7 })).unwrap().key_id, "jwt:sso:7");
        let fixed = json!({ "tenant": { "fixed": "all" } });
        assert_eq!(*read(fixed, json!({ "org": null })).unwrap().tenant, *"all");
    }

    #[test]
    fn what_is_wrong_is_refused_for_what_it_is() {
        use Refusal::{Audience, Expired, Issuer, NotYet, Subject, Tenant};
        for (over, refusal) in [
            (json!({ "exp": null }), Expired),
            (json!({ "exp": "1800000060" }), Expired),
            (json!({ "exp": -1 }), Expired),
            (json!({ "exp": NOW - 10 }), Expired),
            (json!({ "nbf": NOW + 11 }), NotYet),
            (json!({ "nbf": "soon" }), NotYet),
            (json!({ "iat": NOW + 11 }), NotYet),
            (json!({ "iat": 1e300 }), NotYet),
            (json!({ "aud": null }), Audience),
            (json!({ "aud": "gatewayx" }), Audience),
            (json!({ "aud": "gateway other" }), Audience),
            (json!({ "aud": [] }), Audience),
            (json!({ "aud": { "gateway": 1 } }), Audience),
            (json!({ "iss": "https://sso/" }), Issuer),
            (json!({ "sub": null }), Subject),
            (json!({ "sub": "" }), Subject),
            (json!({ "sub": ["ann"] }), Subject),
            (json!({ "org": null }), Tenant),
            (json!({ "org": "a{b}" }), Tenant),
            (json!({ "org": ["acme"] }), Tenant),
            (json!({ "org": "x".repeat(65) }), Tenant),
        ] {
            assert_eq!(read(json!({}), over.clone()).map(|caller| caller.key_id), Err(refusal), "{over}");
        }
        for over in [json!({ "exp": NOW - 9 }), json!({ "nbf": NOW + 10, "iat": NOW + 10 }), json!({ "exp": 1.9e9 })] {
            assert!(read(json!({}), over.clone()).is_ok(), "{over}");
        }
    }

    #[test]
    fn requirements_and_plans_read_texts_and_lists() {
        let config = json!({ "require": [{ "claim": "scope", "contains": "llm" }, { "claim": ["realm_access", "roles"], "contains": "user" }] });
        let roles = json!({ "roles": ["admin", "user"] });
        assert!(read(config.clone(), json!({ "scope": "openid llm", "realm_access": roles })).is_ok());
        for over in [
            json!({ "scope": "openid llms", "realm_access": roles }),
            json!({ "scope": "llm" }),
            json!({ "scope": "llm", "realm_access": { "roles": "superuser" } }),
            json!({ "scope": { "llm": true }, "realm_access": roles }),
            json!({ "scope": true, "realm_access": roles }),
        ] {
            assert_eq!(read(config.clone(), over.clone()).map(|caller| caller.key), Err(Refusal::Required), "{over}");
        }
        let plan =
            |value, limit| json!({ "claim": "plan", "contains": value, "limits": { "requests_per_minute": limit } });
        let config = json!({
            "plans": [plan("gold", 100), plan("free", 1)],
            "limits": { "requests_per_minute": 10, "tokens_per_minute": 5000 },
        });
        for (said, limit) in
            [(json!("gold"), 100), (json!(["free", "gold"]), 100), (json!("free"), 1), (json!(null), 10)]
        {
            let limits = read(config.clone(), json!({ "plan": said })).unwrap().own.limits;
            assert_eq!(limits.requests_per_minute, Limit::new(limit), "{said}");
            assert_eq!(limits.tokens_per_minute, Limit::new(5000));
        }
    }

    #[test]
    fn no_subject_is_another_ones_scope() {
        let id = |subject: &str| read(json!({}), json!({ "sub": subject })).unwrap().key_id;
        assert_eq!(id("auth0|7"), "jwt:sso:auth0|7");
        assert_eq!(id("system:serviceaccount:ml:batch"), "jwt:sso:system:serviceaccount:ml:batch");
        let hashed = id("ann:model:gpt");
        assert!(hashed.starts_with("jwt:sso:sha256-") && !hashed.contains("model"), "{hashed}");
        let chosen = id(hashed.strip_prefix("jwt:sso:").unwrap());
        assert_ne!(chosen, hashed);
        assert!(id(&"x".repeat(5000)).len() < 100 && id("a\nb").starts_with("jwt:sso:sha256-"));
    }

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("gateway")),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|map| Value::from(Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        /// Whatever an issuer signs: who is let in is named within bounds, in time and for this gateway.
        #[test]
        fn whoever_is_let_in_is_who_may_be(over in prop::collection::btree_map("iss|aud|exp|nbf|iat|sub|org|plan|scope|models", json_values(), 0..5)) {
            let over = Value::from(Map::from_iter(over));
            let config = json!({ "models": "models", "project": { "claim": "scope" } });
            if let Ok(caller) = read(config, over) {
                prop_assert!(caller.expires.unwrap() > NOW);
                prop_assert!(is_tenant(&caller.tenant) && caller.key_id.len() <= 8 + MOST_SUBJECT);
                prop_assert!(!caller.key_id.contains(":model:") && caller.key_id.starts_with("jwt:sso:"));
            }
        }
    }
}

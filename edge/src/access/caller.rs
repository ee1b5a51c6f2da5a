//! Who asks: read from the request's headers before anything else of it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, OnceLock},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    account::Account,
    jwt::{self, issuers::NotLetIn},
    limits::{Budget, Limits, Scope},
    priority::Priority,
};
use crate::{
    Edge, context,
    error::{ApiError, Door},
    http::{
        headers::header_value,
        peer::{self, Peer},
    },
    trace,
};

/// The owner of a key, or whom a token names.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Unique among all keys and all whom tokens name.
    pub key_id: String,
    /// The key's name.
    pub key: String,
    /// The organisation or project. Empty: none.
    pub tenant: Arc<str>,
    /// What engines keep its tenant's prompts apart from others' by.
    pub cache_salt: Arc<str>,
    /// The tenant as headers and texts name it.
    pub organization: HeaderValue,
    /// The project as headers name it.
    pub project: HeaderValue,
    /// The operator has stopped this key or its tenant.
    pub suspended: bool,
    /// How urgent its requests are.
    pub priority: Priority,
    /// The models that may be asked for, by their names in the catalogue. None: all.
    pub models: Option<BTreeSet<String>>,
    /// Where its requests may come from. Empty: from anywhere.
    pub ip_ranges: Vec<IpNet>,
    /// Seconds since 1970 after which the key is not known any more.
    pub expires: Option<u64>,
    /// The key's scope.
    pub scope: Arc<str>,
    /// What the key may use.
    pub own: Allowance,
    /// What its tenant may use, where the store knows of it.
    pub tenants: Option<Allowance>,
    /// What all its requests are counted in, put together once for all of them.
    pub(super) scopes: OnceLock<Arc<[Scope]>>,
    /// The store says that the texts of the tenant's requests are to stand in their spans.
    pub trace_texts: bool,
}

/// What a key or a tenant may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    pub limits: Limits,
    /// With one model each, by its name in the catalogue.
    pub of_models: BTreeMap<String, Limits>,
    pub budget: Budget,
}

impl Caller {
    /// A caller with limits and no more.
    pub fn new(key_id: String, key: String, tenant: String, limits: Limits) -> Self {
        Self {
            scope: key_scope(&key_id).into(),
            key_id,
            key,
            cache_salt: context::cache_salt(&tenant, "").into(),
            organization: label(&tenant),
            project: HeaderValue::from_static("default"),
            tenant: tenant.into(),
            suspended: false,
            priority: Priority::default(),
            models: None,
            ip_ranges: Vec::new(),
            expires: None,
            own: Allowance { limits, ..Allowance::default() },
            tenants: None,
            scopes: OnceLock::new(),
            trace_texts: false,
        }
    }

    /// The organization as texts name it.
    pub fn organization_name(&self) -> &str {
        self.organization.to_str().unwrap_or_default()
    }

    /// The project as texts name it.
    pub fn project_name(&self) -> &str {
        self.project.to_str().unwrap_or_default()
    }

    /// Whether this model may be asked for.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// Whether this request comes from where the key's may.
    fn may_come_from(&self, parts: &Parts, edge: &Edge) -> bool {
        if self.ip_ranges.is_empty() {
            return true;
        }
        let Some(peer) = parts.extensions.get::<Peer>() else { return false };
        let address = peer::client(*peer, &parts.headers, &edge.config.trusted_proxies);
        self.ip_ranges.iter().any(|range| range.contains(&address))
    }

    /// What a request for this model is counted in, of all that it is counted in, for the model's sake.
    pub fn scopes_of_model(&self, model: &str) -> Arc<[Scope]> {
        let of_caller = self.scopes(None);
        let is_own = |scope: &Scope| !of_caller.iter().any(|other| other.name == scope.name);
        self.scopes(Some(model)).iter().filter(|scope| is_own(scope)).cloned().collect()
    }

    /// What a request for this model is counted in. Without a model: one that is wrong.
    pub fn scopes(&self, model: Option<&str>) -> Arc<[Scope]> {
        let has_limits = |model: &&str| self.allowances().any(|allowance| allowance.of_models.contains_key(*model));
        match model.filter(has_limits) {
            None => self.scopes.get_or_init(|| self.scopes_with(None)).clone(),
            model => self.scopes_with(model),
        }
    }

    fn allowances(&self) -> impl Iterator<Item = &Allowance> {
        [&self.own].into_iter().chain(&self.tenants)
    }

    fn scopes_with(&self, model: Option<&str>) -> Arc<[Scope]> {
        let of_model = |(allowance, name): (&Allowance, &Arc<str>)| allowance.scopes(name, model);
        let own = of_model((&self.own, &self.scope));
        let tenants = self.tenants.as_ref().map(|tenant| of_model((tenant, &TENANT)));
        own.into_iter().chain(tenants.into_iter().flatten()).flatten().collect()
    }
}

/// The scope of a tenant as a whole.
pub const TENANT_SCOPE: &str = "tenant";

static TENANT: LazyLock<Arc<str>> = LazyLock::new(|| TENANT_SCOPE.into());

/// The scope of a key as a whole.
pub fn key_scope(key_id: &str) -> String {
    format!("key:{key_id}")
}

impl Allowance {
    /// That of the model, where there is one, and that of the whole.
    fn scopes(&self, name: &Arc<str>, model: Option<&str>) -> [Option<Scope>; 2] {
        let of_model = model.and_then(|model| Some((model, *self.of_models.get(model)?)));
        let of_model = of_model.map(|(model, limits)| {
            let name = format!("{name}:model:{model}").into();
            Scope { name, limits, budget: Budget::default() }
        });
        [of_model, Some(Scope { name: name.clone(), limits: self.limits, budget: self.budget })]
    }
}

/// A name as a header carries it.
pub fn label(name: &str) -> HeaderValue {
    header_value(name).unwrap_or(HeaderValue::from_static("default"))
}

impl FromRequestParts<Edge> for Arc<Caller> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, ApiError> {
        let account = parts.extensions.get::<Account>();
        let trace = account.map(|account| account.trace().clone()).unwrap_or_default();
        trace::matched(&trace, &parts.method, &parts.extensions);
        // What surrounds the handler may have asked.
        if let Some(caller) = account.and_then(Account::caller) {
            return Ok(caller);
        }
        let mut step = trace.step("authenticate");
        let door = Door::of(parts.uri.path());
        let key = key(&parts.headers).ok_or(ApiError::NoKey(door))?;
        let wrong = || ApiError::WrongKey(masked(&key), door);
        let caller = match &edge.issuers {
            Some(issuers) if jwt::looks_like_a_token(&key) => {
                issuers.find(&key).await.map_err(|not_let_in| match not_let_in {
                    NotLetIn::Refused(_) => wrong(),
                    NotLetIn::NoKeys => ApiError::NoIssuerKeys,
                    NotLetIn::Store(away) => ApiError::Keys(away),
                })?
            }
            _ => edge.known.find(&key).await.map_err(ApiError::Keys)?.ok_or_else(wrong)?,
        };
        if !caller.may_come_from(parts, edge) {
            return Err(ApiError::WrongAddress);
        }
        if let Some(account) = parts.extensions.get::<Account>() {
            account.note_caller(caller.clone());
        }
        trace::known(&trace, &mut step, &caller);
        step.end();
        Ok(caller)
    }
}

/// The key of `Authorization: Bearer`, of `Authorization: Basic` with a blank username, as OpenAI's text for a missing
/// key offers it, or of `x-api-key`.
fn key(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let authorization = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Cow::Borrowed(credentials.trim()));
        }
        scheme.eq_ignore_ascii_case("basic").then(|| password(credentials.trim())).flatten().map(Cow::Owned)
    });
    let api_key = || text(HeaderName::from_static("x-api-key")).map(Cow::Borrowed);
    authorization.or_else(api_key).filter(|key| !key.is_empty())
}

/// The password of a blank user.
fn password(credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64.decode(credentials).ok()?).ok()?;
    decoded.strip_prefix(':').map(str::to_owned)
}

/// A wrong key as OpenAI shows it: enough to recognise a mix-up, not enough to use. Of what may be a token nothing: its end is
/// its signature's.
fn masked(key: &str) -> String {
    const WHOLE: usize = 12;
    if key.starts_with(jwt::PREFIX) {
        return format!("{}***", jwt::PREFIX);
    }
    let chars: Vec<char> = key.chars().take(512).collect();
    if chars.len() <= WHOLE {
        return chars.into_iter().collect();
    }
    let first: String = chars[..8].iter().collect();
    let last: String = chars[chars.len() - 4..].iter().collect();
    format!("{first}{}{last}", "*".repeat(chars.len() - WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn keys_come_by_either_header() {
        let found = |name, value| key(&headers(name, value)).map(Cow::into_owned);
        assert_eq!(found("authorization", "Bearer sk-1").as_deref(), Some("sk-1"));
        assert_eq!(found("authorization", "bearer  sk-1 ").as_deref(), Some("sk-1"));
        assert_eq!(found("authorization", "Basic OnNrLTE=").as_deref(), Some("sk-1"));
        assert_eq!(found("x-api-key", "sk-1").as_deref(), Some("sk-1"));
        // Of a broken base64, of `user:sk-1`, of bytes that are no text.
        for nothing in ["", "Bearer", "Bearer  ", "Basic abc", "Basic dXNlcjpzay0x", "Basic Ov//", "Basic Og=="] {
            assert_eq!(key(&headers("authorization", nothing)), None, "{nothing}");
        }
    }

    #[test]
    fn wrong_keys_are_masked() {
        assert_eq!(masked("short"), "short");
        assert_eq!(masked("abcdefgh1234wxyz"), "abcdefgh****wxyz");
        assert_eq!(masked("eyJhbGciOiJub25lIn0.e30."), "eyJ***");
        assert_eq!(masked("eyJ"), "eyJ***");
    }
}

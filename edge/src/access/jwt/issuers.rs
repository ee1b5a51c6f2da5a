//! All issuers, and the tokens that were checked lately. A token is checked once a minute at most; that its key is still its
//! issuer's, that it has not expired, and what its tenant may do is looked at each time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cloudach_service::stop::Running;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{
    claims,
    config::{IssuerConfig, UnknownTenants},
    fetch::CertificatesError,
    key_set::{KeySet, Thumbprint},
    keys::{Asked, Keys},
    refusal::Refusal,
    token::Token,
};
use crate::{
    access::{
        caller::Caller,
        directory::{self, TenantRecord},
        limits::Limits,
        tenants::KnownTenants,
    },
    metrics::{IssuerMetrics, TokenMetrics},
    store::{Away, Store, config::StoreConfig},
};

/// Tokens that are remembered, about 1 KiB each.
const MOST_CHECKED: usize = 20_000;

/// How long one is.
const CHECKED: Duration = Duration::from_secs(60);

/// Refused tokens that their issuers have signed are told of so often at most.
const TOLD: Duration = Duration::from_secs(1);

/// The issuers of the configuration.
#[derive(Debug)]
pub struct Issuers {
    issuers: Vec<(IssuerConfig, Keys)>,
    tenants: KnownTenants,
    /// For callers that have none of their own.
    limits: Mutex<Limits>,
    /// By the SHA-256 of the token.
    checked: Cache<[u8; 32], Arc<Checked>>,
    told: Mutex<Option<Instant>>,
    metrics: TokenMetrics,
}

/// Why nobody is let in.
#[derive(Debug)]
pub enum NotLetIn {
    Refused(Refusal),
    /// The issuer's keys are not there.
    NoKeys,
    /// The tenant is not known here, and the store is away.
    Store(Away),
}

/// An issuer cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("`issuers[{index}]`: {source}")]
pub struct IssuerError {
    index: usize,
    source: CertificatesError,
}

#[derive(Debug)]
struct Checked {
    issuer: usize,
    key: Thumbprint,
    at: Instant,
    /// Without what the tenant says.
    caller: Caller,
    /// With it, as it was the last time.
    member: Mutex<Option<Member>>,
}

#[derive(Debug)]
struct Member {
    tenant: Option<Arc<TenantRecord>>,
    caller: Arc<Caller>,
}

impl Issuers {
    /// Begins to fetch the issuers' keys and to follow their tenants. None: there are no issuers.
    ///
    /// # Errors
    /// There are no certificates to check a provider's against.
    pub fn start(
        issuers: &[IssuerConfig],
        limits: Limits,
        (store, config): (Store, &StoreConfig),
        (metrics, tokens): (&IssuerMetrics, &TokenMetrics),
        running: &Running,
    ) -> Result<Option<Arc<Self>>, IssuerError> {
        if issuers.is_empty() {
            return Ok(None);
        }
        let start = |(index, issuer): (usize, &IssuerConfig)| {
            let keys = Keys::start(issuer, metrics.clone(), running);
            keys.map(|keys| (issuer.clone(), keys)).map_err(|source| IssuerError { index, source })
        };
        let changes = store.changes();
        let all = Arc::new(Self {
            issuers: issuers.iter().enumerate().map(start).collect::<Result<_, _>>()?,
            tenants: KnownTenants::new(store, config),
            limits: Mutex::new(limits),
            checked: Cache::new(MOST_CHECKED),
            told: Mutex::default(),
            metrics: tokens.clone(),
        });
        let following = all.clone();
        let follow = async move { following.tenants.follow(changes).await };
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(follow));
        Ok(Some(all))
    }

    /// The configuration says something else now of callers that have no limits of their own.
    pub fn reconfigure(&self, limits: Limits) {
        *self.limits.lock() = limits;
        self.checked.clear();
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// It lets nobody in, or that cannot be known now.
    pub async fn find(&self, token: &str) -> Result<Arc<Caller>, NotLetIn> {
        let found = self.find_unnoted(token).await;
        match &found {
            Ok((issuer, _)) => self.metrics.let_in(&self.issuers[*issuer].0.name),
            Err(NotLetIn::Refused(refusal)) => self.metrics.refused(*refusal),
            Err(NotLetIn::NoKeys | NotLetIn::Store(_)) => {}
        }
        found.map(|(_, caller)| caller)
    }

    async fn find_unnoted(&self, token: &str) -> Result<(usize, Arc<Caller>), NotLetIn> {
        let hash = Sha256::digest(token.as_bytes()).into();
        let checked = match self.checked.get(&hash).filter(|checked| checked.at.elapsed() < CHECKED) {
            Some(checked) if self.keys(checked.issuer)?.has(&checked.key) => checked,
            _ => {
                self.checked.remove(&hash);
                let checked = Arc::new(self.check(token).await?);
                self.checked.insert(hash, checked.clone());
                checked
            }
        };
        if checked.caller.expires.is_none_or(|expires| expires <= now()) {
            self.checked.remove(&hash);
            return Err(self.refused(checked.issuer, Refusal::Expired, None));
        }
        Ok((checked.issuer, self.member(&checked).await?))
    }

    /// Reads a token and checks that its issuer has signed it.
    async fn check(&self, text: &str) -> Result<Checked, NotLetIn> {
        let token = Token::read(text).map_err(NotLetIn::Refused)?;
        let named = token.claims.get("iss").and_then(serde_json::Value::as_str);
        let issuer = self.issuers.iter().position(|(config, _)| named == Some(config.issuer.as_str()));
        let issuer = issuer.ok_or(NotLetIn::Refused(Refusal::Issuer))?;
        let config = &self.issuers[issuer].0;
        let algorithm = token.algorithm.filter(|algorithm| config.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(NotLetIn::Refused(Refusal::Algorithm))?;
        let signer = |keys: &KeySet| keys.signer(algorithm, token.key_id.as_deref(), token.signed, &token.signature);
        let key = match signer(&*self.keys(issuer)?) {
            Err(Refusal::UnknownKey) => match self.issuers[issuer].1.ask_again().await {
                Asked::Fetched(keys) => signer(&keys),
                Asked::Lately => Err(Refusal::UnknownKey),
                Asked::Away => return Err(NotLetIn::NoKeys),
            },
            known => known,
        };
        let key = key.map_err(NotLetIn::Refused)?;
        let caller = claims::caller(config, &token.claims, now(), *self.limits.lock());
        let caller = caller
            .map_err(|refusal| self.refused(issuer, refusal, claims::concerned(config, &token.claims, refusal)))?;
        Ok(Checked { issuer, key, at: Instant::now(), caller, member: Mutex::default() })
    }

    fn keys(&self, issuer: usize) -> Result<Arc<KeySet>, NotLetIn> {
        self.issuers[issuer].1.current().ok_or(NotLetIn::NoKeys)
    }

    /// The caller with what their tenant says now.
    async fn member(&self, checked: &Checked) -> Result<Arc<Caller>, NotLetIn> {
        let tenant = self.tenants.find(&checked.caller.tenant).await.map_err(NotLetIn::Store)?;
        if tenant.is_none() && self.issuers[checked.issuer].0.unknown_tenants == UnknownTenants::Refuse {
            let id = Some(checked.caller.tenant.to_string());
            return Err(self.refused(checked.issuer, Refusal::UnknownTenant, id));
        }
        let mut member = checked.member.lock();
        let is_same = |member: &&Member| match (&member.tenant, &tenant) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (None, None) => true,
            _ => false,
        };
        if let Some(member) = member.as_ref().filter(is_same) {
            return Ok(member.caller.clone());
        }
        let caller = Arc::new(directory::member(checked.caller.clone(), None, tenant.as_deref()));
        *member = Some(Member { tenant, caller: caller.clone() });
        Ok(caller)
    }

    /// Tells the operator why, as the client is not told: its issuer has signed the token, so nobody can flood the log who
    /// has no account there, and it is told once a second at most. `says` is what the token says where it is wrong.
    fn refused(&self, issuer: usize, refusal: Refusal, says: Option<String>) -> NotLetIn {
        let mut told = self.told.lock();
        if refusal.is_of_a_signed_token() && told.is_none_or(|told| told.elapsed() >= TOLD) {
            *told = Some(Instant::now());
            let issuer = &self.issuers[issuer].0.name;
            warn!(issuer, why = %refusal, says, "a token that its issuer has signed is refused");
        }
        NotLetIn::Refused(refusal)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

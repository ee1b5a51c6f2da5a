//! The issuers whose tokens let callers in, as the configuration names them.

use std::{path::PathBuf, time::Duration};

use axum::http::Uri;
use serde::Deserialize;

use super::algorithm::Algorithm;
use crate::access::limits::Limits;

/// The most issuers.
const MOST_ISSUERS: usize = 32;

/// The longest name of an issuer, in bytes: it is part of every id that usage records and limits are by.
const MOST_NAME: usize = 32;

/// The most entries of each list of an issuer.
const MOST_ENTRIES: usize = 32;

/// The longest time by which clocks may differ.
const MOST_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The shortest time between two fetches without a reason.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// The longest times: a year, and for one fetch a minute.
const MOST_TIME: Duration = Duration::from_secs(366 * 24 * 3600);
const MOST_TIMEOUT: Duration = Duration::from_secs(60);

/// An identity provider whose tokens let callers in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// For people, for metrics and for the ids of its callers, `jwt:<name>:<subject>`: lower-case letters, digits and dashes.
    pub name: String,
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Where its keys are. Absent: where `<issuer>/.well-known/openid-configuration` says.
    pub jwks_url: Option<String>,
    /// Of these a token's `aud` must name one.
    pub audiences: Vec<String>,
    /// How its tokens may be signed. Absent: in any way that has a private key.
    #[serde(default = "all_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// By how much its clock and ours may differ.
    #[serde(with = "humantime_serde", default = "default_leeway")]
    pub leeway: Duration,
    /// The tenant that a caller belongs to.
    pub tenant: Source,
    /// The claim that tells callers apart: each has limits and usage of their own.
    #[serde(default = "default_subject")]
    pub subject: Claim,
    /// For the header `openai-project`. Absent: `default`.
    pub project: Option<Source>,
    /// The claim that lists the models that may be asked for. Absent: all that the tenant may ask for.
    pub models: Option<Claim>,
    /// What each caller may use. Where it says nothing, what holds for all keys.
    #[serde(default)]
    pub limits: Limits,
    /// What callers may use whose tokens say something more: the first that fits goes before `limits`.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// What a token must say besides. All of it.
    #[serde(default)]
    pub require: Vec<Requirement>,
    /// What becomes of callers of a tenant that the store does not have.
    #[serde(default)]
    pub unknown_tenants: UnknownTenants,
    /// A file of certificates (PEM) that the provider's is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How often its keys are fetched. A token that names an unknown key leads to a fetch before that.
    #[serde(with = "humantime_serde", default = "default_refresh")]
    pub refresh: Duration,
    /// How long keys are used that were not confirmed since, while the provider is away.
    #[serde(with = "humantime_serde", default = "default_stale")]
    pub stale: Duration,
    /// How long a fetch may take.
    #[serde(with = "humantime_serde", default = "default_timeout")]
    pub timeout: Duration,
}

/// A claim: its name, or the names that lead to it where it is inside of others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    Top(String),
    Nested(Vec<String>),
}

/// What a claim says, or what holds for all tokens of the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Claim(Claim),
    Fixed(String),
}

/// A claim that is this value, is a list that has it, or is a text in which it is a word.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    pub claim: Claim,
    pub contains: String,
}

/// The limits of those whose claim contains a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub claim: Claim,
    pub contains: String,
    pub limits: Limits,
}

/// What becomes of callers of a tenant that the store does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownTenants {
    #[default]
    Refuse,
    /// They are let in with the issuer's limits, and their tenant has none.
    Accept,
}

/// An issuer makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuers {
    #[error("`issuers` has more than {MOST_ISSUERS}: leave some out")]
    TooMany,
    #[error("`issuers[{index}].{field}` {problem}")]
    Field { index: usize, field: &'static str, problem: String },
}

/// Checks what the types cannot.
///
/// # Errors
/// Names the issuer, the field and what to do.
pub fn check(issuers: &[IssuerConfig]) -> Result<(), InvalidIssuers> {
    if issuers.len() > MOST_ISSUERS {
        return Err(InvalidIssuers::TooMany);
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let before = &issuers[..index];
        issuer.check(before).map_err(|(field, problem)| InvalidIssuers::Field { index, field, problem })?;
    }
    Ok(())
}

type Problem = (&'static str, String);

impl IssuerConfig {
    fn check(&self, before: &[Self]) -> Result<(), Problem> {
        let wrong = |field, problem: &str| Err((field, problem.to_owned()));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=MOST_NAME).contains(&self.name.len()) || !self.name.bytes().all(fits) {
            return Err(("name", format!("must be 1 to {MOST_NAME} lower-case letters, digits and dashes")));
        }
        if before.iter().any(|other| other.name == self.name) {
            return wrong("name", "is another issuer's, too: choose another");
        }
        if self.issuer.is_empty() {
            return wrong("issuer", "is empty: set it to the `iss` of the provider's tokens");
        }
        if before.iter().any(|other| other.issuer == self.issuer) {
            return wrong("issuer", "is another one's, too: put their audiences together");
        }
        match &self.jwks_url {
            Some(url) => check_url(url).map_err(|problem| ("jwks_url", problem))?,
            None => check_url(&self.issuer).map_err(|problem| {
                ("issuer", format!("{problem}; or set `jwks_url`, and keys are fetched from there"))
            })?,
        }
        self.check_lists()?;
        self.check_claims()?;
        self.check_times()
    }

    fn check_lists(&self) -> Result<(), Problem> {
        let wrong = |field, problem: &str| Err((field, problem.to_owned()));
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return wrong(
                "audiences",
                "must name what is in `aud` of tokens for this gateway: tokens for others must not do",
            );
        }
        if self.algorithms.is_empty() {
            return wrong("algorithms", "is empty: leave it out, or name one such as `RS256`");
        }
        let lengths = [
            ("audiences", self.audiences.len()),
            ("algorithms", self.algorithms.len()),
            ("plans", self.plans.len()),
            ("require", self.require.len()),
        ];
        match lengths.iter().find(|(_, length)| *length > MOST_ENTRIES) {
            Some((field, _)) => Err((*field, format!("must not have more than {MOST_ENTRIES} entries"))),
            None => Ok(()),
        }
    }

    fn check_claims(&self) -> Result<(), Problem> {
        if let Source::Fixed(tenant) = &self.tenant
            && !super::claims::is_tenant(tenant)
        {
            let problem = "must be up to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit";
            return Err(("tenant", problem.to_owned()));
        }
        let of = |source: &Source| match source {
            Source::Claim(claim) => Some(claim.clone()),
            Source::Fixed(_) => None,
        };
        let claims = [("tenant", of(&self.tenant)), ("subject", Some(self.subject.clone()))]
            .into_iter()
            .chain([("project", self.project.as_ref().and_then(of)), ("models", self.models.clone())])
            .chain(self.plans.iter().map(|plan| ("plans", Some(plan.claim.clone()))))
            .chain(self.require.iter().map(|required| ("require", Some(required.claim.clone()))));
        for (field, claim) in claims {
            if claim.is_some_and(|claim| claim.names().is_empty() || claim.names().iter().any(String::is_empty)) {
                return Err((field, "names a claim without a name".to_owned()));
            }
        }
        let values = self.plans.iter().map(|plan| ("plans", &plan.contains));
        let mut values = values.chain(self.require.iter().map(|required| ("require", &required.contains)));
        match values.find(|(_, value)| value.is_empty()) {
            Some((field, _)) => Err((field, "has an empty `contains`: name the value".to_owned())),
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), Problem> {
        let wrong = |field, problem: String| Err((field, problem));
        if self.leeway > MOST_LEEWAY {
            return wrong("leeway", format!("must not be more than {MOST_LEEWAY:?}: set the clocks instead"));
        }
        if !(LEAST_REFRESH..=MOST_TIME).contains(&self.refresh) {
            return wrong("refresh", format!("must be {LEAST_REFRESH:?} to 366 days"));
        }
        if !(self.refresh..=MOST_TIME).contains(&self.stale) {
            return wrong("stale", "must be at least `refresh` and at most 366 days".to_owned());
        }
        if self.timeout.is_zero() || self.timeout > MOST_TIMEOUT {
            return wrong("timeout", format!("must be more than 0 and at most {MOST_TIMEOUT:?}"));
        }
        if let Some(path) = &self.ca_file
            && let Err(error) = super::fetch::certificates(path)
        {
            return wrong("ca_file", format!("cannot be used: {error}"));
        }
        Ok(())
    }
}

impl Claim {
    /// The names that lead to it.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Top(name) => std::slice::from_ref(name),
            Self::Nested(names) => names,
        }
    }
}

/// Whether keys may be fetched from a URL: over TLS, or from this machine or this cluster.
pub fn check_url(url: &str) -> Result<(), String> {
    let form = || "must be a URL such as https://login.example.com/keys".to_owned();
    let uri: Uri = url.parse().map_err(|_| form())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(form)?;
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        _ if has_user => Err("must be a URL without a user".to_owned()),
        Some("https") => Ok(()),
        Some("http") if is_near(host) => Ok(()),
        Some("http") => {
            Err("must begin with https://: over http:// anybody on the way could put keys of their own in; \
                             http:// is for this machine and for names of the cluster"
                .to_owned())
        }
        _ => Err(form()),
    }
}

/// This machine, or a name that only this cluster has.
fn is_near(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            host == "localhost" || !host.contains('.') || host.ends_with(".svc") || host.ends_with(".cluster.local")
        }
    }
}

fn all_algorithms() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}

fn default_subject() -> Claim {
    Claim::Top("sub".to_owned())
}

fn default_leeway() -> Duration {
    Duration::from_secs(60)
}

fn default_refresh() -> Duration {
    Duration::from_secs(15 * 60)
}

fn default_stale() -> Duration {
    Duration::from_secs(24 * 3600)
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

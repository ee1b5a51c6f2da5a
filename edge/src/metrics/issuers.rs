//! Tokens of identity providers, and the keys by which they are checked.

use cloudach_service::{label, label_set, metrics::Exposition, named};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::store::Answer;
use crate::access::jwt::Refusal;

label!(Refusal);

named! {
    struct Issuer(String) = "the name of one of `issuers`";
}

label_set! {
    struct IssuerLabel { issuer: Issuer }
    struct FetchLabels { issuer: Issuer, answer: Answer }
    struct RefusalLabel { refusal: Refusal }
}

impl IssuerLabel {
    fn of(issuer: &str) -> Self {
        Self { issuer: Issuer(issuer.to_owned()) }
    }
}

/// What is counted of the issuers of tokens.
#[derive(Debug, Clone, Default)]
pub struct IssuerMetrics {
    keys: Family<IssuerLabel, Gauge>,
    away: Family<IssuerLabel, Gauge>,
    fetches: Family<FetchLabels, Counter>,
}

/// What is counted of tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenMetrics {
    let_in: Family<IssuerLabel, Counter>,
    refused: Family<RefusalLabel, Counter>,
}

impl IssuerMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.add("issuer_keys", "Keys of an issuer by which tokens are checked", &metrics.keys)
            .add("issuer_away", "1 while an issuer's keys cannot be fetched", &metrics.away)
            .add("issuer_fetches", "Fetches of an issuer's keys", &metrics.fetches);
        metrics
    }

    /// Whether the issuer's keys could not be fetched when that was tried last.
    pub fn away(&self, issuer: &str, is_away: bool) {
        self.away.get_or_create(&IssuerLabel::of(issuer)).set(is_away.into());
    }

    /// So many of its keys are known.
    pub fn keys(&self, issuer: &str, keys: usize) {
        self.keys.get_or_create(&IssuerLabel::of(issuer)).set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// Counts a fetch of its keys.
    pub fn fetched(&self, issuer: &str, has_keys: bool) {
        let answer = if has_keys { Answer::Answered } else { Answer::Failed };
        self.fetches.get_or_create(&FetchLabels { issuer: Issuer(issuer.to_owned()), answer }).inc();
    }
}

impl TokenMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.add("tokens_let_in", "Requests let in by a token, by its issuer", &metrics.let_in);
        page.add("tokens_refused", "Requests refused for their token, by the reason", &metrics.refused);
        metrics
    }

    /// Counts a request whose token was good.
    pub fn let_in(&self, issuer: &str) {
        self.let_in.get_or_create(&IssuerLabel::of(issuer)).inc();
    }

    /// Counts one whose token was not.
    pub fn refused(&self, refusal: Refusal) {
        self.refused.get_or_create(&RefusalLabel { refusal }).inc();
    }
}

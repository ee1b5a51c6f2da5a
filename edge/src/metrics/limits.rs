//! Limits: what they decide, and whether all edges decide together.

use cloudach_service::{
    label, label_set,
    metrics::{Exposition, Question},
};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use strum::{IntoStaticStr, VariantArray};

use crate::access::limits::{Exceeded, Measure, Refused};

/// A kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Limit {
    /// All that the request belongs to.
    All,
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
    Concurrent,
    Budget,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Verdict {
    LetIn,
    /// It is reached: later, the same is let in.
    Refused,
    /// It never lets so much through at once.
    TooLarge,
}

label!(Limit, Verdict);

label_set! {
    struct DecisionLabels { limit: Limit, result: Verdict }
}

/// What is counted of limits.
#[derive(Debug, Clone, Default)]
pub struct LimitMetrics {
    decisions: Family<DecisionLabels, Counter>,
    /// 1: the store was away when it was asked last, and limits are this edge's share.
    pub alone: Gauge,
    /// Requests that were decided on by this edge's share.
    pub by_share: Counter,
    /// Settlements that the store has not confirmed yet.
    pub pending: Gauge,
    /// Settlements that never reached the store.
    pub lost: Counter,
    /// Soft budgets that were passed.
    pub soft_budgets: Counter,
    /// Requests that were refused again without asking the store.
    pub refused_unasked: Counter,
}

impl LimitMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.answering(Question::Refusals)
            .add(
                "limit_decisions",
                "What limits say of requests: `all` let one in, or this kind of limit does not",
                &metrics.decisions,
            )
            .add(
                "limits_refused_unasked",
                "Requests refused again before the time that the store named, without asking it",
                &metrics.refused_unasked,
            )
            .add("soft_budgets_passed", "Soft budgets that were passed", &metrics.soft_budgets);
        page.answering(Question::Store)
            .add("limits_by_share", "1 while limits are this edge's share of them", &metrics.alone)
            .add("limits_decided_by_share", "Requests decided on by this edge's share of the limits", &metrics.by_share)
            .add("settlements_pending", "Settlements the store has not confirmed", &metrics.pending)
            .add("settlements_lost", "Settlements that never reached the store", &metrics.lost);
        metrics
    }

    /// Counts what was said of a request.
    pub fn decided(&self, exceeded: Option<&Exceeded>) {
        let labels = match exceeded {
            None => DecisionLabels { limit: Limit::All, result: Verdict::LetIn },
            Some(Exceeded { measure, refused, .. }) => DecisionLabels {
                limit: match measure {
                    Measure::RequestsPerMinute => Limit::RequestsPerMinute,
                    Measure::TokensPerMinute => Limit::TokensPerMinute,
                    Measure::RequestsPerDay => Limit::RequestsPerDay,
                    Measure::TokensPerDay => Limit::TokensPerDay,
                    Measure::Concurrent => Limit::Concurrent,
                    Measure::Budget => Limit::Budget,
                },
                result: match refused {
                    Refused::NotYet { .. } => Verdict::Refused,
                    Refused::TooLarge => Verdict::TooLarge,
                },
            },
        };
        self.decisions.get_or_create(&labels).inc();
    }
}

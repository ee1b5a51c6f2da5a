//! Names that stand for several models: copies of requests, and requests that went on to another model.

use cloudach_service::{
    label, label_set,
    metrics::{Exposition, label::Model},
};
use prometheus_client::metrics::{counter::Counter, family::Family};
use strum::{IntoStaticStr, VariantArray};

use super::requests::ModelLabel;

/// What becomes of a copy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Mirrored {
    Served,
    Failed,
    /// It was not made: too many ran.
    Dropped,
}

label!(Mirrored);

label_set! {
    struct MirrorLabels {
        /// That was asked as well.
        model: Model,
        outcome: Mirrored,
    }
}

/// What becomes of copies of requests.
#[derive(Debug, Clone, Default)]
pub struct MirrorMetrics(Family<MirrorLabels, Counter>);

impl MirrorMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        page.add("mirrored", "Copies of requests, by what became of them", &metrics.0);
        metrics
    }

    /// Counts one.
    pub fn count(&self, model: &str, outcome: Mirrored) {
        self.0.get_or_create(&MirrorLabels { model: Model(model.to_owned()), outcome }).inc();
    }
}

/// Requests that their model had no place for, and that were asked of the next one of their route.
#[derive(Debug, Clone, Default)]
pub struct FallbackMetrics(Family<ModelLabel, Counter>);

impl FallbackMetrics {
    pub(super) fn register(page: &mut Exposition) -> Self {
        let metrics = Self::default();
        let help = "Requests that went on to the next model of their route, by the one that had no place for them";
        page.add("fallbacks", help, &metrics.0);
        metrics
    }

    /// Counts one.
    pub fn count(&self, model: &str) {
        self.0.get_or_create(&ModelLabel { model: Model(model.to_owned()) }).inc();
    }
}

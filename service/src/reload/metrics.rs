//! What became of files that have changed while the process ran.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What became of a file that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// It holds from now on.
    Taken,
    /// Something is wrong with it; what held before goes on.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabel {
    what: &'static str,
    outcome: Outcome,
}

/// Counts what becomes of files that change, by what is in them.
#[derive(Debug, Clone, Default)]
pub struct ReloadMetrics {
    reloads: Family<ReloadLabel, Counter>,
    refused: Family<WhatLabel, Gauge>,
}

impl ReloadMetrics {
    /// Shows them in a process's registry.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Files that have changed while the process ran, by what is in them and what became of it";
        registry.register("reloads", help, self.reloads.clone());
        let help = "1 while the file on disk is not the one that holds, since something is wrong with it";
        registry.register("reload_refused", help, self.refused.clone());
    }

    /// Shows one kind from the start.
    pub fn begin(&self, what: &'static str) {
        for outcome in [Outcome::Taken, Outcome::Refused] {
            self.reloads.get_or_create(&ReloadLabel { what, outcome }).inc_by(0);
        }
        self.well(what);
    }

    /// The file is the one that holds.
    pub fn well(&self, what: &'static str) {
        self.refused.get_or_create(&WhatLabel { what }).set(0);
    }

    /// The file has changed.
    pub fn count(&self, what: &'static str, outcome: Outcome) {
        self.reloads.get_or_create(&ReloadLabel { what, outcome }).inc();
        self.refused.get_or_create(&WhatLabel { what }).set(i64::from(outcome == Outcome::Refused));
    }
}

//! What became of files that have changed while the process ran.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use strum::{IntoStaticStr, VariantArray};

use crate::{
    label, label_set,
    metrics::{Exposition, Question},
};

/// What is in a file that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum What {
    Configuration,
    Catalogue,
    Certificates,
}

/// What became of a file that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It holds from now on.
    Taken,
    /// Something is wrong with it; what held before goes on.
    Refused,
}

label!(What, Outcome);

label_set! {
    struct WhatLabel { what: What }
    struct ReloadLabel { what: What, outcome: Outcome }
}

/// Counts what becomes of files that change, by what is in them.
#[derive(Debug, Clone, Default)]
pub struct ReloadMetrics {
    reloads: Family<ReloadLabel, Counter>,
    refused: Family<WhatLabel, Gauge>,
}

impl ReloadMetrics {
    /// Shows them on a process's page.
    pub fn register(&self, page: &mut Exposition) {
        page.answering(Question::Process)
            .add(
                "reloads",
                "Files that have changed while the process ran, by what is in them and what became of it",
                &self.reloads,
            )
            .add(
                "reload_refused",
                "1 while the file on disk is not the one that holds, since something is wrong with it",
                &self.refused,
            );
    }

    /// Shows one kind from the start.
    pub fn begin(&self, what: What) {
        for outcome in [Outcome::Taken, Outcome::Refused] {
            self.reloads.get_or_create(&ReloadLabel { what, outcome }).inc_by(0);
        }
        self.well(what);
    }

    /// The file is the one that holds.
    pub fn well(&self, what: What) {
        self.refused.get_or_create(&WhatLabel { what }).set(0);
    }

    /// The file has changed.
    pub fn count(&self, what: What, outcome: Outcome) {
        self.reloads.get_or_create(&ReloadLabel { what, outcome }).inc();
        self.refused.get_or_create(&WhatLabel { what }).set(i64::from(outcome == Outcome::Refused));
    }
}

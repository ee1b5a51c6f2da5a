//! When certificates expire, and who was refused.

use std::time::SystemTime;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use strum::{IntoStaticStr, VariantArray};

use super::why::Reason;
use crate::{
    label, label_set,
    metrics::{Exposition, Question},
};

/// Whose time is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum File {
    /// The service's own certificate, with those behind it: the first that expires.
    Cert,
    /// The CAs: the last that expires.
    Ca,
}

label!(File, Reason);

label_set! {
    struct FileLabel { file: File }
    struct ReasonLabel { reason: Reason }
}

/// What is told of TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    expires: Family<FileLabel, Gauge>,
    refused: Family<ReasonLabel, Counter>,
}

impl TlsMetrics {
    /// Shows them on a process's page.
    pub fn register(&self, page: &mut Exposition) {
        page.answering(Question::Process)
            .add(
                "certificate_expires_timestamp_seconds",
                "When certificates expire, in seconds since 1970: the service's own (`cert`), and the last of the CAs (`ca`)",
                &self.expires,
            )
            .add("tls_refused", "Connections with other services that did not come about, by why", &self.refused);
    }

    /// Tells of each reason from the start.
    pub(super) fn begin(&self) {
        for &reason in Reason::VARIANTS {
            self.refused.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
    }

    pub(super) fn expire(&self, file: File, at: SystemTime) {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expires.get_or_create(&FileLabel { file }).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

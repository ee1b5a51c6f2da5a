//! When certificates expire, and who was refused.

use std::time::SystemTime;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::why::Reason;

/// Whose time is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum File {
    /// The service's own certificate, with those behind it: the first that expires.
    Cert,
    /// The CAs: the last that expires.
    Ca,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    file: File,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

/// What is told of TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    expires: Family<FileLabel, Gauge>,
    refused: Family<ReasonLabel, Counter>,
}

impl TlsMetrics {
    /// Shows them in a process's registry.
    pub fn register(&self, registry: &mut Registry) {
        let help =
            "When certificates expire, in seconds since 1970: the service's own (cert), and the last of the CAs (ca)";
        registry.register("certificate_expires_timestamp_seconds", help, self.expires.clone());
        let help = "Connections with other services that did not come about, by why: plaintext, a certificate that is \
                    missing, expired, of another CA or for another name, our own that the other side refuses";
        registry.register("tls_refused", help, self.refused.clone());
        for reason in Reason::ALL {
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

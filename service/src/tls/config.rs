//! What a service is told of TLS.

use std::{fmt, path::PathBuf};

use rustls::pki_types::DnsName;
use serde::Deserialize;

/// Certificates of a service, and whom it believes. The files are looked at every 5 seconds and at a SIGHUP; new ones hold
/// for connections from then on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The service's own certificate, in PEM, and behind it those that lead to the CA. It is shown to those who dial and to
    /// those who are dialled: where its use is limited, it must be good for servers and for clients.
    pub cert: PathBuf,
    /// The certificate's private key, in PEM.
    pub key: PathBuf,
    /// The certificates of the CAs, in PEM, that sign those of the services. While a CA is replaced: both.
    pub ca: PathBuf,
    /// By which name each service is known.
    #[serde(default)]
    pub names: Names,
}

/// The name, among the subject alternative names of its certificate, by which each service is known, wherever it is
/// reached: a DNS name, or a URI such as `spiffe://example.org/cloudach/router`. Names count as they are written, without
/// wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    pub edge: String,
    pub router: String,
    pub sidecar: String,
}

impl Default for Names {
    fn default() -> Self {
        let name = |role: Role| format!("cloudach-{role}");
        Self { edge: name(Role::Edge), router: name(Role::Router), sidecar: name(Role::Sidecar) }
    }
}

/// Which of the three a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Edge,
    Router,
    Sidecar,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Edge => "edge",
            Self::Router => "router",
            Self::Sidecar => "sidecar",
        })
    }
}

/// What the configuration says of TLS makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidTls {
    pub field: &'static str,
    pub problem: &'static str,
}

impl TlsConfig {
    /// Finds what the types cannot.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), InvalidTls> {
        let Names { edge, router, sidecar } = &self.names;
        let is_name = |name: &str| name.contains("://") || DnsName::try_from(name).is_ok();
        let problem = "is neither a DNS name nor a URI such as spiffe://example.org/cloudach/router";
        for (field, name) in [("tls.names.edge", edge), ("tls.names.router", router), ("tls.names.sidecar", sidecar)] {
            if !is_name(name) {
                return Err(InvalidTls { field, problem });
            }
        }
        Ok(())
    }

    /// The name of a service.
    pub(super) fn name(&self, role: Role) -> &str {
        match role {
            Role::Edge => &self.names.edge,
            Role::Router => &self.names.router,
            Role::Sidecar => &self.names.sidecar,
        }
    }
}

impl Role {
    /// Whom it dials.
    pub(super) fn dials(self) -> Self {
        if self == Self::Router { Self::Sidecar } else { Self::Router }
    }

    /// Who dials it.
    pub(super) fn dialled_by(self) -> &'static [Self] {
        match self {
            Self::Edge => &[],
            Self::Router => &[Self::Edge, Self::Sidecar],
            Self::Sidecar => &[Self::Router],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_dns_or_uris() {
        let check = |names: &str| {
            let text = format!("{{cert: c, key: k, ca: a, names: {names}}}");
            crate::config::parse::<TlsConfig>(&text).map_err(drop).unwrap().check().map_err(|error| error.field)
        };
        assert_eq!(check("{}"), Ok(()));
        assert_eq!(check("{router: spiffe://x/r, edge: e.llm.svc}"), Ok(()));
        assert_eq!(check("{sidecar: ''}"), Err("tls.names.sidecar"));
        assert_eq!(check("{router: '*.llm'}"), Err("tls.names.router"));
    }
}

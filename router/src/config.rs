//! The router's configuration: one YAML file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cloudach_service::{address::Address, stop::Drain};
use serde::Deserialize;

use crate::catalogue::Catalogue;

/// Everything the router is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where edges and sidecars reach this router.
    pub listen: Address,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// The models, or the file that lists them.
    pub catalogue: Source,
    /// How replicas are tried.
    #[serde(default)]
    pub relay: Relay,
    /// How the process stops.
    #[serde(default)]
    pub drain: Drain,
}

/// Where the catalogue stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A YAML file.
    File(PathBuf),
    /// Here.
    Here(Catalogue),
}

/// How replicas are tried.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// How many replicas a request may meet before its first token. More would let one bad request harm many.
    pub attempts: u32,
    /// The longest a request may take when its caller set no deadline.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Relay {
    fn default() -> Self {
        Self { attempts: 3, timeout: Duration::from_secs(60 * 60) }
    }
}

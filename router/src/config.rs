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
    /// How requests wait when every replica of their model is busy.
    #[serde(default)]
    pub queue: Queue,
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

/// How requests wait when every replica of their model is busy.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// The most requests that wait for one model. Each keeps its prompt in memory.
    pub most: usize,
    /// The longest that a request waits. One that would wait longer, as things go, is refused at once.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { most: 1000, wait: Duration::from_secs(10) }
    }
}

/// How replicas are tried.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// How many replicas a request may be started on, one after the other: those that failed, and those that stopped in the
    /// middle and handed it over. The bound is for what nobody thought of; see `losses`.
    pub attempts: u32,
    /// How many replicas a request may see fail or die. It may be the request that kills them: another one is not tried.
    pub losses: u32,
    /// Whether an answer of which the client has a part goes on at another replica when its own is lost.
    pub resume: bool,
    /// How long such an answer waits for another replica when none is ready.
    #[serde(with = "humantime_serde")]
    pub resume_within: Duration,
    /// When a replica that fails is left out.
    pub eject: Eject,
    /// The longest a request may take when its caller set no deadline.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            attempts: 16,
            losses: 2,
            resume: true,
            resume_within: Duration::from_secs(30),
            eject: Eject::default(),
            timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// When a replica that fails is left out: never more than half of a model's, and never the last one.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eject {
    /// So many failures in a row, or far more of its requests than of the others'. 0: none is ever left out.
    pub failures: u32,
    /// For how long at first; each time that it fails again, for twice as long. Then one request tries it.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// The longest for which it is left out.
    #[serde(with = "humantime_serde")]
    pub most: Duration,
}

impl Default for Eject {
    fn default() -> Self {
        Self { failures: 5, base: Duration::from_secs(10), most: Duration::from_secs(5 * 60) }
    }
}

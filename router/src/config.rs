//! The router's configuration: one YAML file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cloudach_service::{address::Address, secret::Secret, stop::Drain};
use serde::Deserialize;

use crate::{catalogue::Catalogue, placement::plan::Rules};

/// Everything the router is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where edges and sidecars reach this router.
    pub listen: Address,
    /// Where `/livez`, `/readyz`, `/metrics`, `/fleet` and `/models` are served. Absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// The models, or the file that lists them.
    pub catalogue: Source,
    /// How replicas are tried.
    #[serde(default)]
    pub relay: Relay,
    /// How requests wait when every replica of their model is busy.
    #[serde(default)]
    pub queue: Queue,
    /// How models are placed on the sidecars that are managed.
    #[serde(default)]
    pub placement: Placement,
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
    /// How long a request may be going to wait. One that would wait longer, as things go, is refused at once; one that
    /// waits already is refused when it has waited for twice as long.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// The longest that a request waits for a model that is loaded or woken for it.
    #[serde(with = "humantime_serde")]
    pub wake: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { most: 1000, wait: Duration::from_secs(10), wake: Duration::from_secs(10 * 60) }
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

/// How models are placed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// A model that was loaded or woken stays at least so long before another one may take its place, and one that was
    /// needed within this time gives way only to one that has waited for as long. Loading takes minutes: with less than
    /// that, models would be loaded and unloaded for ever.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// How long a replica is drained before it is unloaded although requests run: the longest answer that is worth
    /// waiting for.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// How long a model counts as needed after a client asked for it: longer than clients wait before they ask again.
    #[serde(with = "humantime_serde")]
    pub remembered: Duration,
    /// How long nothing is ordered after this router has begun to: sidecars that have models already attach within 3
    /// seconds, and are not to get others.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How several routers agree on the one that orders. Absent: this is the only router with managed sidecars.
    pub lease: Option<Lease>,
}

/// A lease in Redis: who holds it orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// One server: `redis://user:password@host:6379/0`, `rediss://` with TLS, or `redis+unix:///path`; or where that
    /// stands: `{env: NAME}`, `{file: PATH}`.
    pub url: Secret,
    /// How long nothing is ordered, at most, after the router that orders was killed. It is renewed four times within this.
    #[serde(default = "Lease::default_time", with = "humantime_serde")]
    pub time: Duration,
}

impl Lease {
    fn default_time() -> Duration {
        Duration::from_secs(10)
    }
}

impl Placement {
    /// What the planner goes by.
    pub fn rules(&self) -> Rules {
        Rules { hold: self.hold, drain: self.drain, remembered: self.remembered }
    }
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(5 * 60),
            drain: Duration::from_secs(5 * 60),
            remembered: Duration::from_secs(30),
            settle: Duration::from_secs(5),
            lease: None,
        }
    }
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

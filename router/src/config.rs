//! The router's configuration: one YAML file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cloudach_service::{
    address::Address, admin_token::AdminAccess, logs::Level, reload::Settings, secret::Secret, stop::Drain,
    tls::TlsConfig, trace::config::Tracing,
};
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    catalogue::{Catalogue, Names},
    placement::plan::Rules,
};

/// Everything the router is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where edges and sidecars reach this router.
    pub listen: Address,
    /// Where `/livez`, `/readyz`, `/metrics`, `/fleet` and `/models` are served. Absent: nowhere.
    pub admin: Option<SocketAddr>,
    /// How what is not for everybody who reaches that address is entered: `/traces` and `/debug`. Absent: `/traces` is for
    /// everybody who does, and `/debug` for nobody.
    #[serde(default)]
    pub admin_api: Option<AdminAccess>,
    /// TLS with edges and sidecars, in both directions. Absent: none.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// How much is logged: `info`, `debug`, or `cloudach_router=debug,info`. Taken anew while the router runs. `CLOUDACH_LOG`, where
    /// it is set, goes before it.
    #[serde(default)]
    pub log: Option<Level>,
    /// The models, or the file that lists them. Taken anew while the router runs.
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
    /// Traces of requests.
    #[serde(default)]
    pub tracing: Tracing,
    /// How the process stops.
    #[serde(default)]
    pub drain: Drain,
}

impl Settings for Config {
    fn log(&self) -> Option<&Level> {
        self.log.as_ref()
    }

    fn problem(&self) -> Option<String> {
        if let Some(problem) = self.tls.as_ref().and_then(|tls| tls.check().err()) {
            return Some(problem.to_string());
        }
        match &self.catalogue {
            Source::Here(catalogue) => Names::check(catalogue.clone()).err().map(|problem| problem.to_string()),
            // It is read by itself.
            Source::File(_) => None,
        }
    }

    fn fixed(&self) -> String {
        let (catalogue, log) = (Source::Here(Catalogue::default()), None);
        format!("{:?}", Self { catalogue, log, ..self.clone() })
    }
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
    /// Whether a request that has waited long for its first token is asked of a second replica. Absent: never.
    pub hedge: Option<Hedge>,
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

/// A lease, in Redis or in Kubernetes: who holds it orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// One server: `redis://user:password@host:6379/0`, `rediss://` with TLS, or `redis+unix:///path`; or where that
    /// stands: `{env: NAME}`, `{file: PATH}`. Absent: in Kubernetes.
    pub url: Option<Secret>,
    /// In place of Redis: a Lease object of Kubernetes. `{}` does in a pod whose service account may get, create and update
    /// `leases` of `coordination.k8s.io`.
    pub kubernetes: Option<Kubernetes>,
    /// How long nothing is ordered, at most, after the router that orders was killed. It is renewed four times within this.
    #[serde(default = "Lease::default_time", with = "humantime_serde")]
    pub time: Duration,
}

/// A Lease object, and the API server that has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// The object's name: the same for all routers of a fleet, and for no other fleet of the namespace.
    pub name: String,
    /// Its namespace. Absent: the pod's own.
    pub namespace: Option<String>,
    /// The API server: `https://HOST:PORT`. Absent: the cluster's own.
    pub url: Option<String>,
    /// The token of a service account, read anew for each connection. Absent: the pod's own.
    pub token_file: Option<PathBuf>,
    /// The certificates, in PEM, that the API server's own is checked against, read as often. Absent: the pod's own.
    pub ca_file: Option<PathBuf>,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { name: "cloudach-placement".to_owned(), namespace: None, url: None, token_file: None, ca_file: None }
    }
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
            hedge: None,
            timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// When a request is asked of a second replica, besides the one that has it and says nothing: the first that speaks answers, and
/// the other one is cancelled. Once for each request.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// After so long at the first replica without a token: a time, or `p95`, which is what 95 of 100 requests of the model
    /// have lately needed at this router. Before 64 have been measured, that is never.
    #[serde(deserialize_with = "after")]
    pub after: After,
    /// With `p95`: never sooner than this. A model that is quick is not to be asked twice for a hiccup.
    #[serde(default = "Hedge::default_least", with = "humantime_serde")]
    pub least: Duration,
    /// The most requests that may have been asked twice at once, as a share of the model's that this router has open; one
    /// always may. Above 0 and up to 1. Where all replicas are slow, more would make them slower.
    #[serde(default = "Hedge::default_share", deserialize_with = "share")]
    pub share: f64,
}

/// How long a first token is waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum After {
    Time(Duration),
    P95,
}

impl Hedge {
    fn default_least() -> Duration {
        Duration::from_millis(500)
    }

    fn default_share() -> f64 {
        0.05
    }
}

fn after<'de, D: Deserializer<'de>>(deserializer: D) -> Result<After, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "p95" {
        return Ok(After::P95);
    }
    match humantime::parse_duration(&text) {
        Ok(time) if !time.is_zero() => Ok(After::Time(time)),
        _ => Err(D::Error::custom(format!("`{text}` is neither a time above 0, as `2s`, nor `p95`"))),
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    match share > 0.0 && share <= 1.0 {
        true => Ok(share),
        false => Err(D::Error::custom("a share is above 0 and up to 1")),
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

#[cfg(test)]
mod tests {
    use cloudach_service::config;

    use super::*;

    #[test]
    fn hedges_are_read() {
        let read = |hedge: &str| config::parse::<Relay>(&format!("hedge: {hedge}")).map(|relay| relay.hedge);
        let (least, share) = (Hedge::default_least(), Hedge::default_share());
        assert_eq!(read("null"), Ok(None));
        assert_eq!(read("{after: p95}"), Ok(Some(Hedge { after: After::P95, least, share })));
        let time = After::Time(Duration::from_secs(2));
        assert_eq!(read("{after: 2s, share: 0.5}"), Ok(Some(Hedge { after: time, least, share: 0.5 })));
        for wrong in
            ["{}", "{after: p99}", "{after: 0s}", "{after: 2}", "{after: 2s, share: 0}", "{after: 2s, share: 2}"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

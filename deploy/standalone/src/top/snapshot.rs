//! What the processes say at one moment.

use std::{collections::BTreeMap, time::Instant};

use futures_util::future::join_all;
use serde::Deserialize;

use super::page::Page;
use crate::{admin::AdminError, at};

/// What kind of process answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Edge,
    Router,
    Sidecar,
}

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    pub kind: Kind,
    pub metrics: Page,
    pub replicas: Vec<Replica>,
    pub models: Vec<Model>,
}

/// A replica as a router tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Replica {
    pub name: String,
    pub model: String,
    pub phase: String,
    pub detail: String,
    pub running: u32,
    pub waiting: u32,
    pub kv_cache_usage: f64,
    pub completion_tokens: u64,
}

/// A model as a router tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Model {
    pub id: String,
    pub ready: usize,
    pub waiting: usize,
    pub waits_for: String,
}

#[derive(Debug, Deserialize)]
struct Fleet {
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Models {
    models: Vec<Model>,
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub at: Instant,
    /// By address.
    pub processes: BTreeMap<String, Process>,
    /// Addresses that do not answer as they should, and why.
    pub problems: Vec<(String, String)>,
}

impl Snapshot {
    /// Asks all addresses at once.
    pub async fn take(at: &at::At, token: Option<&str>) -> Self {
        let asked = at.urls().iter().map(|url| async move { (url.to_string(), process(url, token).await) });
        let mut snapshot = Self { at: Instant::now(), processes: BTreeMap::new(), problems: Vec::new() };
        for (url, told) in join_all(asked).await {
            match told {
                Ok(process) => drop(snapshot.processes.insert(url, process)),
                Err(error) => snapshot.problems.push((url, error.to_string())),
            }
        }
        // When what is told was true.
        snapshot.at = Instant::now();
        snapshot
    }
}

async fn process(url: &hyper::Uri, token: Option<&str>) -> Result<Process, AdminError> {
    let ask = async |path: &str| at::ask(url, token, path).await;
    let metrics = Page::parse(&String::from_utf8_lossy(&ask("/metrics").await?));
    let has = |prefix: &str| metrics.0.iter().any(|sample| sample.name.starts_with(prefix));
    let kind = match () {
        () if has("cloudach_edge_") => Kind::Edge,
        () if has("cloudach_router_") => Kind::Router,
        () if has("cloudach_sidecar_") => Kind::Sidecar,
        () => return Err(AdminError::Refused(format!("{url} is no admin address of the gateway"))),
    };
    let mut process = Process { kind, metrics, replicas: Vec::new(), models: Vec::new() };
    if kind == Kind::Router {
        let broken = |error: serde_json::Error| AdminError::Broken(error.to_string());
        let (fleet, models) = (ask("/fleet").await?, ask("/models").await?);
        process.replicas = serde_json::from_slice::<Fleet>(&fleet).map_err(broken)?.replicas;
        process.models = serde_json::from_slice::<Models>(&models).map_err(broken)?.models;
    }
    Ok(process)
}

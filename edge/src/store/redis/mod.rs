//! The store in Redis or Valkey. What belongs to a tenant lies in that tenant's slot, and what keys and tenants are in one
//! of its own, so that every call goes to one node of a cluster.

pub mod batches;
mod claims;
mod conversations;
mod documents;
pub mod files;
mod ledger;
mod link;
mod pulse;
mod responses;
mod tls;
mod topology;
mod trouble;
mod usage;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cloudach_openai::ids;
use cloudach_service::stop::Running;
use tokio::{sync::broadcast, time::timeout};

use super::{Change, MOST_CHANGES, StoreError, config::RedisConfig};
use crate::{http::arrival::random, metrics::StoreMetrics};
use batches::BatchScripts;
use files::FileScripts;
use link::Link;
use pulse::Heard;
pub use topology::RedisUrlError;
use topology::Topology;

/// The store in Redis. Clones share it.
#[derive(Debug, Clone)]
pub struct Redis {
    link: Link,
    heard: Heard,
    scripts: Arc<Scripts>,
}

/// What Redis does in one step.
#[derive(Debug)]
struct Scripts {
    reserve: redis::Script,
    settle: redis::Script,
    renew: redis::Script,
    put: redis::Script,
    lookup: redis::Script,
    tenant: redis::Script,
    append: redis::Script,
    claim: redis::Script,
    renew_claim: redis::Script,
    keep_answer: redis::Script,
    keep_response: redis::Script,
    extend_response: redis::Script,
    response: redis::Script,
    cancel_response: redis::Script,
    files: FileScripts,
    batches: BatchScripts,
    change_conversation: redis::Script,
}

impl Redis {
    /// Starts to look for the servers, and waits for them no longer than a call may take.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub async fn open(config: &RedisConfig, metrics: StoreMetrics, running: &Running) -> Result<Self, StoreError> {
        let url = config.url.reveal()?;
        let topology = Arc::new(Topology::of(&url, config)?);
        let link = Link::new(config.deadline, metrics);
        let heard = Heard { changes: broadcast::Sender::new(MOST_CHANGES), edges: Arc::new(AtomicU64::new(1)) };
        if let Ok(Ok(wire)) = timeout(config.deadline, topology.connect(config.deadline)).await {
            link.connected(wire);
        }
        let edge = ids::request(random());
        let (beat, listen) =
            (pulse::beat(topology.clone(), link.clone(), edge), pulse::listen(topology, link.clone(), heard.clone()));
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(beat));
        running.background.spawn(running.kill.clone().run_until_cancelled_owned(listen));
        Ok(Self { link, heard, scripts: Arc::new(Scripts::new()) })
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.heard.changes.subscribe()
    }

    /// How many edges were heard lately.
    pub fn edges(&self) -> u64 {
        self.heard.edges.load(Ordering::Relaxed)
    }
}

impl Scripts {
    fn new() -> Self {
        const TALLY: &str = include_str!("tally.lua");
        let with_tally = |script: &str| redis::Script::new(&format!("{TALLY}{script}"));
        Self {
            reserve: with_tally(include_str!("reserve.lua")),
            settle: with_tally(include_str!("settle.lua")),
            renew: with_tally(include_str!("renew.lua")),
            put: redis::Script::new(include_str!("put.lua")),
            lookup: redis::Script::new(include_str!("lookup.lua")),
            tenant: redis::Script::new(include_str!("tenant.lua")),
            append: redis::Script::new(include_str!("append.lua")),
            claim: redis::Script::new(include_str!("claim.lua")),
            renew_claim: redis::Script::new(include_str!("renew_claim.lua")),
            keep_answer: redis::Script::new(include_str!("keep_answer.lua")),
            keep_response: redis::Script::new(include_str!("keep_response.lua")),
            extend_response: redis::Script::new(include_str!("extend_response.lua")),
            response: redis::Script::new(include_str!("response.lua")),
            cancel_response: redis::Script::new(include_str!("cancel_response.lua")),
            files: FileScripts::new(),
            batches: BatchScripts::new(),
            change_conversation: redis::Script::new(include_str!("change_conversation.lua")),
        }
    }
}

/// The name of what belongs to a tenant.
fn tenants_key(tenant: &str, what: &str) -> String {
    format!("cloudach:{}:{what}", Slot(tenant))
}

/// A tenant as the part of keys that decides on their slot. Never empty, and whatever the tenant's name is, one pair of braces.
struct Slot<'a>(&'a str);

impl std::fmt::Display for Slot<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("{t:")?;
        for c in self.0.chars() {
            if c.is_alphanumeric() || matches!(c, '.' | '_' | '-') {
                write!(formatter, "{c}")?;
            } else {
                write!(formatter, "%{:x}%", u32::from(c))?;
            }
        }
        formatter.write_str("}")
    }
}

//! What a fleet is to be: how many processes of each kind, in front of which engines, with which settings.

use cloudach_fake_engine::Script;
use serde_json::{Value, json};

/// Everything about a fleet that a test chooses.
#[derive(Debug)]
pub struct Plan {
    pub edges: usize,
    pub routers: usize,
    /// A sidecar for each.
    pub replicas: Vec<Replica>,
    /// How the services reach one another.
    pub link: Link,
    /// The catalogue's `models`, beyond an entry for each replica's model.
    pub models: Value,
    /// Settings of every edge, router and sidecar, laid over the defaults.
    pub edge: Value,
    pub router: Value,
    pub sidecar: Value,
}

/// An engine and the model that it is said to serve.
#[derive(Debug)]
pub struct Replica {
    /// The catalogue's name.
    pub model: &'static str,
    pub engine: Engine,
}

/// Where a replica's engine is.
#[derive(Debug)]
pub enum Engine {
    /// A scripted one in the test process.
    Fake(Box<Script>),
    /// What the sidecar starts by this command. The word `fake-engine` stands for the scripted one's program, which is
    /// to take what is added behind: where to listen.
    Child(&'static [&'static str]),
    /// What the sidecar starts by this command when a router orders it: the replica has no model before.
    Managed(&'static [&'static str]),
    /// Nowhere: nothing listens at its address.
    Absent,
}

/// How the services reach one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    UnixSockets,
    Tcp,
}

impl Default for Plan {
    /// One of each, stopping without waiting for load balancers that are not there.
    fn default() -> Self {
        Self {
            edges: 1,
            routers: 1,
            replicas: vec![Replica::fake(Script::vllm())],
            link: Link::UnixSockets,
            models: json!({}),
            edge: json!({}),
            router: json!({}),
            sidecar: json!({}),
        }
    }
}

impl Plan {
    /// One edge, one router, and a replica for each script.
    pub fn of(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self { replicas: scripts.into_iter().map(Replica::fake).collect(), ..Self::default() }
    }
}

impl Replica {
    /// A scripted engine for the model `fake-model`.
    pub fn fake(script: Script) -> Self {
        Self { model: "fake-model", engine: Engine::Fake(Box::new(script)) }
    }

    /// The same for another model.
    pub fn of(model: &'static str, script: Script) -> Self {
        Self { model, engine: Engine::Fake(Box::new(script)) }
    }
}

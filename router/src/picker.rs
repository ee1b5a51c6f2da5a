//! Picks a replica for a request out of what the fleet says now, and counts what is in flight there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cloudach_proto::v1::{GenerateRequest, Priority, TokenUsage};
use tokio::time::Instant;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    catalogue::Current,
    config::Eject,
    fleet::{Fleet, Replica},
    outliers::{Outliers, Trial},
    pick::{self, Ask, Candidate, Policy, Why, prefix::Blocks},
    queue::Class,
};

/// Tokens that an answer without a bound is expected to have, where requests are weighed against one another.
const USUAL_ANSWER: u32 = 256;

/// Requests that wait in an engine's own queue while it is said to have room, so that it never runs dry.
const KEPT_WAITING: u32 = 8;

/// Requests that may be on their way to an engine before it reports again.
const UNREPORTED: u32 = 512;

/// What is to be known of a request to place it.
#[derive(Debug, Default)]
pub struct Wanted {
    pub model: String,
    pub tenant: String,
    pub class: Class,
    blocks: Blocks,
    session: Option<u64>,
    max_tokens: u32,
}

impl Wanted {
    /// What a request wants that one message answers: any replica, and nothing to wait for.
    pub fn anywhere(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    /// About how many tokens it takes.
    pub fn cost(&self) -> u64 {
        u64::from(self.blocks.tokens()) + u64::from(self.max_tokens)
    }
}

/// Picks replicas.
#[derive(Debug)]
pub struct Picker {
    names: Current,
    fleet: Arc<Fleet>,
    turn: AtomicUsize,
    /// Of the hashes of prompts.
    seed: u64,
    outliers: Arc<Outliers>,
}

/// A place at a replica, taken until this is dropped.
#[derive(Debug)]
pub struct Placed {
    pub replica: Arc<Replica>,
    pub why: Why,
    fleet: Arc<Fleet>,
    /// Tells how the replica did.
    trial: Trial,
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.replica.land();
        self.fleet.make_room();
    }
}

impl Placed {
    /// The replica has answered, and says what it used.
    pub fn learn(&self, usage: Option<&TokenUsage>) {
        self.trial.succeeded();
        if let Some(usage) = usage {
            self.replica.read.learn(self.why.cached_tokens, usage.cached_tokens);
        }
    }
}

impl Placed {
    /// The request failed there, and it was the replica that did.
    pub fn lost(&self) {
        self.trial.failed();
    }
}

impl Picker {
    /// Over these models and replicas. `seed` is this process's own.
    pub fn new(names: Current, fleet: Arc<Fleet>, seed: u64, eject: Eject) -> Self {
        let outliers = Arc::new(Outliers::new(fleet.clone(), eject));
        Self { names, fleet, turn: AtomicUsize::new(0), seed, outliers }
    }

    /// Counts those that were left out.
    pub fn outliers(&self) -> &Outliers {
        &self.outliers
    }

    /// What a request wants. Its model is a name of the catalogue.
    pub fn wanted(&self, request: &GenerateRequest) -> Wanted {
        let context = request.context.as_ref();
        let priority = context.map_or(Priority::Unspecified, |context| context.priority());
        let session = context.map(|context| context.session.as_str()).filter(|session| !session.is_empty());
        let max_tokens = request.sampling.as_ref().and_then(|sampling| sampling.max_tokens);
        Wanted {
            model: request.model.clone(),
            tenant: context.map(|context| context.tenant.clone()).unwrap_or_default(),
            class: match priority {
                Priority::High => Class::High,
                Priority::Unspecified | Priority::Normal => Class::Normal,
                Priority::Low => Class::Low,
            },
            blocks: Blocks::of(request, self.seed),
            session: session.map(|session| xxh3_64(session.as_bytes())),
            max_tokens: max_tokens.unwrap_or(USUAL_ANSWER).min(USUAL_ANSWER),
        }
    }

    /// A place where the request need not wait.
    pub fn with_room(&self, wanted: &Wanted) -> Option<Placed> {
        let now = Instant::now();
        let well = |replica: &Arc<Replica>| replica.health.lock().takes(now);
        // Who is left out takes nothing, however long the queue is, while others are there.
        let some_are = self.fleet.ready(&wanted.model).iter().any(well);
        self.pick(wanted, |replica| (well(replica) || !some_are) && self.has_room(replica, &wanted.model))
    }

    /// A place where the request need not wait, at one of the replicas that `may` be asked and are well.
    pub fn spare(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        let now = Instant::now();
        self.pick(wanted, |replica| {
            may(replica) && replica.health.lock().takes(now) && self.has_room(replica, &wanted.model)
        })
    }

    /// A place at one of the replicas that `may` be asked, with room or without.
    pub fn pick(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        let ready = self.fleet.ready(&wanted.model);
        let (now, mut open) = (Instant::now(), ready.iter().filter(|replica| may(replica)).collect::<Vec<_>>());
        // Better one that fails than none.
        if open.iter().any(|replica| replica.health.lock().takes(now)) {
            open.retain(|replica| replica.health.lock().takes(now));
        }
        let policy = match self.names.now().entry(&wanted.model).map(|entry| entry.policy).unwrap_or_default() {
            Policy::Session if wanted.session.is_none() => Policy::Prefix,
            policy => policy,
        };
        let candidates: Vec<Candidate> = open.iter().map(|replica| self.candidate(replica, wanted, policy)).collect();
        let ask = Ask {
            policy,
            prompt_tokens: wanted.blocks.tokens(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            candidates: &candidates,
        };
        let choice = pick::pick(ask)?;
        let replica = open[choice.index].clone();
        replica.take_off();
        if policy == Policy::Prefix {
            replica.read.note(&wanted.blocks);
        }
        let trial = Trial::begin(self.outliers.clone(), replica.clone(), &wanted.model);
        Some(Placed { replica, why: choice.why, fleet: self.fleet.clone(), trial })
    }

    /// Waits until there may be more room than before.
    pub async fn room_made(&self) {
        self.fleet.room_made().await;
    }

    fn candidate(&self, replica: &Replica, wanted: &Wanted, policy: Policy) -> Candidate {
        let load = replica.load();
        Candidate {
            in_flight: replica.in_flight(),
            running: load.running,
            waiting: load.waiting,
            kv_cache_usage: load.kv_cache_usage,
            cached_tokens: if policy == Policy::Prefix { replica.read.cached_tokens(&wanted.blocks) } else { 0 },
            adapter: replica.residency(&wanted.model),
            rank: wanted.session.map_or(0, |session| xxh3_64_with_seed(replica.name.as_bytes(), session)),
            has_room: self.has_room(replica, &wanted.model),
        }
    }

    fn has_room(&self, replica: &Replica, model: &str) -> bool {
        let load = replica.load();
        let reported = load.running.saturating_add(load.waiting);
        let in_flight = replica.in_flight();
        match self.names.now().entry(model).and_then(|entry| entry.max_concurrent) {
            Some(most) => in_flight.max(reported) < most,
            None => load.waiting < KEPT_WAITING && in_flight.saturating_sub(reported) < UNREPORTED,
        }
    }
}

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

/// Which replicas are out of the question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Those without room.
    pub room: bool,
    /// Those that are left out because they fail, also where no others are.
    pub well: bool,
}

/// What the catalogue says of picks for a model.
#[derive(Debug, Clone, Copy)]
struct Rules {
    policy: Policy,
    max_concurrent: Option<u32>,
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
        self.among(&self.fleet.ready(&wanted.model), wanted, Limits { room: true, well: false }, |_| true)
    }

    /// A place where the request need not wait, at one of the replicas that `may` be asked and are well.
    pub fn spare(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        self.among(&self.fleet.ready(&wanted.model), wanted, Limits { room: true, well: true }, may)
    }

    /// A place at one of the replicas that `may` be asked, with room or without.
    pub fn pick(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        self.among(&self.fleet.ready(&wanted.model), wanted, Limits::default(), may)
    }

    /// A place at one of these replicas.
    pub fn among(
        &self,
        ready: &[Arc<Replica>],
        wanted: &Wanted,
        limits: Limits,
        may: impl Fn(&Arc<Replica>) -> bool,
    ) -> Option<Placed> {
        let now = Instant::now();
        let mut open: Vec<_> = ready.iter().filter(|replica| may(replica)).collect();
        // Better one that fails than none: it takes nothing, however long the queue is, while others are there.
        if limits.well || open.iter().any(|replica| replica.takes(now)) {
            open.retain(|replica| replica.takes(now));
        }
        let rules = self.rules(wanted);
        let mut candidates = Vec::with_capacity(open.len());
        open.retain(|replica| {
            let candidate = candidate(replica, wanted, rules);
            let takes = candidate.has_room || !limits.room;
            if takes {
                candidates.push(candidate);
            }
            takes
        });
        if rules.policy == Policy::Prefix {
            let mut guess = 0;
            for (candidate, replica) in candidates.iter_mut().zip(&open) {
                candidate.cached_tokens = replica.read.cached_tokens(&wanted.blocks, &mut guess);
            }
        }
        let ask = Ask {
            policy: rules.policy,
            prompt_tokens: wanted.blocks.tokens(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            candidates: &candidates,
        };
        let choice = pick::pick(ask)?;
        let replica = open[choice.index].clone();
        replica.take_off();
        if rules.policy == Policy::Prefix {
            replica.read.note(&wanted.blocks);
        }
        let trial = Trial::begin(self.outliers.clone(), replica.clone(), &wanted.model);
        Some(Placed { replica, why: choice.why, fleet: self.fleet.clone(), trial })
    }

    /// Waits until there may be more room than before.
    pub async fn room_made(&self) {
        self.fleet.room_made().await;
    }

    fn rules(&self, wanted: &Wanted) -> Rules {
        let names = self.names.now();
        let entry = names.entry(&wanted.model);
        let policy = match entry.map(|entry| entry.policy).unwrap_or_default() {
            Policy::Session if wanted.session.is_none() => Policy::Prefix,
            policy => policy,
        };
        Rules { policy, max_concurrent: entry.and_then(|entry| entry.max_concurrent) }
    }
}

/// What is known of a replica, but for what it has read.
fn candidate(replica: &Replica, wanted: &Wanted, rules: Rules) -> Candidate {
    let (in_flight, running, waiting) = (replica.in_flight(), replica.glance.running(), replica.glance.waiting());
    let reported = running.saturating_add(waiting);
    let rank = match wanted.session {
        Some(session) if rules.policy == Policy::Session => xxh3_64_with_seed(replica.name.as_bytes(), session),
        _ => 0,
    };
    Candidate {
        in_flight,
        running,
        waiting,
        kv_cache_usage: replica.glance.kv_cache_usage(),
        cached_tokens: 0,
        adapter: replica.residency(&wanted.model),
        rank,
        has_room: match rules.max_concurrent {
            Some(most) => in_flight.max(reported) < most,
            None => waiting < KEPT_WAITING && in_flight.saturating_sub(reported) < UNREPORTED,
        },
    }
}

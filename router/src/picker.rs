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
    fleet::{Fleet, Replica, Serving},
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
    pub model: Arc<str>,
    pub tenant: String,
    pub class: Class,
    blocks: Blocks,
    session: Option<u64>,
    max_tokens: u32,
}

impl Wanted {
    /// What a request wants that one message answers: any replica, and nothing to wait for.
    pub fn anywhere(model: &str) -> Self {
        Self { model: model.into(), ..Self::default() }
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
    /// The replica answers.
    pub fn answers(&self) {
        self.trial.answers();
    }

    /// The replica has answered, and says what it used.
    pub fn learn(&self, usage: Option<&TokenUsage>) {
        self.trial.succeeded();
        if let Some(usage) = usage {
            self.replica.read.learn(self.why.cached_tokens, usage.cached_tokens);
        }
    }

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
            model: request.model.as_str().into(),
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

    /// A place where the request need not wait. Who is left out takes nothing, however long the queue is, while others are
    /// there.
    pub fn with_room(&self, wanted: &Wanted) -> Option<Placed> {
        self.place(wanted, Needs { room: true, others: true }, |_| true)
    }

    /// A place where the request need not wait, at one of the replicas that `may` be asked and are well.
    pub fn spare(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        self.place(wanted, Needs { room: true, others: false }, may)
    }

    /// A place at one of the replicas that `may` be asked, with room or without.
    pub fn pick(&self, wanted: &Wanted, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        self.place(wanted, Needs { room: false, others: true }, may)
    }

    fn place(&self, wanted: &Wanted, needs: Needs, may: impl Fn(&Arc<Replica>) -> bool) -> Option<Placed> {
        self.among(&self.fleet.ready(&wanted.model), wanted, needs, may)
    }

    /// A place at one of these replicas. Looks at each of them once: a model may have hundreds.
    pub fn among(
        &self,
        serving: &Serving,
        wanted: &Wanted,
        needs: Needs,
        may: impl Fn(&Arc<Replica>) -> bool,
    ) -> Option<Placed> {
        let now = Instant::now();
        let view = self.view(wanted, serving);
        // Most replicas have read as much of a prompt as the one before.
        let mut has_read = 0;
        let mut open = Open::with_capacity(serving.replicas.len());
        let (mut some_are_well, mut left_out) = (false, Open::default());
        for replica in serving.replicas.iter().filter(|replica| may(replica)) {
            let is_well = replica.takes(now);
            some_are_well |= is_well;
            let mut candidate = view.candidate(replica);
            if candidate.has_room || !needs.room {
                if view.policy == Policy::Prefix {
                    candidate.cached_tokens = replica.read.cached_tokens(&wanted.blocks, &mut has_read);
                }
                (if is_well { &mut open } else { &mut left_out }).add(replica, candidate);
            }
        }
        // Better one that fails than none.
        if !some_are_well && needs.others {
            open = left_out;
        }
        let ask = Ask {
            policy: view.policy,
            prompt_tokens: wanted.blocks.tokens(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            candidates: &open.candidates,
        };
        let choice = pick::pick(ask)?;
        let replica = open.replicas[choice.index].clone();
        replica.take_off();
        if view.policy == Policy::Prefix {
            replica.read.note(&wanted.blocks);
        }
        let trial = Trial::begin(self.outliers.clone(), replica.clone(), wanted.model.clone());
        Some(Placed { replica, why: choice.why, fleet: self.fleet.clone(), trial })
    }

    fn view<'a>(&self, wanted: &'a Wanted, serving: &Serving) -> View<'a> {
        let names = self.names.now();
        let entry = names.entry(&wanted.model);
        let policy = match entry.map(|entry| entry.policy).unwrap_or_default() {
            Policy::Session if wanted.session.is_none() => Policy::Prefix,
            policy => policy,
        };
        View {
            wanted,
            policy,
            max_concurrent: entry.and_then(|entry| entry.max_concurrent),
            is_adapter: serving.is_adapter,
        }
    }

    /// Somebody waits who was not there when room was made last.
    pub fn look_again(&self) {
        self.fleet.make_room();
    }

    /// Waits until there may be more room than before.
    pub async fn room_made(&self) {
        self.fleet.room_made().await;
    }
}

/// What a place has to be.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// There is room.
    pub room: bool,
    /// One of those that are left out will do, where nobody else is there.
    pub others: bool,
}

/// Replicas that may be chosen, and what is known of each.
#[derive(Debug, Default)]
struct Open<'a> {
    replicas: Vec<&'a Arc<Replica>>,
    candidates: Vec<Candidate>,
}

impl<'a> Open<'a> {
    fn with_capacity(most: usize) -> Self {
        Self { replicas: Vec::with_capacity(most), candidates: Vec::with_capacity(most) }
    }

    fn add(&mut self, replica: &'a Arc<Replica>, candidate: Candidate) {
        self.replicas.push(replica);
        self.candidates.push(candidate);
    }
}

/// How replicas are looked at for one request.
struct View<'a> {
    wanted: &'a Wanted,
    policy: Policy,
    max_concurrent: Option<u32>,
    /// What is asked for may be an adapter.
    is_adapter: bool,
}

impl View<'_> {
    /// What is known of a replica, but for what it has read.
    fn candidate(&self, replica: &Replica) -> Candidate {
        let Self { wanted, max_concurrent, is_adapter, .. } = *self;
        let (glance, in_flight) = (&replica.glance, replica.in_flight());
        let (waiting, reported) = (glance.waiting(), glance.reported());
        Candidate {
            in_flight,
            running: glance.running(),
            waiting,
            kv_cache_usage: glance.kv_cache_usage(),
            cached_tokens: 0,
            adapter: if is_adapter { replica.residency(&wanted.model) } else { None },
            rank: wanted.session.map_or(0, |session| xxh3_64_with_seed(replica.name.as_bytes(), session)),
            has_room: match max_concurrent {
                Some(most) => in_flight.max(reported) < most,
                None => waiting < KEPT_WAITING && in_flight.saturating_sub(reported) < UNREPORTED,
            },
        }
    }
}

//! What an engine reports of itself: requests running and waiting, tokens, and the bodies it received.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::choice::Finish;
use crate::prefix_cache::PrefixCache;

/// Gauges and counters since the start.
#[derive(Debug)]
pub(crate) struct Load {
    slots: Arc<Semaphore>,
    running: AtomicUsize,
    waiting: AtomicUsize,
    /// Tokens of the requests that are running now.
    live_tokens: AtomicU64,
    kv_cache_tokens: u32,
    prefix_cache: Mutex<PrefixCache>,
    pub(crate) prefix_queries: AtomicU64,
    pub(crate) prefix_hits: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    generated: AtomicU64,
    pub(crate) finished_stop: AtomicU64,
    pub(crate) finished_length: AtomicU64,
    pub(crate) finished_abort: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

/// A request that runs: it is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    load: Arc<Load>,
    tokens: u64,
    _slot: OwnedSemaphorePermit,
}

/// So many requests wait already that no more may.
#[derive(Debug)]
pub(crate) struct QueueFull;

/// The latest requests.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    bodies: VecDeque<Value>,
    traces: VecDeque<Option<TraceHeaders>>,
}

/// What a request says of its trace: the headers `traceparent` and `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeaders {
    pub traceparent: String,
    pub tracestate: Option<String>,
}

/// A request that waits: it is counted until this is dropped.
struct Waiting<'a>(&'a Load);

impl Load {
    pub(crate) fn new(max_running: usize, kv_cache_tokens: u32) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(max_running.clamp(1, Semaphore::MAX_PERMITS))),
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            live_tokens: AtomicU64::new(0),
            kv_cache_tokens: kv_cache_tokens.max(1),
            prefix_cache: Mutex::new(PrefixCache::new(kv_cache_tokens)),
            prefix_queries: AtomicU64::new(0),
            prefix_hits: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            generated: AtomicU64::new(0),
            finished_stop: AtomicU64::new(0),
            finished_length: AtomicU64::new(0),
            finished_abort: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Waits for a place among the running requests.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        max_queued: Option<usize>,
        prompt_tokens: u64,
    ) -> Result<Running, QueueFull> {
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                if max_queued.is_some_and(|most| self.waiting() >= most) {
                    self.rejected.fetch_add(1, Ordering::Relaxed);
                    return Err(QueueFull);
                }
                let _waiting = Waiting::new(self);
                Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
            }
        };
        self.running.fetch_add(1, Ordering::Relaxed);
        self.live_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
        self.prompt_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
        Ok(Running { load: Arc::clone(self), tokens: prompt_tokens, _slot: slot })
    }

    /// Looks a prompt up in the prefix cache and puts it in: returns how many of its tokens were there.
    pub(crate) fn look_up_prefix(&self, prompt: &[u32], salt: &str) -> u32 {
        let hits = self.prefix_cache.lock().unwrap_or_else(PoisonError::into_inner).look_up(prompt, salt);
        self.prefix_queries.fetch_add(prompt.len() as u64, Ordering::Relaxed);
        self.prefix_hits.fetch_add(u64::from(hits), Ordering::Relaxed);
        hits
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn generated(&self) -> u64 {
        self.generated.load(Ordering::Relaxed)
    }

    /// The share of the KV cache that running requests hold, 0 to 1.
    pub(crate) fn kv_cache_usage(&self) -> f64 {
        let live = u32::try_from(self.live_tokens.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        (f64::from(live) / f64::from(self.kv_cache_tokens)).min(1.0)
    }

    pub(crate) fn kv_cache_tokens(&self) -> u32 {
        self.kv_cache_tokens
    }
}

impl Running {
    pub(crate) fn generated(&mut self, tokens: u64) {
        self.tokens += tokens;
        self.load.live_tokens.fetch_add(tokens, Ordering::Relaxed);
        self.load.generated.fetch_add(tokens, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self, finish: Finish) {
        let counter = match finish {
            Finish::EndOfSequence | Finish::StopString(_) | Finish::StopToken(_) => &self.load.finished_stop,
            Finish::Length => &self.load.finished_length,
            Finish::Abort => &self.load.finished_abort,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.load.running.fetch_sub(1, Ordering::Relaxed);
        self.load.live_tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

impl<'a> Waiting<'a> {
    fn new(load: &'a Load) -> Self {
        load.waiting.fetch_add(1, Ordering::Relaxed);
        Self(load)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Recorded {
    pub(crate) fn push(&mut self, body: &Value, most: usize) {
        push(&mut self.bodies, body.clone(), most);
    }

    pub(crate) fn push_trace(&mut self, trace: Option<TraceHeaders>, most: usize) {
        push(&mut self.traces, trace, most);
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.bodies.iter().cloned().collect()
    }

    pub(crate) fn traces(&self) -> Vec<Option<TraceHeaders>> {
        self.traces.iter().cloned().collect()
    }
}

fn push<T>(kept: &mut VecDeque<T>, latest: T, most: usize) {
    if most == 0 {
        return;
    }
    while kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(latest);
}

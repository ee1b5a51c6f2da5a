//! The way to Redis: one connection that all calls share, each with a deadline. A connection that fails is given up, and from
//! then on calls fail at once: only the pulse makes a new one, so that no request ever waits for a server that is away.
//!
//! One connection, because calls are pipelined on it anyway: a pool would ask whether each of its connections lives before it
//! lends it, which is one more round trip for every call (docs/decisions/0013-one-connection-to-redis.md).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::{sync::Notify, time::timeout};
use tracing::{info, warn};

use super::topology::Wire;
use crate::{
    metrics::{Call, StoreMetrics},
    store::Away,
};

/// After so many calls in a row that were not answered in time, the connection is given up.
const MOST_TIMEOUTS: u32 = 3;

/// The connection, and what is known of it. Clones share it.
#[derive(Debug, Clone)]
pub struct Link(Arc<Parts>);

struct Parts {
    wire: Mutex<Option<Numbered>>,
    connections: AtomicU64,
    timeouts: AtomicU32,
    deadline: Duration,
    /// Told when there is no connection any more.
    lost: Notify,
    metrics: StoreMetrics,
}

/// A connection with its number, so that a late failure of an old one does not end a new one.
#[derive(Clone)]
struct Numbered {
    number: u64,
    wire: Wire,
}

impl Link {
    /// Nothing is connected yet.
    pub fn new(deadline: Duration, metrics: StoreMetrics) -> Self {
        Self(Arc::new(Parts {
            wire: Mutex::new(None),
            connections: AtomicU64::new(0),
            timeouts: AtomicU32::new(0),
            deadline,
            lost: Notify::new(),
            metrics,
        }))
    }

    /// Does `what` with the connection, within the deadline.
    pub async fn call<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: Call,
        what: impl FnOnce(Wire) -> F,
    ) -> Result<T, Away> {
        let Some(Numbered { number, wire }) = self.0.wire.lock().clone() else { return Err(Away::Disconnected) };
        let begun = Instant::now();
        let result = match timeout(self.0.deadline, what(wire)).await {
            Ok(Ok(value)) => {
                self.0.timeouts.store(0, Ordering::Relaxed);
                Ok(value)
            }
            Ok(Err(error)) => Err(self.failed(number, &error)),
            Err(_) => {
                if self.0.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_TIMEOUTS {
                    self.give_up(number, "it does not answer in time");
                }
                Err(Away::TimedOut)
            }
        };
        self.0.metrics.called(call, result.is_ok(), begun.elapsed());
        result
    }

    /// From now on calls go this way.
    pub fn connected(&self, wire: Wire) {
        self.0.timeouts.store(0, Ordering::Relaxed);
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        *self.0.wire.lock() = Some(Numbered { number, wire });
        self.0.metrics.up.set(1);
        info!("the store is there");
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.0.wire.lock().is_some()
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.0.lost.notified().await;
    }

    /// Counts the edges.
    pub fn count_edges(&self, edges: u64) {
        self.0.metrics.edges.set(i64::try_from(edges).unwrap_or(i64::MAX));
    }

    fn failed(&self, number: u64, error: &RedisError) -> Away {
        match error.kind() {
            // It would answer, if it had room, or is not the one to ask any more.
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown,
            ) => {
                self.give_up(number, "it takes no writes");
                Away::Refused(error.code().unwrap_or_default().to_owned())
            }
            ErrorKind::Server(_) | ErrorKind::Extension => Away::Refused(error.to_string()),
            ErrorKind::Io if error.is_timeout() => Away::TimedOut,
            _ => {
                self.give_up(number, "the connection has failed");
                Away::TimedOut
            }
        }
    }

    fn give_up(&self, number: u64, why: &str) {
        let mut held = self.0.wire.lock();
        if held.as_ref().is_some_and(|held| held.number == number) {
            *held = None;
            self.0.metrics.up.set(0);
            self.0.lost.notify_one();
            warn!(why, "the store is away: known keys go on, and limits are this edge's share of them");
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("is_up", &self.wire.lock().is_some()).finish_non_exhaustive()
    }
}

//! The right to run a request. Dropped, it is given back, so that the next one with the same key runs; only a whole answer
//! is kept in its place.

use tokio::task::JoinHandle;

use super::{Idempotency, Place, Turn};
use crate::metrics::Idempotent;

/// See above.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Claim {
    idempotency: Idempotency,
    place: Place,
    request_id: String,
    /// There is something to give back.
    is_held: bool,
}

impl Claim {
    pub(super) fn new(idempotency: Idempotency, place: Place, request_id: String) -> Self {
        idempotency.0.open.lock().insert(request_id.clone(), place.clone());
        Self { idempotency, place, request_id, is_held: true }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The store says that it is none of this request's.
    pub(super) fn gives_way(mut self, turn: Turn) -> Turn {
        self.is_held = false;
        turn
    }

    /// The request that runs.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The largest answer that is kept, in bytes.
    pub fn most_bytes(&self) -> usize {
        self.idempotency.most_bytes()
    }

    /// Counts that the answer is too large to be kept.
    pub fn count_too_large(&self) {
        self.idempotency.0.metrics.count(Idempotent::TooLarge);
    }

    /// Gives it back, whether or not somebody waits for that.
    pub fn release(mut self) -> JoinHandle<()> {
        self.is_held = false;
        self.give_back()
    }

    fn give_back(&self) -> JoinHandle<()> {
        let (idempotency, place) = (self.idempotency.clone(), self.place.clone());
        let request_id = self.request_id.clone();
        self.idempotency.0.running.background.spawn(async move {
            // Where it fails, it lapses.
            let _ = idempotency.0.store.release_claim(&place, &request_id).await;
        })
    }

    /// Keeps the answer, whether or not somebody waits for that.
    pub fn keep(mut self, answer: Vec<u8>) -> JoinHandle<()> {
        self.is_held = false;
        let running = self.idempotency.0.running.clone();
        running.background.spawn(async move {
            let Self { idempotency, place, request_id, .. } = &self;
            // Where it fails, the claim lapses, and the next request runs.
            if let Ok(true) = idempotency.0.store.keep_answer(place, request_id, answer, &idempotency.0.config).await {
                idempotency.0.metrics.count(Idempotent::Kept);
            }
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.idempotency.0.open.lock().remove(&self.request_id);
        if self.is_held {
            self.give_back();
        }
    }
}

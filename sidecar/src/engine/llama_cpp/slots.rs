//! The engine's slots: as many requests are sent as it has, the others wait here, first come first served.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of an engine, all of them taken until it says how many there are.
#[derive(Debug)]
pub(super) struct Slots {
    /// How many there are, and those that are free.
    slots: Mutex<(usize, Arc<Semaphore>)>,
    queued: AtomicU32,
}

/// A place in the engine, free again when this is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: Mutex::new((0, Arc::new(Semaphore::new(0)))), queued: AtomicU32::new(0) }
    }
}

impl Slots {
    /// The engine has so many. Those that are taken stay taken: the requests on them end, whatever engine they met.
    pub(super) fn set(&self, count: usize) {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        let mut slots = self.slots.lock();
        if slots.0 == count {
            return;
        }
        let (_, before) = std::mem::replace(&mut *slots, (count, Arc::new(Semaphore::new(count))));
        // Who waits for a slot of an engine that is gone asks again for the new one.
        before.close();
    }

    /// Waits for a free one.
    pub(super) async fn take(&self) -> Slot {
        let _queued = Queued::new(&self.queued);
        loop {
            let free = self.slots.lock().1.clone();
            if let Ok(permit) = free.acquire_owned().await {
                return Slot { _permit: permit };
            }
        }
    }

    pub(super) fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }
}

/// Counts one who waits.
struct Queued<'a>(&'a AtomicU32);

impl<'a> Queued<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn no_more_than_there_are() {
        let slots = Slots::default();
        slots.set(1);
        let first = slots.take().await;
        let mut second = Box::pin(slots.take());
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(slots.queued(), 1);
        drop(first);
        second.await;
        assert_eq!(slots.queued(), 0);
    }

    #[tokio::test]
    async fn a_new_engine_has_new_slots() {
        let slots = Slots::default();
        let mut waiting = Box::pin(slots.take());
        assert!((&mut waiting).now_or_never().is_none());
        slots.set(2);
        let _first = waiting.await;
        let _second = slots.take().await;
        // The same engine looked at again.
        slots.set(2);
        let mut third = Box::pin(slots.take());
        assert!((&mut third).now_or_never().is_none());
    }
}

//! What each pick looks at of every replica, of which there may be a thousand: in one line of the processor's cache, and without
//! a lock, so that it need not wait for one replica's before it reads the next one's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use cloudach_proto::v1::Load;

/// Figures that are written one by one: who reads them may see some of before and some of after.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Glance {
    in_flight: AtomicU32,
    running: AtomicU32,
    waiting: AtomicU32,
    /// The bits of an `f32`.
    kv_cache_usage: AtomicU32,
    out: AtomicBool,
}

impl Glance {
    /// Requests that this router has there.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub fn take_off(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub fn land(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Requests inside its engine, as it last said.
    pub fn running(&self) -> u32 {
        self.running.load(Relaxed)
    }

    /// Requests that wait in its engine, as it last said.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// All requests inside its engine, as it last said.
    pub fn reported(&self) -> u32 {
        self.running().saturating_add(self.waiting())
    }

    /// Share of its KV cache in use, as it last said.
    pub fn kv_cache_usage(&self) -> f32 {
        f32::from_bits(self.kv_cache_usage.load(Relaxed))
    }

    pub fn report(&self, load: &Load) {
        self.running.store(load.running, Relaxed);
        self.waiting.store(load.waiting, Relaxed);
        self.kv_cache_usage.store(load.kv_cache_usage.to_bits(), Relaxed);
    }

    /// Whether it is left out because it fails, or on trial.
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    pub fn set_out(&self, out: bool) {
        self.out.store(out, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_is_read_as_it_was() {
        let glance = Glance::default();
        for (running, waiting, kv_cache_usage) in [(0, 0, 0.0), (7, 0, 0.5), (0, u32::MAX, 1.0), (u32::MAX, 3, 0.1)] {
            glance.report(&Load { running, waiting, kv_cache_usage, ..Load::default() });
            assert_eq!((glance.running(), glance.waiting()), (running, waiting));
            assert!((glance.kv_cache_usage() - kv_cache_usage).abs() < f32::EPSILON);
            assert_eq!(glance.reported(), running.saturating_add(waiting));
        }
    }
}

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
    adapters: AtomicBool,
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

    /// Share of its KV cache in use, as it last said.
    pub fn kv_cache_usage(&self) -> f32 {
        f32::from_bits(self.kv_cache_usage.load(Relaxed))
    }

    pub fn report(&self, load: &Load) {
        self.running.store(load.running, Relaxed);
        self.waiting.store(load.waiting, Relaxed);
        self.kv_cache_usage.store(load.kv_cache_usage.to_bits(), Relaxed);
    }

    /// Whether it has adapters at all.
    pub fn has_adapters(&self) -> bool {
        self.adapters.load(Relaxed)
    }

    pub fn set_adapters(&self, has: bool) {
        self.adapters.store(has, Relaxed);
    }

    /// Whether it is left out because it fails, or on trial.
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    pub fn set_out(&self, out: bool) {
        self.out.store(out, Relaxed);
    }
}

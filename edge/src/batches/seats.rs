//! How many lines are asked at once: of all tenants, and of each.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The seats of this edge.
#[derive(Debug)]
pub struct Seats {
    all: Arc<Semaphore>,
    each: usize,
    /// Those of tenants whose batches are run here.
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A line's seat, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Seats {
    pub fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, tenants: Mutex::default() }
    }

    /// A tenant's seats, for as long as they are held.
    pub fn of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(seats) = tenants.get(tenant).and_then(Weak::upgrade) {
            return seats;
        }
        tenants.retain(|_, seats| seats.strong_count() > 0);
        let seats = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&seats));
        seats
    }

    /// Waits for a seat of a tenant. `None`: never, as nothing is closed.
    pub async fn take(&self, own: &Arc<Semaphore>) -> Option<Seat> {
        // First among its own, so that no tenant keeps the others' seats waiting.
        let own = own.clone().acquire_owned().await.ok()?;
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some(Seat { _own: own, _all: all })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_tenant_has_its_seats_and_all_have_theirs() {
        let seats = Seats::new(3, 2);
        let (acme, other) = (seats.of("acme"), seats.of("other"));
        assert!(Arc::ptr_eq(&acme, &seats.of("acme")));
        let take = |own| seats.take(own).now_or_never().flatten();
        let first = take(&acme).unwrap();
        let second = take(&acme).unwrap();
        assert!(take(&acme).is_none(), "it has two");
        let third = take(&other).unwrap();
        assert!(take(&other).is_none(), "there are three");
        drop(first);
        assert!(take(&acme).is_some());
        drop((acme, other, second, third));
        seats.of("third");
        assert_eq!(seats.tenants.lock().len(), 1, "who is gone is forgotten");
    }
}

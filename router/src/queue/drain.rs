//! How fast a queue empties, measured, and so how long who comes now would wait. No I/O.

use std::time::Duration;

use tokio::time::Instant;

/// How far back is looked.
const WINDOW: Duration = Duration::from_secs(10);

/// Parts of the window, each forgotten as a whole.
const SLICES: usize = 20;
const SLICE: Duration = Duration::from_millis(500);

/// How many were served lately.
#[derive(Debug)]
pub struct Drain {
    begun: Instant,
    /// Of slice `n` since the beginning at `n % SLICES`.
    served: [u32; SLICES],
    /// The slice that was counted in last.
    slice: u64,
}

impl Drain {
    /// Nothing was served before `now`.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, served: [0; SLICES], slice: 0 }
    }

    /// One was served.
    pub fn serve(&mut self, now: Instant) {
        self.forget(now);
        let at = self.at();
        self.served[at] = self.served[at].saturating_add(1);
    }

    /// How long the last of so many waits until it is served. None: nothing was served lately, so nobody knows.
    pub fn wait(&mut self, ahead: usize, now: Instant) -> Option<Duration> {
        self.forget(now);
        let served: u32 = self.served.iter().sum();
        if served == 0 {
            return None;
        }
        let seen = now.saturating_duration_since(self.begun).clamp(SLICE, WINDOW);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        Some(seen.saturating_mul(ahead) / served)
    }

    fn at(&self) -> usize {
        usize::try_from(self.slice % SLICES as u64).unwrap_or_default()
    }

    fn forget(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.begun).as_nanos();
        let slice = u64::try_from(elapsed / SLICE.as_nanos()).unwrap_or(u64::MAX);
        if slice >= self.slice.saturating_add(SLICES as u64) {
            self.served = [0; SLICES];
            self.slice = slice;
        }
        while self.slice < slice {
            self.slice += 1;
            let at = self.at();
            self.served[at] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_as_things_go() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut drain = Drain::new(begun);
        assert_eq!(drain.wait(5, begun), None);
        // Ten in a second.
        for one in 1..=10 {
            drain.serve(after(one * 100));
        }
        assert_eq!(drain.wait(5, after(1000)), Some(Duration::from_millis(500)));
        // Nothing for nine seconds more: one in a second on the average.
        assert_eq!(drain.wait(5, after(9900)), Some(Duration::from_millis(4950)));
        assert_eq!(drain.wait(5, after(60_000)), None, "that was long ago");
        drain.serve(after(60_000));
        assert_eq!(drain.wait(1, after(60_000)), Some(WINDOW));
    }
}

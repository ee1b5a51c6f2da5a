//! How long to wait before a router is dialled again. No clock, no chance of its own.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// A router that is back is to be found within seconds.
const MOST: Duration = Duration::from_secs(3);

/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// Doubles with every failure.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Backoff {
    /// The pause after a connection that held so long. `draw`, from 0 to 1, keeps a fleet from coming back in step.
    pub(super) fn next(&mut self, held: Duration, draw: f64) -> Duration {
        if held >= GOOD {
            self.pause = FIRST;
        }
        let pause = self.pause.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0);
        self.pause = (self.pause * 2).min(MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(backoff.next(GOOD, 0.0).as_millis(), 50);
    }
}

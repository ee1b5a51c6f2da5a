//! How long to wait before something that failed is tried again. No clock and no chance of its own.

use std::time::Duration;

/// Doubles with every failure, up to a bound, and starts anew after a good run.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    good: Duration,
    pause: Duration,
}

impl Backoff {
    /// Pauses from `first` to `most`. What held for as long as `good` was well, and its end says nothing about the
    /// next try.
    pub const fn new(first: Duration, most: Duration, good: Duration) -> Self {
        Self { first, most, good, pause: first }
    }

    /// The pause after a try that held for so long.
    pub fn next(&mut self, held: Duration) -> Duration {
        if held >= self.good {
            self.pause = self.first;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(self.most);
        pause
    }

    /// As [`Backoff::next`], shortened to between half and all of it by `draw`, from 0 to 1: keeps a fleet from coming
    /// back in step.
    pub fn next_drawn(&mut self, held: Duration, draw: f64) -> Duration {
        self.next(held).mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound_and_start_anew_after_a_good_run() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(60), seconds(300));
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(Duration::ZERO).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.next_drawn(seconds(300), 0.0).as_millis(), 500);
        assert_eq!(backoff.next_drawn(Duration::ZERO, 1.0).as_secs(), 2);
    }
}
